"""What stands beneath what in a report: the steps of a run, those of nested runs under the step that made them.

Runs of one workflow that were made by one step are one group, however many they are. In an application each other
member is a group of its own, below the steps of the run that was called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, final

import attrs

from ..journal import Ran
from .works import Work

__all__ = ["Row", "Rows"]


class Group(NamedTuple):
    """Runs that are told of together: the step that made them, if they are nested, and whose they are."""

    step: str
    name: str


Path = tuple[Group, ...]


@final
@attrs.frozen(kw_only=True)
class Row:
    """A step, or the head of a group.

    Attributes:
        depth: How far it is set in.
        owner: The workflow or the member.
        step: The step; empty for a head.
        works: What it did.
        runs: Of a head: how many runs are in the group.
    """

    depth: int
    owner: str
    step: str = ""
    works: Sequence[Work] = ()
    runs: int = 0


@final
class Rows:
    """The rows of a report.

    Args:
        name: The workflow of the run that is reported.
        steps: Its steps.
        runs: The other runs that its journal tells of.
        works: What all of them did.
    """

    def __init__(
        self, name: str, steps: Sequence[str], runs: Mapping[int, Ran], works: Sequence[Work]
    ) -> None:
        self._runs = runs
        self._steps: dict[Path, Sequence[str]] = {(): steps}
        self._names: dict[Path, str] = {(): name}
        self._counts: dict[Path, int] = {}
        self._made_by = {work.number: work.step for work in works}
        self._paths: dict[int, Path] = {0: ()}
        self._works: dict[tuple[Path, str], list[Work]] = {}
        for number in runs:
            path = self._path(number)
            self._counts[path] = self._counts.get(path, 0) + 1
        for work in works:
            path = self._path(work.run)
            self._works.setdefault((path, work.step), []).append(work)
            if work.run and work.run not in runs:  # its steps are known by what they did
                self._known(path, self._names[path], (work.step,))

    def owner(self, work: Work) -> str:
        """Whose piece of work it is: a workflow, or a member."""
        return self._names[self._path(work.run)]

    def __iter__(self) -> Iterator[Row]:
        return self._below((), 0)

    def _below(self, path: Path, depth: int) -> Iterator[Row]:
        """The rows of a group, with those that are nested in it."""
        inner = [each for each in self._names if each and each[:-1] == path]
        for step in self._steps[path]:
            yield Row(
                depth=depth, owner=self._names[path], step=step, works=self._works.get((path, step), ())
            )
            yield from self._groups([each for each in inner if each[-1].step == step], depth + 1)
        yield from self._groups([each for each in inner if each[-1].step not in self._steps[path]], depth)

    def _groups(self, paths: Sequence[Path], depth: int) -> Iterator[Row]:
        for path in paths:
            yield Row(depth=depth, owner=self._names[path], runs=self._counts.get(path, 0))
            yield from self._below(path, depth + 1)

    def _path(self, number: int) -> Path:
        """The groups that a run is in, the outermost first."""
        path = self._paths.get(number)
        if path is None:
            path = self._paths[number] = self._found(number)
        return path

    def _found(self, number: int) -> Path:
        ran = self._runs.get(number)
        if ran is None:  # of so many runs the first are forgotten
            return self._known((Group("", "earlier runs"),), "earlier runs", ())
        if ran.member is not None:
            return self._known((Group("", ran.member),), ran.member, ran.steps)
        made_by = self._made_by.get(ran.work, "")
        return self._known((*self._path(ran.within), Group(made_by, ran.workflow)), ran.workflow, ran.steps)

    def _known(self, path: Path, name: str, steps: Sequence[str]) -> Path:
        self._names.setdefault(path, name)
        self._steps[path] = tuple(dict.fromkeys([*self._steps.get(path, ()), *steps]))
        return path
