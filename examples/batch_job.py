"""A nightly batch: payments to a bank that is often busy, with retries, dead letters and a summary.

A payment is tried up to three times while the bank is busy, and once if the bank says no. `set_aside` takes what has
failed for good, so one bad payment stops no other. What was not paid is a dead letter: a line in a file, with the
reason, and the next night begins with that file. A night that is cut short, by its time limit or by Ctrl-C, leaves the
file as true as any other: what is paid is not in it, and what was under way is marked as in doubt.

Run it with `python examples/batch_job.py [--backend asyncio|trio]`: two nights, and between them somebody corrects a
name in the file.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import anyio
import attrs

from stretto import Context, Event, RetryPolicy, StartEvent, StopEvent, Workflow, catch_error, step
from stretto.events import StepFailedEvent
from stretto.retry import exponential

PAYMENTS = {"Baker": 120, "Printer": 75, "Plumer": 400, "Tax office": 900, "Florist": 35, "Gas works": 210}
"""In euros; one name is misspelt."""
ACCOUNTS = frozenset({"Baker", "Printer", "Plumber", "Tax office", "Florist", "Gas works"})
BUSY = {"Printer": 1, "Florist": 2, "Tax office": 4}
"""How often the bank is busy for somebody before it pays."""


class BankBusyError(Exception):
    """It may be better in a moment."""


class RefusedError(Exception):
    """It will not be better."""


@attrs.define(eq=False)
class Bank:
    """A bank that is busy by plan.

    Attributes:
        busy: How often it still is, for each name.
        paid: What it has paid, in order.
    """

    busy: Counter[str] = attrs.Factory(lambda: Counter(BUSY))
    paid: list[str] = attrs.Factory(list[str])

    async def pay(self, name: str) -> None:
        """Somebody gets their money, or an error says why not."""
        await anyio.sleep(0.02)
        if self.busy[name] > 0:
            self.busy[name] -= 1
            raise BankBusyError("all lines are busy")
        if name not in ACCOUNTS:
            raise RefusedError(f"nobody called {name} has an account")
        self.paid.append(name)


@attrs.frozen
class Letter:
    """A line of the file: a payment that is not made yet, and why."""

    name: str
    euros: int
    reason: str = "new"

    def __str__(self) -> str:
        return f"{self.euros} euros for {self.name}: {self.reason}"


@attrs.define(eq=False)
class Letters:
    """What is still to be paid; the steps say what becomes of it as it happens, and `save` writes it down."""

    file: Path
    open: dict[str, Letter] = attrs.Factory(dict[str, Letter])

    @classmethod
    def read(cls, file: Path) -> "Letters":
        """Those in a file."""
        letters = (Letter(**json.loads(line)) for line in file.read_text("utf-8").splitlines())
        return cls(file, {letter.name: letter for letter in letters})

    def mark(self, name: str, reason: str) -> None:
        """It is not paid, and this is why."""
        self.open[name] = attrs.evolve(self.open[name], reason=reason)

    def is_paid(self, name: str) -> None:
        """There is no letter any more."""
        del self.open[name]

    def save(self) -> None:
        """The file has the old lines or the new ones, never a half."""
        part = self.file.with_suffix(".part")
        part.write_text(written(self.open.values()), "utf-8")
        part.replace(self.file)


def written(letters: Iterable[Letter]) -> str:
    """One line of JSON each."""
    return "".join(f"{json.dumps(attrs.asdict(letter))}\n" for letter in letters)


class Payment(Event):
    """Somebody is to get their money."""

    name: str


class Done(Event):
    """What became of that: paid or not, after so many attempts."""

    paid: bool
    attempts: int


@attrs.frozen
class Summary:
    """How many payments were made, how many of them at a later attempt, and how many are dead letters."""

    paid: int
    again: int
    dead: int

    def __str__(self) -> str:
        return f"{self.paid} paid, {self.again} of them not at once; {self.dead} dead letters"


class Payments(Workflow[Summary]):
    """Pays what is open, a few at once."""

    def __init__(self, bank: Bank, letters: Letters, timeout: float | None = 45) -> None:
        super().__init__(timeout=timeout)
        self.bank = bank
        self.letters = letters

    @step
    async def begin(self, ev: StartEvent) -> list[Payment]:
        """Each payment goes its own way."""
        return [Payment(name=name) for name in self.letters.open]

    @step(num_workers=3, retry_policy=RetryPolicy(on=BankBusyError, attempts=3, wait=exponential(0.05)))
    async def pay(self, ctx: Context, ev: Payment) -> Done:
        """One attempt. Whoever cuts it short does not know whether the bank has paid."""
        self.letters.mark(ev.name, "in doubt: ask the bank")
        try:
            await self.bank.pay(ev.name)
        except Exception as error:
            self.letters.mark(ev.name, str(error))
            raise
        self.letters.is_paid(ev.name)
        return Done(paid=True, attempts=ctx.attempt.number)

    @catch_error(for_steps=["pay"])
    async def set_aside(self, ev: StepFailedEvent) -> Done:
        """It stays a letter, and the night goes on."""
        return Done(paid=False, attempts=ev.attempts)

    @step
    async def sum_up(self, done: list[Done]) -> StopEvent[Summary]:
        """Called once, when nothing is under way any more; also after a night without payments."""
        paid = [each for each in done if each.paid]
        again = [each for each in paid if each.attempts > 1]
        return StopEvent(result=Summary(paid=len(paid), again=len(again), dead=len(done) - len(paid)))


async def night(bank: Bank, file: Path, timeout: float | None = 45) -> Summary:  # noqa: ASYNC109 - the workflow's own
    """Pays what is in a file, and leaves in it what could not be paid, whatever happens."""
    letters = Letters.read(file)
    try:
        return await Payments(bank, letters, timeout).run()
    finally:
        letters.save()


async def main() -> None:
    """Two nights."""
    bank = Bank()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "letters.jsonl"
        file.write_text(written(Letter(*each) for each in PAYMENTS.items()), "utf-8")
        print("first night:", await night(bank, file))
        for letter in Letters.read(file).open.values():
            print(" ", letter)
        file.write_text(file.read_text("utf-8").replace("Plumer", "Plumber"), "utf-8")
        print("second night:", await night(bank, file))
    print("each was paid once:", sorted(bank.paid) == sorted(ACCOUNTS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
