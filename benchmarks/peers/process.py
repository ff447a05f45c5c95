"""The coordinator's end of a worker: a process that is asked for one sample at a time."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any, cast

from benchmarks.peers.catalog import ROOT, Entry
from benchmarks.peers.worker import Answer, Hello, Request, Times

PATIENCE = 600.0
"""Seconds after which a worker is given up: far more than its slowest sample needs."""


class WorkerError(Exception):
    """A worker that could not be started, that ended, or whose program failed."""


class Worker:
    """One contender at the other end of two pipes. All of it blocks: nothing else may be at work meanwhile."""

    def __init__(self, entry: Entry, process: subprocess.Popen[str]) -> None:
        self.entry, self._process = entry, process
        # Both are there: the process was opened with two pipes.
        self._requests, self._lines = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
        self.hello = cast(Hello, self._heard())
        """Who is at the other end: the first thing that a worker says."""

    def ask(self, request: Request) -> Times:
        """One sample.

        Raises:
            WorkerError: the program failed there, or the worker is gone.
        """
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        except BrokenPipeError as error:
            raise self._ended() from error
        answer = cast(Answer, self._heard())
        if "error" in answer:
            raise WorkerError(f"{self.entry.name}: {answer['error']}")
        return answer

    def _heard(self) -> dict[str, Any]:
        # A worker says one whole line for each that it is told, so what is there to be read is all of it.
        ready, _, _ = select.select([self._lines], [], [], PATIENCE)
        if not ready:
            self._process.kill()
            raise WorkerError(f"{self.entry.name} gave no answer in {PATIENCE:g} s")
        line = self._lines.readline()
        if not line:
            raise self._ended()
        return cast(dict[str, Any], json.loads(line))

    def _ended(self) -> WorkerError:
        return WorkerError(f"{self.entry.name} ended without an answer")


@contextmanager
def started(entry: Entry) -> Generator[Worker]:
    """A worker's process, which is asked to end, and waited for, when the block is left."""
    command = [entry.python, "-m", "benchmarks.peers.worker", entry.module, entry.backend]
    try:
        opened = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    except FileNotFoundError as error:
        raise WorkerError(f"{entry.name} has no Python at {entry.python}: run `make bench-peers`") from error
    with opened as process:
        # communicate() closes the worker's standard input, which ends it, and waits until it has ended.
        try:
            yield Worker(entry, process)
        finally:
            process.communicate()
