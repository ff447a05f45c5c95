"""Builds the documentation into a site, and sees that whoever reads it is sent nowhere.

    python tools/site.py [FOLDER]

A warning is an error. A page may link to another site; it may not load anything from one.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = [
    "stretto",
    *(f"stretto.{name}" for name in ("drawing", "errors", "joins", "retry", "testing", "testing.strategies")),
]
LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href"}
ELSEWHERE = re.compile(r"(?:\w+:)?//")
STYLED = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)")


class Loads(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what this tag loads."""
        target = dict(attrs).get(LOADED.get(tag, ""))
        if target is not None:
            self.found.append(target)


def elsewhere(site: Path) -> Iterator[str]:
    """What the files of a site load from other hosts."""
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            loads = [each for each in Loads(path.read_text("utf-8")).found if ELSEWHERE.match(each)]
        elif path.suffix == ".css":
            loads = STYLED.findall(path.read_text("utf-8"))
        else:
            continue
        yield from (f"{path.relative_to(site)} loads {each}" for each in loads)


def unlisted(site: Path) -> Iterator[str]:
    """The public names that are not in the reference."""
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]  # four lines say what it is
    listed = zlib.decompress(packed).decode().splitlines()
    known = {name for name, role in (line.split(" ", 2)[:2] for line in listed) if role.startswith("py:")}
    for module in PUBLIC:
        for name in importlib.import_module(module).__all__:
            if not {f"{module}.{name}", f"stretto.{name}", f"stretto.testing.{name}"} & known:
                yield f"{module}.{name} is not in the reference"


def main() -> None:
    """Build, look, and say where the site is."""
    site = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build" / "site"
    sphinx = [
        sys.executable,
        "-m",
        "sphinx",
        "-b",
        "html",
        "--fresh-env",
        "--fail-on-warning",
        "--keep-going",
        "-q",
    ]
    done = subprocess.run([*sphinx, str(ROOT / "docs"), str(site)], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    if found := [*elsewhere(site), *unlisted(site)]:
        sys.exit("\n".join(found))
    print(f"open {site / 'index.html'}")


if __name__ == "__main__":
    main()
