"""Map and reduce: what do people praise and blame about five products?

The reviews are real: 300 of them, rated sentence by sentence by people (in `data/reviews`). The program forks twice,
and nobody counts how many there are to wait for. `begin` returns a list with one event for each product; `read` returns
one with each review of its product. `count` maps a review to its words. `add` takes a list of these, so it is called
once for each product, when all of its reviews have been counted; `report` takes a list of what `add` returns, and is
called once.

Run it with `python examples/reviews_map_reduce.py [--backend asyncio|trio]`.
"""

import argparse
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated

import anyio
import attrs

from stretto import Event, StartEvent, StopEvent, Workflow, step
from stretto.joins import All

REVIEWS = Path(__file__).parent / "data" / "reviews"
CLEAR = 1.0  # a sentence that is rated above this praises; one below the negative of it blames
SHORTEST = 5  # letters of a word that says something


@attrs.frozen
class Sentence:
    """What somebody wrote, and how people rated it (-4 to +4)."""

    rating: float
    text: str


class Product(Event):
    """A product is to be looked at; its reviews are in this file."""

    file: Path


class Review(Event):
    """One review, to be counted."""

    product: str
    sentences: list[Sentence]


class Words(Event):
    """How often each word of a review is in sentences that praise, less how often it is in those that blame."""

    product: str
    balance: Counter[str]


class Total(Event):
    """The same of all reviews of a product."""

    product: str
    reviews: int
    balance: Counter[str]


class Reviews(Workflow[list[Total]]):
    """Gives the words of each product, in the order of the files."""

    @step
    async def begin(self, ev: StartEvent) -> list[Product]:
        """Fork: one branch for each product."""
        return [Product(file=file) for file in sorted(REVIEWS.glob("*.tsv"))]

    @step
    async def read(self, ev: Product) -> list[Review]:
        """Fork once more: one branch for each review."""
        text = await anyio.Path(ev.file).read_text(encoding="utf-8")
        reviews: defaultdict[str, list[Sentence]] = defaultdict(list)
        for line in text.splitlines():
            key, rating, said = line.split("\t")
            reviews[key.partition("_")[0]].append(Sentence(float(rating), said))
        return [Review(product=ev.file.stem, sentences=sentences) for sentences in reviews.values()]

    @step
    async def count(self, ev: Review) -> Words:
        """Map: the words of one review."""
        balance = Counter[str]()
        for sentence in ev.sentences:
            words = [word for word in re.findall(r"[a-z]+", sentence.text) if len(word) >= SHORTEST]
            if sentence.rating > CLEAR:
                balance.update(words)
            elif sentence.rating < -CLEAR:
                balance.subtract(words)
        return Words(product=ev.product, balance=balance)

    @step
    async def add(self, counted: list[Words]) -> Total:
        """Reduce: once for each product."""
        balance = Counter[str]()
        for each in counted:
            balance.update(each.balance)
        return Total(product=counted[0].product, reviews=len(counted), balance=balance)

    @step
    async def report(self, totals: Annotated[list[Total], All(order="source")]) -> StopEvent[list[Total]]:
        """Once for all of them; in the order of the files, whichever was read first."""
        return StopEvent(result=totals)


def words(total: Total, count: int = 4) -> tuple[str, str]:
    """The words that speak most for a product, and those that speak most against it."""
    ranked = sorted(total.balance, key=lambda word: (-total.balance[word], word))
    return ", ".join(ranked[:count]), ", ".join(reversed(ranked[-count:]))


async def main() -> None:
    """Print a line for each product."""
    for total in await Reviews().run():
        praise, blame = words(total)
        print(f"{total.product:<27} {total.reviews:>3} reviews: {praise}; but {blame}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
