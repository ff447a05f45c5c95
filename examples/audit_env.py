"""An audit of a Python environment: is every installed file still what its wheel brought?

An installed distribution has a RECORD of its files, with their sizes and hashes. This program compares all
RECORDs of the running environment with the disk, several distributions at a time, tells each result as it
comes, and makes one report of what is wrong: files that were altered, are missing or cannot be read, lines of
a RECORD that make no sense, and surplus files beside the installed ones that no RECORD knows.

Not wrong is what cannot be otherwise. A RECORD does not have its own hash; bytecode in `__pycache__` comes
and goes; the source of an editable install lies elsewhere and is meant to change; a folder of scripts holds
more than wheels bring, so nothing there is surplus. What has no RECORD, as an egg, is named and left alone.

Run it with `python examples/audit_env.py [--backend asyncio|trio] [--path FOLDER ...]`. The exit status is 1
if something is wrong.
"""

import argparse
import base64
import csv
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import attrs

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step

OPEN_FILES = 8


# ----------------------------------------------------------------------------------------------- the workflow


@attrs.frozen
class Entry:
    """A line of a RECORD: a file, its hash as `algorithm=digest`, and its size; these two may be empty."""

    path: Path
    hash: str
    size: str


@attrs.frozen
class Finding:
    """Something that is wrong with a file."""

    kind: str
    path: Path
    why: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}{self.why and f' ({self.why})'}"


class Distribution(Event):
    """To be compared with the disk."""

    name: str
    entries: Sequence[Entry]
    findings: Sequence[Finding] = ()


class Folder(Event):
    """To be searched for files that no distribution brought."""

    path: Path
    known: frozenset[str]
    left_alone: frozenset[str]


class Checked(Event):
    """What came out for one of those."""

    subject: str
    files: int
    findings: Sequence[Finding]


class Audit(Workflow[list[Checked]]):
    """Checks distributions and folders at the same time; the result is one report, ordered by name."""

    def __init__(self, subjects: Sequence[Distribution | Folder]) -> None:
        super().__init__(timeout=600)
        self.subjects = subjects

    @step
    async def begin(self, ev: StartEvent) -> list[Distribution | Folder]:
        """Hand out all the work; what no worker is free for waits."""
        return list(self.subjects)

    @step(num_workers=OPEN_FILES)
    def verify(self, ev: Distribution) -> Checked:
        """Read its files one by one, so that each worker has one open. A plain `def` runs in a thread."""
        return check_distribution(ev)

    @step(num_workers=1)
    def search(self, ev: Folder) -> Checked:
        """Look at the names in a folder; this opens no file."""
        return check_folder(ev)

    @step
    async def report(self, ctx: Context, ev: Checked) -> StopEvent[list[Checked]] | None:
        """Show each result to the caller as it comes; with the last one, end."""
        ctx.write_event_to_stream(ev)
        results = ctx.collect_events(ev, [Checked] * len(self.subjects))
        if results is None:
            return None
        return StopEvent(result=sorted(results, key=lambda checked: checked.subject.casefold()))


# ------------------------------------------------------------------------------------------ what the steps do


def check_distribution(distribution: Distribution) -> Checked:
    """Compare every file of a distribution with its entry."""
    entries = [entry for entry in distribution.entries if entry.path.parent.name != "__pycache__"]
    findings = [finding for entry in entries if (finding := check_file(entry))]
    return Checked(
        subject=distribution.name, files=len(entries), findings=[*distribution.findings, *findings]
    )


def check_file(entry: Entry) -> Finding | None:
    """What is wrong with a file, if anything."""
    algorithm, _, digest = entry.hash.partition("=")
    try:
        size = entry.path.stat().st_size
        if entry.size and size != int(entry.size):
            return Finding("altered", entry.path, f"{size} bytes, not {entry.size}")
        if algorithm and _digest(entry.path, algorithm) != digest.rstrip("="):
            return Finding("altered", entry.path, f"another {algorithm}")
    except FileNotFoundError:
        return Finding("missing", entry.path)
    except OSError as error:
        return Finding("unreadable", entry.path, error.strerror or "")
    except (TypeError, ValueError) as error:  # a size that is no number, a hash nobody can compute
        return Finding("malformed", entry.path, f"its entry in RECORD: {error}")
    return None


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def check_folder(folder: Folder) -> Checked:
    """Find the files in a folder that are not known."""
    findings: list[Finding] = []

    def unreadable(error: OSError) -> None:
        findings.append(Finding("unreadable", Path(error.filename), error.strerror or ""))

    count = 0
    for where, folders, files in os.walk(folder.path, onerror=unreadable):
        alone = folder.left_alone if Path(where) == folder.path else frozenset[str]()
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not _is_of(name, alone))
        paths = [Path(where, name) for name in sorted(files) if not _is_of(name, alone)]
        count += len(paths)
        unknown = [path for path in paths if os.path.normcase(path) not in folder.known]
        findings += [Finding("surplus", path) for path in unknown]
    return Checked(subject=str(folder.path), files=count, findings=findings)


def _is_of(name: str, modules: frozenset[str]) -> bool:
    """Whether a file or folder is one of some modules, as `yaml.cpython-311.so` is `yaml`."""
    return name in modules or name.partition(".")[0] in modules


# ------------------------------------------------------------------------------------- what there is to check

# At the top of a folder, and in no RECORD: from CPython, from virtualenv and uv, from the days of eggs.
FROM_ELSEWHERE = frozenset({"README.txt", "_virtualenv.py", "_virtualenv.pth", "easy-install.pth"})


def installed_in() -> list[Path]:
    """The folders on `sys.path` that hold installed distributions."""
    folders = dict.fromkeys(Path(entry).resolve() for entry in sys.path)
    return [folder for folder in folders if any(folder.glob("*.dist-info"))]


def find_subjects(folders: Sequence[Path]) -> tuple[list[Distribution | Folder], list[str]]:
    """What there is to check in some folders, and the names of what has no RECORD to check it by."""
    distributions: list[Distribution] = []
    unrecorded: list[Path] = []
    folders = list(dict.fromkeys(folder.resolve() for folder in folders))
    for path in sorted(path for folder in folders for path in folder.iterdir()):
        if path.suffix == ".dist-info" and (path / "RECORD").is_file():
            distributions.append(read_record(path))
        elif path.suffix in {".dist-info", ".egg-info", ".egg", ".egg-link"}:
            unrecorded.append(path)
    known = frozenset(os.path.normcase(entry.path) for each in distributions for entry in each.entries)
    searched: list[Folder] = []
    for folder in folders:
        alone = FROM_ELSEWHERE.union(*(_top_level(path) for path in unrecorded if path.parent == folder))
        searched.append(Folder(path=folder, known=known, left_alone=alone))
    return [*distributions, *searched], [path.name for path in unrecorded]


def read_record(info: Path) -> Distribution:
    """A distribution as its RECORD describes it, and what is wrong with the RECORD itself."""
    record = info / "RECORD"
    entries: list[Entry] = []
    findings: list[Finding] = []
    try:
        with record.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            for row in filter(None, csv.reader(lines)):
                if len(row) == len(attrs.fields(Entry)):
                    path = os.path.abspath(info.parent / row[0])  # noqa: PTH100 - no symlinks
                    entries.append(Entry(Path(path), *row[1:]))
                else:
                    findings.append(Finding("malformed", record, f"{len(row)} fields: {row[0]}"))
    except (OSError, csv.Error) as error:
        findings.append(Finding("unreadable", record, str(error)))
    name = info.stem.replace("-", " ", 1) + (" (editable)" if _is_editable(info) else "")
    return Distribution(name=name, entries=entries, findings=findings)


def _is_editable(info: Path) -> bool:
    try:
        origin = json.loads((info / "direct_url.json").read_text(encoding="utf-8"))
        return bool(origin.get("dir_info", {}).get("editable"))
    except (OSError, ValueError):
        return False


def _top_level(info: Path) -> set[str]:
    """The names in its folder that something without a RECORD says are its own."""
    try:
        return {info.name, *(info / "top_level.txt").read_text(encoding="utf-8").split()}
    except OSError:
        return {info.name}


# ------------------------------------------------------------------------------------------------ the program


async def main(folders: Sequence[Path]) -> int:
    """Audit some folders and show how it goes; gives the exit status."""
    subjects, unrecorded = await anyio.to_thread.run_sync(find_subjects, folders)
    done = 0
    async with Audit(subjects).run() as run:
        async for ev in run.stream_events():
            if isinstance(ev, Checked):
                done += 1
                verdict = f", {len(ev.findings)} wrong" if ev.findings else ""
                print(f"{done:>4} of {len(subjects)}: {ev.files} files of {ev.subject}{verdict}")
        results = await run
    findings = [finding for checked in results for finding in checked.findings]
    for finding in findings:
        print(finding)
    if unrecorded:
        print(f"not verified, as they have no RECORD: {', '.join(unrecorded)}")
    print(f"{len(findings)} findings in {len(subjects)} distributions and folders")
    return 1 if findings else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--path", nargs="+", type=Path, metavar="FOLDER", help="instead of those on sys.path")
    options = parser.parse_args()
    sys.exit(anyio.run(main, options.path or installed_in(), backend=options.backend))
