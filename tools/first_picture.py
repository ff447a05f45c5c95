"""Runs what the README says gives a first picture, as it is printed there, in a fresh clone, and takes the time.

python tools/first_picture.py
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def commands(page: str) -> list[str]:
    """The lines of the block that ends with a picture."""
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (block,) = (each for each in blocks if "stretto draw examples/" in each)
    return block.splitlines()


def main() -> None:
    """Clone, run, and say how long it took and how large the picture is."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        subprocess.run(["git", "clone", "-q", str(ROOT), folder], check=True)
        for line in commands((ROOT / "README.md").read_text("utf-8")):
            print(f"$ {line}", flush=True)
            if subprocess.run(["bash", "-c", line], cwd=folder, check=False).returncode:
                sys.exit(f"this failed: {line}")
        (picture,) = Path(folder).glob("*.html")
        size = picture.stat().st_size / 1024
        print(f"{time.monotonic() - began:.0f} s from the clone to {picture.name}, {size:.0f} KiB")


if __name__ == "__main__":
    main()
