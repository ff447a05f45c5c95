"""The cells: pieces of work, who does them, and which figures are read off."""
