"""The programs in the README and in docstrings do what is written beneath them, on both backends.

The Python blocks of a page share their names, in order, as for somebody who reads it from the top. A block that begins
with a comment such as `# shop.py` has that name in messages. Directly beneath one may stand what it prints, or the end
of the traceback that it dies of: a block of `text` or `mermaid`.
"""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

import stretto
import stretto.drawing
import stretto.testing.strategies  # here, and not by a page: hypothesis is to see who refers to what
from tests import virtual

ROOT = Path(__file__).parent.parent
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "```python\n" in page.read_text("utf-8")
]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


class Block(NamedTuple):
    """A program on a page, and what it prints; None if the page does not say."""

    line: int
    program: str
    prints: str | None

    @property
    def name(self) -> str:
        first = re.match(r"# (\w+\.py)\n", self.program)
        return first[1] if first else f"block at line {self.line}"


def blocks(page: str) -> Iterator[Block]:
    """The Python blocks of a page."""
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    found = list(fence.finditer(page))
    for number, here in enumerate(found):
        if here[1] == "python":
            beneath = [each[2] for each in found[number + 1 : number + 2] if each[1] in {"text", "mermaid"}]
            yield Block(page.count("\n", 0, here.start()) + 1, here[2], beneath[0] if beneath else None)


def run_block(block: Block, names: dict[str, Any], output: Callable[[], str]) -> str:
    """Runs a program in the names of its page and gives what it prints, and its error as a traceback ends."""
    code = compile(
        block.program, block.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )  # as `python -m asyncio` does

    async def in_a_loop() -> None:
        await eval(code, names)  # noqa: S307 - a page of this project

    try:
        if code.co_flags & inspect.CO_COROUTINE:
            anyio.run(in_a_loop)
        else:
            exec(code, names)  # noqa: S102 - a page of this project
    except Exception as error:  # noqa: BLE001 - it is shown on the page, or the test fails
        return output() + "".join(traceback.format_exception_only(error))
    return output()


@pytest.fixture(params=virtual.BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The backend that `anyio.run` means meanwhile, in virtual time."""
    original = anyio.run

    def run(function: Any, *args: Any, **_: Any) -> Any:
        name, options = virtual.virtual_backend(request.param)
        return original(virtual.guarded, function, args, backend=name, backend_options=options)

    monkeypatch.setattr(anyio, "run", run)
    return request.param


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_does_what_it_says(
    page: Path,
    backend: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)  # pages write files
    names: dict[str, Any] = {"__name__": page.stem}
    found = list(blocks(page.read_text("utf-8")))
    for block in found:
        printed = run_block(block, names, lambda: capsys.readouterr().out)
        assert printed == (block.prints or ""), f"{page.name}:{block.line}"
    assert found


def docstrings() -> Iterator[tuple[str, str, int]]:
    """The docstrings of the package that have an example: their name, text and line."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, documented) and ">>>" in (text := ast.get_docstring(node) or ""):
                name = f"{path.stem}.{getattr(node, 'name', '')}"
                yield name, text, getattr(node, "lineno", 1)


EXAMPLES = list(docstrings())


@pytest.mark.parametrize(("name", "text", "line"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_the_example_of_a_docstring_does_what_it_says(name: str, text: str, line: int, backend: str):
    public = {name: getattr(stretto, name) for name in stretto.__all__}  # some are loaded when they are named
    names = {"__name__": "docstring", **vars(stretto.drawing), **vars(stretto.testing), **public}
    example = doctest.DocTestParser().get_doctest(text, names, name, name, line)
    said: list[str] = []
    outcome = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert not outcome.failed, "".join(said)
    assert outcome.attempted


def test_the_first_program_is_checked_by_the_type_checkers_as_it_stands():
    """`tests/typing/readme_program.py` is that program; the formatter leaves more blank lines there."""
    lines = partial(filter, str.strip)
    first = next(blocks((ROOT / "README.md").read_text("utf-8"))).program
    checked = (ROOT / "tests" / "typing" / "readme_program.py").read_text("utf-8")
    assert list(lines(first.splitlines())) == list(lines(checked.splitlines()))


def test_the_first_program_stands_at_the_top_and_is_short():
    page = (ROOT / "README.md").read_text("utf-8")
    first = next(blocks(page))
    assert first.line < 8
    assert len(first.program.splitlines()) <= 30


def test_the_first_program_takes_one_second_and_not_three(backend: str):
    names: dict[str, Any] = {"__name__": "readme"}
    exec(next(blocks((ROOT / "README.md").read_text("utf-8"))).program, names)  # noqa: S102

    async def timed() -> float:
        began = anyio.current_time()
        await names["Cheapest"]().run()
        return anyio.current_time() - began

    assert anyio.run(timed) == pytest.approx(1)


def test_the_commands_on_the_page_are_there():
    page = (ROOT / "README.md").read_text("utf-8")
    goals = set(
        " ".join(re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)).split()
    )
    assert set(re.findall(r"^make (\w+)", page, re.MULTILINE)) == {"demo", "test"} <= goals
    for path in re.findall(r"(?:python|`) ?((?:examples|tools|tests)/[\w/.]+)", page):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([\w./-]+)\)", page):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_a_page_holds_one_version_of_each_passage(page: Path):
    assert not re.findall(r"^(?:<{7}|\|{7}|={7}|>{7})(?: .*)?$", page.read_text("utf-8"), re.MULTILINE)


# -- the checks themselves -----------------------------------------------------------------------------------------

PAGE = """
```python
# tea.py
x = 3
print(x)
```

```text
3
```

```python
def fail():
    raise ValueError(x)

await anyio.sleep(1)
fail()
```
"""


def test_a_block_is_found_with_its_line_its_name_and_what_it_prints():
    first, second = blocks(PAGE)
    assert (first.line, first.name, first.prints) == (2, "tea.py", "3\n")
    assert (second.line, second.name, second.prints) == (12, "block at line 12", None)


def test_a_block_that_prints_something_else_is_noticed(backend: str, capsys: pytest.CaptureFixture[str]):
    names: dict[str, Any] = {"anyio": anyio}
    printed = [run_block(block, names, lambda: capsys.readouterr().out) for block in blocks(PAGE)]
    assert printed == ["3\n", "ValueError: 3\n"]
