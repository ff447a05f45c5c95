"""What a user gets from `pip install stretto`: run by the Python of an environment that holds nothing else.

Everywhere else in the gate the package is installed in place, beside all the tools. There nobody would miss a
file that the wheel leaves out, or notice a dependency that only the tools bring along.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import stretto

SOURCE = Path("src", "stretto")


def main() -> None:
    """Exit with what is wrong, or say what is there."""
    installed = Path(stretto.__file__).parent
    if "site-packages" not in installed.parts:
        sys.exit(f"stretto was imported from {installed}, which is no installed wheel")
    if missing := files(SOURCE) - files(installed):
        sys.exit(f"the wheel leaves out {', '.join(sorted(missing))}")
    if importlib.util.find_spec("trio"):
        sys.exit("trio is here; this check means something only beside anyio and attrs alone")
    print(f"{len(files(installed))} files in {installed}, imported without trio")


def files(folder: Path) -> set[str]:
    """The names of the files below a folder, less what Python writes there itself."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if "__pycache__" not in path.parts}


if __name__ == "__main__":
    main()
