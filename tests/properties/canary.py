"""A module that nobody may import: a snapshot names it."""

raise AssertionError("imported because data said so")
