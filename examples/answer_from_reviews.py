"""Retrieval and answer: what do 300 reviews say about the battery?

A question is looked up in real reviews (in `data/reviews`), and answered from the passages that speak of it most, each
with its source. How much a passage speaks of a word is BM25: often in a short passage counts, and rare words count
more. How rare a word is, nobody knows before all files are read, so the program forks twice. `read` cuts a file into
passages and counts in how many of them each word is; `weigh` joins these counts, and forks again with the weights;
`search` looks through the passages of one file; `answer` joins what was found.

Run it with `python examples/answer_from_reviews.py [--backend asyncio|trio] [question]`.
"""

import argparse
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from textwrap import shorten
from typing import Annotated

import anyio
import attrs

from stretto import Event, StartEvent, StopEvent, Workflow, step
from stretto.joins import All

REVIEWS = Path(__file__).parent / "data" / "reviews"
LENGTH = 2  # sentences of a passage
BEST = 12  # passages that an answer rests on
QUESTION = "how long does the battery last?"
EVERYDAY = re.compile(
    "(about|all|and|any|are|as|at|be|but|by|do|does|for|from|have|how|in|is|it|its|long|me|my|not|of|on|or|so|than|"
    "that|the|there|they|think|this|to|very|was|what|when|which|who|will|with|you)"
)
"""Words that say nothing."""


@attrs.frozen
class Passage:
    """A few sentences of one review, its words that say something, and how people rated it (-4 to +4)."""

    product: str
    review: int
    text: str
    words: Counter[str]
    rating: float


class Question(StartEvent):
    """Somebody wants to know: a run begins with this."""

    text: str


class File(Event):
    """A file with the reviews of one product is to be read."""

    path: Path
    asked: tuple[str, ...]


class Shelf(Event):
    """The passages of one file, and in how many of them each word of the question is."""

    passages: Sequence[Passage]
    asked: tuple[str, ...]
    having: Counter[str]


class Search(Event):
    """A shelf is to be looked through: what each word weighs, and how long passages are on average."""

    passages: Sequence[Passage]
    weights: Mapping[str, float]
    usual: float


@attrs.frozen
class Hit:
    """A passage, and how much it speaks of what was asked."""

    score: float
    passage: Passage


class Hits(Event):
    """The best ones of a shelf."""

    hits: Sequence[Hit]


@attrs.frozen
class Answer:
    """What the passages say that speak of it most, best first; none if nothing does."""

    hits: Sequence[Hit]

    def liked(self) -> list[tuple[float, int, str]]:
        """For each product with several of these passages: how well it is liked there, in how many."""
        ratings = defaultdict[str, list[float]](list)
        for hit in self.hits:
            ratings[hit.passage.product].append(hit.passage.rating)
        means = ((fmean(each), len(each), product) for product, each in ratings.items() if len(each) > 1)
        return sorted(means, reverse=True)


class Library(Workflow[Answer]):
    """Answers a question from all files of a folder."""

    def __init__(self, folder: Path = REVIEWS) -> None:
        super().__init__()
        self.folder = folder

    @step
    async def open(self, ev: Question) -> list[File]:
        """Fork: one branch for each file."""
        asked = tuple(dict.fromkeys(words_in(ev.text)))
        paths = [path async for path in anyio.Path(self.folder).glob("*.tsv")]
        return [File(path=Path(path), asked=asked) for path in sorted(paths)]

    @step
    async def read(self, ev: File) -> Shelf:
        """A file is a shelf of passages."""
        passages = passages_in(ev.path.stem, await anyio.Path(ev.path).read_text(encoding="utf-8"))
        having = Counter(word for each in passages for word in ev.asked if word in each.words)
        return Shelf(passages=passages, asked=ev.asked, having=having)

    @step
    async def weigh(self, shelves: Annotated[list[Shelf], All(order="source")]) -> list[Search]:
        """Once, when all is read; and another fork, as wide as the first."""
        passages = [passage for shelf in shelves for passage in shelf.passages]
        having = sum((shelf.having for shelf in shelves), Counter[str]())
        rare = {word: math.log(1 + (len(passages) - n + 0.5) / (n + 0.5)) for word, n in having.items()}
        usual = fmean(each.words.total() for each in passages) if passages else 0
        return [Search(passages=shelf.passages, weights=rare, usual=usual) for shelf in shelves]

    @step
    async def search(self, ev: Search) -> Hits:
        """The best passages of one shelf."""
        hits = (Hit(score_of(passage, ev.weights, ev.usual), passage) for passage in ev.passages)
        return Hits(hits=best(hit for hit in hits if hit.score > 0))

    @step
    async def answer(self, found: Annotated[list[Hits], All(order="source")]) -> StopEvent[Answer]:
        """The best of all."""
        return StopEvent(result=Answer(best(hit for each in found for hit in each.hits)))


def words_in(text: str) -> list[str]:
    """The words of a text that say something; a plural is as good as a singular."""
    return [
        word.removesuffix("s")
        for word in re.findall(r"[a-z]{2,}", text.lower())
        if not EVERYDAY.fullmatch(word)
    ]


def passages_in(product: str, text: str) -> list[Passage]:
    """The passages of a file: a line is a sentence, with its number and its rating; no passage is of two reviews."""
    reviews = defaultdict[int, list[tuple[float, str]]](list)
    for line in text.splitlines():
        key, rating, sentence = line.split("\t")
        reviews[int(key.partition("_")[0])].append((float(rating), sentence.strip()))
    found: list[Passage] = []
    for review, sentences in reviews.items():
        for first in range(0, len(sentences), LENGTH):
            ratings, texts = zip(*sentences[first : first + LENGTH], strict=True)
            said = " ".join(texts)
            found.append(Passage(product, review, said, Counter(words_in(said)), fmean(ratings)))
    return found


def score_of(passage: Passage, weights: Mapping[str, float], usual: float) -> float:
    """BM25, with its usual constants: how much a passage speaks of these words, beside one of the usual length."""
    longer = 0.25 + 0.75 * passage.words.total() / usual
    often = ((weight, passage.words[word]) for word, weight in weights.items())
    return sum(weight * count * 2.5 / (count + 1.5 * longer) for weight, count in often)


def best(hits: Iterable[Hit]) -> list[Hit]:
    """Those with the highest score; of equals, whichever came first in the files."""
    return sorted(hits, key=lambda hit: -hit.score)[:BEST]


async def main(question: str = QUESTION) -> None:
    """Print the verdict, and the three passages that speak most of it."""
    answer = await Library().run(Question(text=question))
    print("?", question)
    if not answer.hits:
        print("nobody speaks of that")
    for rating, count, product in answer.liked():
        print(f"{product:<26} {rating:+.1f} in {count} passages")
    for hit in answer.hits[:3]:
        said = hit.passage
        print(f'- "{shorten(said.text, 110)}" ({said.product}, review {said.review})')


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("question", nargs="*", default=[QUESTION])
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    given = parser.parse_args()
    anyio.run(main, " ".join(given.question), backend=given.backend)
