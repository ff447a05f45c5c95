"""The audit finds what was altered, is missing or is surplus, and blames nothing else."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import anyio
import pytest

from examples import audit_env
from examples.audit_env import Audit, Checked, Distribution, Entry, Finding, find_subjects

pytestmark = pytest.mark.anyio


def digest(content: bytes, algorithm: str = "sha256") -> str:
    raw = hashlib.new(algorithm, content).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


class Environment:
    """A small environment on disk, made as an installer makes it."""

    def __init__(self, root: Path) -> None:
        self.site = root / "lib" / "python" / "site-packages"
        self.site.mkdir(parents=True)

    def write(self, name: str, content: bytes) -> Path:
        path = self.site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def install(self, name: str, files: dict[str, bytes], extra: Sequence[str] = ()) -> None:
        """Unpack some files and write the RECORD that belongs to them."""
        info = f"{name}-1.0.dist-info"
        files = {**files, f"{info}/METADATA": f"Name: {name}\n".encode(), f"{info}/INSTALLER": b"test\n"}
        lines = []
        for path, content in files.items():
            self.write(path, content)
            quoted = f'"{path}"' if "," in path else path
            lines.append(f"{quoted},{digest(content)},{len(content)}")
        record = "\n".join([*lines, f"{info}/RECORD,,", *extra, ""])
        self.write(f"{info}/RECORD", record.encode())


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """Three distributions as they should be: a package, a module with a script, and one with odd names."""
    env = Environment(tmp_path)
    env.install("apple", {"apple/__init__.py": b"one\n", "apple/core.py": b"two\n", "apple/empty.py": b""})
    env.install("pear", {"pear.py": b"three\n", "../../../bin/pear": b"#!python\n"})
    env.install("plum", {"plum/a, b.txt": b"comma\n", "plum/\N{GREEK SMALL LETTER PI}.txt": b"pi\n"})
    return env


async def audit(*folders: Path) -> list[Checked]:
    subjects, _ = find_subjects(folders)
    return await Audit(subjects).run()


def found(results: list[Checked]) -> list[tuple[str, str]]:
    return [(finding.kind, finding.path.name) for checked in results for finding in checked.findings]


async def test_an_untouched_environment_is_clean(env: Environment):
    results = await audit(env.site)
    assert found(results) == []
    assert {checked.subject: checked.files for checked in results} == {
        "apple 1.0": 6,
        "pear 1.0": 5,
        "plum 1.0": 5,
        str(env.site): 15,  # the script is none of them
    }


async def test_one_altered_one_missing_and_one_surplus_file_are_found(
    env: Environment, capsys: pytest.CaptureFixture[str]
):
    env.write("apple/core.py", b"TWO\n")  # of the same size
    (env.site / "pear.py").unlink()
    env.write("plum/extra.py", b"\n")

    results = await audit(env.site)
    assert [(it.subject, finding.kind, finding.path) for it in results for finding in it.findings] == [
        (str(env.site), "surplus", env.site / "plum" / "extra.py"),
        ("apple 1.0", "altered", env.site / "apple" / "core.py"),
        ("pear 1.0", "missing", env.site / "pear.py"),
    ]

    assert await audit_env.main([env.site]) == 1
    output = capsys.readouterr().out
    assert f"altered: {env.site / 'apple' / 'core.py'} (another sha256)\n" in output
    assert f"missing: {env.site / 'pear.py'}\n" in output
    assert f"surplus: {env.site / 'plum' / 'extra.py'}\n" in output
    assert output.endswith("3 findings in 4 distributions and folders\n")


async def test_the_exit_status_of_a_clean_environment_is_zero(
    env: Environment, capsys: pytest.CaptureFixture[str]
):
    assert await audit_env.main([env.site]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert [line.split(":")[0].strip() for line in lines[:4]] == [f"{done} of 4" for done in (1, 2, 3, 4)]
    assert lines[4] == "0 findings in 4 distributions and folders"


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda env: env.write("../../../bin/pear", b"#!other\n"), ("altered", "pear")),
        (lambda env: (env.site / "../../../bin/pear").unlink(), ("missing", "pear")),
        (lambda env: env.write("apple/core.py", b"longer\n"), ("altered", "core.py")),
        (lambda env: env.write("apple/empty.py", b"\n"), ("altered", "empty.py")),
        (lambda env: env.write("apple-1.0.dist-info/METADATA", b"Name: crab\n"), ("altered", "METADATA")),
        (lambda env: env.write("apple-1.0.dist-info/more.txt", b""), ("surplus", "more.txt")),
        (lambda env: env.write("stray.py", b""), ("surplus", "stray.py")),
        (lambda env: env.write("stray.pth", b"import os\n"), ("surplus", "stray.pth")),
        (lambda env: env.write("new/deep/down.txt", b""), ("surplus", "down.txt")),
        (lambda env: env.write("apple/old.pyc", b""), ("surplus", "old.pyc")),  # it can be imported
        (lambda env: env.write("plum/a, b.txt", b"COMMA\n"), ("altered", "a, b.txt")),
    ],
)
async def test_a_single_change_is_the_single_finding(
    env: Environment, change: Callable[[Environment], object], finding: tuple[str, str]
):
    change(env)
    assert found(await audit(env.site)) == [finding]


@pytest.mark.parametrize(
    "change",
    [
        lambda env: env.write("../../../bin/python", b""),
        lambda env: env.write("apple/__pycache__/core.cpython-311.pyc", b"\0"),
        lambda env: env.write("__pycache__/pear.cpython-311.pyc", b"\0"),
        lambda env: env.write("README.txt", b"from CPython"),
        lambda env: env.write("_virtualenv.pth", b"import _virtualenv"),
    ],
)
async def test_what_belongs_there_without_a_record_is_no_finding(
    env: Environment, change: Callable[[Environment], object]
):
    change(env)
    assert found(await audit(env.site)) == []


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("fig/__pycache__/fig.cpython-311.pyc,,", None),
        (f"fig/__pycache__/fig.cpython-311.pyc,{digest(b'old')},3", None),  # bytecode was compiled anew
        ("apple/core.py,,", None),  # neither hash nor size
        ("apple/core.py,,4", None),
        ("apple/core.py,,5", ("altered", "core.py")),
        ("apple/gone.py,,", ("missing", "gone.py")),
        (f"apple/core.py,{digest(b'two' + bytes([10]), 'sha512')},", None),
        (f"apple/core.py,{digest(b'two' + bytes([10]))}=,4", None),  # padded, as old tools did
        ("apple/core.py,sha3000=abc,4", ("malformed", "core.py")),
        ("apple/core.py,shake_128=abc,4", ("malformed", "core.py")),  # a hash without a length
        ("apple/core.py,abc,4", ("malformed", "core.py")),
        ("apple/core.py,,four", ("malformed", "core.py")),
        ("apple/core.py", ("malformed", "RECORD")),
        ("apple/core.py,,4,5", ("malformed", "RECORD")),
        ("", None),
        (f"apple,{digest(b'')},", ("unreadable", "apple")),  # a folder
    ],
)
async def test_each_kind_of_line_in_a_record_is_understood_or_reported(
    env: Environment, line: str, finding: tuple[str, str] | None
):
    env.install("fig", {"fig/fig.py": b"fig\n"}, extra=[line])
    assert found(await audit(env.site)) == ([finding] if finding else [])


async def test_a_record_that_is_no_text_is_reported_and_the_rest_is_checked(env: Environment):
    env.write("apple-1.0.dist-info/RECORD", b'\xff\xfe,,\n"' + b"x" * 200_000 + b'",,\n')
    results = found(await audit(env.site))
    assert ("unreadable", "RECORD") in results
    assert ("surplus", "core.py") in results, "what its RECORD would have named is now known to none"
    assert not [name for kind, name in results if name.startswith("pear")]


async def test_of_two_distributions_with_one_file_the_first_is_altered(env: Environment):
    env.install("quince", {"apple/core.py": b"four\n"})
    results = await audit(env.site)
    assert [(it.subject, finding.kind) for it in results for finding in it.findings] == [
        ("apple 1.0", "altered")
    ]


async def test_an_editable_install_is_named_and_its_source_left_alone(env: Environment, tmp_path: Path):
    source = tmp_path / "work" / "src"
    (source / "grape").mkdir(parents=True)
    (source / "grape" / "__init__.py").write_text("changes all day\n")
    origin = b'{"url": "file:///work", "dir_info": {"editable": true}}'
    files = {"_grape.pth": str(source).encode(), "grape-1.0.dist-info/direct_url.json": origin}
    env.install("grape", files)
    results = await audit(env.site)
    assert found(results) == []
    assert "grape 1.0 (editable)" in [checked.subject for checked in results]


async def test_eggs_are_named_and_left_alone(env: Environment, capsys: pytest.CaptureFixture[str]):
    """A folder .egg-info with its top-level modules, eggs as a folder and as a zip, a bare .egg-info."""
    env.write("lime.egg-info/top_level.txt", b"lime\n_lime\n")
    env.write("lime/__init__.py", b"")
    env.write("_lime.cpython-311-x86_64-linux-gnu.so", b"")
    env.write("lemon-2.egg/EGG-INFO/PKG-INFO", b"")
    env.write("lemon-2.egg/lemon.py", b"")
    with zipfile.ZipFile(env.site / "melon-3.egg", "w") as egg:
        egg.writestr("melon.py", "")
    env.write("date-4.egg-info", b"Name: date\n")
    env.write("nut-5.dist-info/METADATA", b"Name: nut\n")  # its RECORD was taken out, as some systems do
    env.write("easy-install.pth", b"./melon-3.egg\n")

    assert found(await audit(env.site)) == []
    assert await audit_env.main([env.site]) == 0
    names = "date-4.egg-info, lemon-2.egg, lime.egg-info, melon-3.egg, nut-5.dist-info"
    assert f"not verified, as they have no RECORD: {names}\n" in capsys.readouterr().out


async def test_two_folders_know_each_others_files_and_one_named_twice_is_one(
    env: Environment, tmp_path: Path
):
    """A distribution may have files in the other folder (as `platlib` and `purelib` have); lib64 is lib."""
    other = Environment(tmp_path / "other")
    env.install("kiwi", {f"../../../other/{other.site.relative_to(tmp_path / 'other')}/kiwi.py": b"kiwi\n"})
    other.install("mango", {"mango.py": b"mango\n"})
    (tmp_path / "lib64").symlink_to(tmp_path / "lib", target_is_directory=True)
    again = tmp_path / "lib64" / "python" / "site-packages"

    results = await audit(env.site, other.site, again)
    assert found(results) == []
    assert Counter(it.subject for it in results).most_common(1)[0][1] == 1
    assert len(results) == 7


async def test_a_relative_path_is_as_good_as_a_whole_one(env: Environment, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(env.site.parent)
    assert found(await audit(Path("site-packages"))) == []


async def test_as_many_files_are_open_as_there_are_workers_and_no_more(tmp_path: Path):
    """Named pipes stand in for files on a slow disk: who has opened one waits until somebody writes to it.

    A pipe can be opened for writing, without waiting, once somebody has opened it for reading.
    """
    content = b"slow"
    pipes = [tmp_path / f"pipe{number}" for number in range(audit_env.OPEN_FILES + 3)]
    for pipe in pipes:
        os.mkfifo(pipe)
    subjects = [
        Distribution(name=it.name, entries=[Entry(it, hash=digest(content), size="")]) for it in pipes
    ]
    slow = SlowFiles(list(pipes))
    async with Audit(subjects).run() as run:
        with slow.released_in_the_end(), anyio.fail_after(20):
            for still_to_come in range(len(pipes), 0, -1):
                wanted = min(still_to_come, audit_env.OPEN_FILES)
                while len(slow.open) < wanted:
                    await slow.look()
                for _ in range(10):  # and nobody opens one more
                    await slow.look()
                assert len(slow.open) == wanted
                slow.finish_one(content)
        results = await run
    assert found(results) == []
    assert len(results) == len(pipes)


class SlowFiles:
    """Pipes, and which of them are open on the other side, where the reader waits for what is written."""

    def __init__(self, pipes: list[Path]) -> None:
        self.unread = pipes
        self.open: list[int] = []

    async def look(self) -> None:
        """A moment later, take note of those that were opened meanwhile."""
        await anyio.sleep(0.001)
        for pipe in list(self.unread):
            with contextlib.suppress(OSError):
                self.open.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
                self.unread.remove(pipe)

    def finish_one(self, content: bytes) -> None:
        os.write(self.open[0], content)
        os.close(self.open.pop(0))

    @contextlib.contextmanager
    def released_in_the_end(self) -> Generator[None]:
        """No reader waits for ever, whatever the test finds."""
        try:
            yield
        finally:
            for pipe in self.unread:
                self.open.append(os.open(pipe, os.O_RDWR))
            for file in self.open:
                os.close(file)


async def test_the_running_environment_can_be_audited():
    """What is found is this machine's business; that every file is looked at is the audit's."""
    home = Path(anyio.__file__).parent.parent.resolve()
    results = await audit(*audit_env.installed_in())
    [own] = [checked for checked in results if checked.subject.startswith("anyio ")]
    record = (next(home.glob("anyio-*.dist-info")) / "RECORD").read_text()
    assert own.files == len([line for line in record.splitlines() if "__pycache__" not in line])
    assert own.findings == []
    assert not any(finding.kind == "malformed" for checked in results for finding in checked.findings)


def test_the_program_says_what_is_wrong_with_its_exit_status(env: Environment, anyio_backend_name: str):
    command = [sys.executable, audit_env.__file__, "--backend", anyio_backend_name, "--path", str(env.site)]

    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    env.write("stray.py", b"")
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1


def test_a_finding_reads_well():
    assert str(Finding("altered", Path("a.py"), "5 bytes, not 4")) == "altered: a.py (5 bytes, not 4)"
    assert str(Finding("missing", Path("a.py"))) == "missing: a.py"
