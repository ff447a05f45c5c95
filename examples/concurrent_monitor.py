"""Three sources at once: a dealer asks about every new review of a product and trades on the majority.

The reviews are real: 300 of them, of five products, rated sentence by sentence by people (in `data/reviews`).
For each review that arrives, three sources say at the same time whether the product is liked:

- *online* fetches the review from a shop (an HTTP server on this machine that takes its time to answer, as
  one far away would) and counts its words of praise and of blame;
- *offline* finds it in an archive on disk and weighs every word by the company it keeps: how people rated the
  sentences with that word in reviews of the four *other* products;
- *trend* never reads it, and knows only how people rated the earlier reviews of the product.

Two of three decide; the dealer then orders more from the shop or sells off. No source sees a rating of the
review that it judges, nor of a later one of that product: those the votes are checked against in the end.

Run it with `python examples/concurrent_monitor.py [--backend asyncio|trio]`; it runs on both unless told.
"""

import argparse
import json
import math
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import fmean
from time import perf_counter

import anyio
import anyio.to_thread
import attrs
import httpx2
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step

DATA = Path(__file__).parent / "data"


# ----------------------------------------------------------------------------------------------- the workflow


@attrs.frozen
class ReviewId:
    """Names a review, which is all that a source is told."""

    product: str
    number: int

    def __str__(self) -> str:
        return f"{self.product}/{self.number}"


class Arrived(Event):
    """Somebody has reviewed a product. Three steps take this, so all three begin at once."""

    review: ReviewId


class Opinion(Event):
    """Whether a source finds that the product is liked."""

    review: ReviewId
    good: bool


class OnlineOpinion(Opinion):
    """What the shop's own text says."""


class OfflineOpinion(Opinion):
    """What the archive says."""


class TrendOpinion(Opinion):
    """What the past says."""


class Decision(Event):
    """What three sources found about a review."""

    review: ReviewId
    online: bool
    offline: bool
    trend: bool

    @property
    def vote(self) -> bool:
        """What most of them found."""
        return self.online + self.offline + self.trend > 1

    def __str__(self) -> str:
        said = f"{WORD[self.online]} online, {WORD[self.offline]} offline, {WORD[self.trend]} by the trend"
        return f"{self.review!s:<30} {said:<45} {'order more' if self.vote else 'sell off'}"


WORD = {True: "good", False: "bad"}


class Monitor(Workflow[list[Decision]]):
    """Decides on a number of reviews and trades; the result is the decisions in the order of the trades."""

    def __init__(self, sources: "Sources", reviews: Sequence[ReviewId]) -> None:
        super().__init__(timeout=50)
        self.sources = sources
        self.reviews = reviews

    @step
    async def open(self, ev: StartEvent) -> list[Arrived]:
        """All reviews come in at once; how many are worked on is the business of each source."""
        return [Arrived(review=review) for review in self.reviews]

    @step(num_workers=16)
    async def ask_online(self, ev: Arrived) -> OnlineOpinion:
        """Wait for the shop, for sixteen reviews at a time."""
        return OnlineOpinion(review=ev.review, good=await self.sources.online.likes(ev.review))

    @step(num_workers=4)
    async def ask_offline(self, ev: Arrived) -> OfflineOpinion:
        """Wait for the disk, with four open files at the most."""
        return OfflineOpinion(review=ev.review, good=await self.sources.offline.likes(ev.review))

    @step(num_workers=1)
    async def ask_trend(self, ev: Arrived) -> TrendOpinion:
        """Compute, which two at a time would not do faster."""
        return TrendOpinion(review=ev.review, good=self.sources.trend.likes(ev.review))

    @step
    async def decide(
        self, ctx: Context, ev: OnlineOpinion | OfflineOpinion | TrendOpinion
    ) -> Decision | None:
        """Wait until all three have spoken about a review; a buffer for each keeps the reviews apart."""
        kinds = [OnlineOpinion, OfflineOpinion, TrendOpinion]
        opinions = ctx.collect_events(ev, kinds, buffer_id=ev.review)
        if opinions is None:
            return None
        online, offline, trend = (opinion.good for opinion in opinions)
        decision = Decision(review=ev.review, online=online, offline=offline, trend=trend)
        ctx.write_event_to_stream(decision)
        return decision

    @step(num_workers=16)
    async def trade(self, ctx: Context, ev: Decision) -> StopEvent[list[Decision]] | None:
        """Act on the vote; the last trade ends the run."""
        await self.sources.online.trade(ev.review, good=ev.vote)
        decisions = ctx.collect_events(ev, [Decision] * len(self.reviews))
        return None if decisions is None else StopEvent(result=decisions)


async def one_after_another(sources: "Sources", reviews: Sequence[ReviewId]) -> list[Decision]:
    """The same work without a workflow, for comparison: nothing begins before the last thing has ended."""
    decisions: list[Decision] = []
    for review in reviews:
        online = await sources.online.likes(review)
        offline = await sources.offline.likes(review)
        trend = sources.trend.likes(review)
        decisions.append(Decision(review=review, online=online, offline=offline, trend=trend))
        await sources.online.trade(review, good=decisions[-1].vote)
    return decisions


# ------------------------------------------------------------------------------------------------ the reviews


@attrs.frozen(kw_only=True)
class Review:
    """A review, with what people made of each of its sentences (-4 to +4)."""

    id: ReviewId
    sentences: tuple[str, ...]
    ratings: tuple[float, ...]

    @property
    def rating(self) -> float:
        """The mean rating of its sentences."""
        return fmean(self.ratings)

    @property
    def good(self) -> bool:
        """Whether people found it friendly on the whole: the truth that the sources try to guess."""
        return self.rating > 0


def read_reviews(folder: Path = DATA / "reviews") -> dict[str, list[Review]]:
    """All reviews of each product, in the order of its file."""
    return {file.stem: list(_read_file(file)) for file in sorted(folder.glob("*.tsv"))}


def _read_file(file: Path) -> Iterable[Review]:
    rated: defaultdict[int, list[tuple[str, float]]] = defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        key, rating, sentence = line.split("\t")
        rated[int(key.partition("_")[0])].append((sentence, float(rating)))
    for number, pairs in rated.items():
        sentences, ratings = zip(*pairs, strict=True)
        yield Review(id=ReviewId(file.stem, number), sentences=sentences, ratings=ratings)


def words(text: str) -> list[str]:
    """The words of a text, in small letters; an apostrophe is part of its word."""
    return re.findall(r"[a-z']+", text.lower())


# ------------------------------------------------------------------------------------------------ the sources

_TEXTS: dict[str, str] = tomllib.loads((DATA / "lexicon.toml").read_text(encoding="utf-8"))
LEXICON = {kind: frozenset(text.split()) for kind, text in _TEXTS.items()}


def tone(sentence: str) -> int:
    """Words of praise minus words of blame; a negation among the three words before turns one round."""
    said = words(sentence)
    return sum(
        ((word in LEXICON["praise"]) - (word in LEXICON["blame"]))
        * (-1 if LEXICON["negation"].intersection(said[max(0, place - 3) : place]) else 1)
        for place, word in enumerate(said)
    )


@attrs.frozen
class Online:
    """Reads reviews in the shop, and trades there."""

    client: httpx2.AsyncClient

    async def likes(self, review: ReviewId) -> bool:
        """Whether the review praises more than it blames."""
        response = await self.client.get(f"/reviews/{review}")
        sentences: list[str] = response.raise_for_status().json()
        return sum(map(tone, sentences)) > 0

    async def trade(self, review: ReviewId, *, good: bool) -> None:
        """Order more of a product that is liked, sell off one that is not."""
        response = await self.client.post(f"/{'orders' if good else 'sales'}/{review}")
        response.raise_for_status()


@attrs.frozen
class Offline:
    """Reads reviews in the archive, and weighs their words; the weights depend on the product."""

    folder: Path
    weights: Mapping[str, Mapping[str, float]]

    async def likes(self, review: ReviewId) -> bool:
        """Whether its words are more at home in sentences that people rated well."""
        archive = await anyio.Path(self.folder / f"{review.product}.tsv").read_text(encoding="utf-8")
        sentences = re.findall(rf"^{review.number}_\d+\t\S+\t(.*)$", archive, re.MULTILINE)
        weights = self.weights[review.product]
        return sum(weights.get(word, 0.0) for sentence in sentences for word in words(sentence)) > 0


def learn(reviews: Iterable[Review]) -> dict[str, float]:
    """The weight of each word, by naive Bayes: its log odds in sentences rated well and badly."""
    well, badly = Counter[str](), Counter[str]()
    for review in reviews:
        for sentence, rating in zip(review.sentences, review.ratings, strict=True):
            (well if rating > 0 else badly).update(words(sentence))
    vocabulary = well | badly
    odds = math.log((badly.total() + len(vocabulary)) / (well.total() + len(vocabulary)))
    return {word: math.log((well[word] + 1) / (badly[word] + 1)) + odds for word in vocabulary}


def learn_from_others(reviews: Mapping[str, Sequence[Review]]) -> dict[str, dict[str, float]]:
    """For each product, what words mean in the reviews of the others."""
    return {
        product: learn(review for other in reviews if other != product for review in reviews[other])
        for product in reviews
    }


@attrs.frozen
class Trend:
    """Knows how people rated the reviews of each product, and looks only at earlier ones."""

    reviews: Mapping[str, Sequence[Review]]
    half_life: int = 8

    def likes(self, review: ReviewId) -> bool:
        """Whether the past was good on average; a rating weighs half as much as one `half_life` newer."""
        past = [other.rating for other in self.reviews[review.product] if other.id.number < review.number]
        return (
            sum(rating * math.exp2(-age / self.half_life) for age, rating in enumerate(reversed(past))) >= 0
        )


@attrs.frozen
class Sources:
    """The three that are asked."""

    online: Online
    offline: Offline
    trend: Trend


# --------------------------------------------------------------------------------------------------- the shop


@attrs.define(eq=False)
class Shop:
    """A small HTTP/1.1 server: it shows the sentences of a review as JSON, and takes orders and sales.

    Attributes:
        latency: How many seconds every answer takes.
        trades: What came in, as `orders` or `sales` and the review that was the reason.
        busiest: How many requests were waiting for an answer at once, at most.
    """

    reviews: Mapping[str, Sequence[Review]]
    latency: float
    trades: list[tuple[str, str]] = attrs.field(factory=list[tuple[str, str]])
    busiest: int = 0
    _waiting: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[str]:
        """Serve on a free port of this machine while the block runs; gives the address."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as connections:
            connections.start_soon(listener.serve, self._serve)
            yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610, not Django's
            connections.cancel_scope.cancel()

    async def _serve(self, connection: SocketStream) -> None:
        """Answer one request after another, until the client hangs up."""
        requests = BufferedByteReceiveStream(connection)
        async with connection:
            with suppress(anyio.IncompleteRead, anyio.BrokenResourceError, anyio.DelimiterNotFound):
                while True:
                    head = await requests.receive_until(b"\r\n\r\n", max_bytes=65_536)
                    await connection.send(await self._answer(head.decode("ascii", "replace")))

    async def _answer(self, head: str) -> bytes:
        self._waiting += 1
        self.busiest = max(self.busiest, self._waiting)
        await anyio.sleep(self.latency)
        self._waiting -= 1
        status, body = self._look_up(*head.partition("\r\n")[0].replace("/", " ").split()[:4])
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode("ascii")

    def _look_up(self, *request: str) -> tuple[str, str]:
        """The status line and the body (JSON, and so ASCII) of an answer to `GET reviews apples 12`, say."""
        match request:
            case "GET", "reviews", product, number if review := self._find(product, number):
                return "200 OK", json.dumps(review.sentences)
            case "POST", "orders" | "sales" as kind, product, number if review := self._find(product, number):
                self.trades.append((kind, str(review.id)))
                return "201 Created", "{}"
            case _:
                return "404 Not Found", "{}"

    def _find(self, product: str, number: str) -> Review | None:
        reviews = self.reviews.get(product, ())
        return next((review for review in reviews if str(review.id.number) == number), None)


@asynccontextmanager
async def open_sources(shop: Shop) -> AsyncGenerator[Sources]:
    """Learn, open the shop, and ask it over HTTP."""
    weights = await anyio.to_thread.run_sync(learn_from_others, shop.reviews)
    async with shop.open() as address, httpx2.AsyncClient(base_url=address, trust_env=False) as client:
        yield Sources(Online(client), Offline(DATA / "reviews", weights), Trend(shop.reviews))


# --------------------------------------------------------------------------------------------------- the demo


async def at_once(sources: Sources, reviews: Sequence[ReviewId]) -> list[Decision]:
    """Run the workflow, and show every fiftieth decision as it comes."""
    start, count = perf_counter(), 0
    async with Monitor(sources, reviews).run() as run:
        async for ev in run.stream_events():
            if isinstance(ev, Decision):
                if count % 50 == 0:
                    print(f"  {perf_counter() - start:5.2f} s  {ev}")
                count += 1
        return await run


async def compare(reviews: Mapping[str, Sequence[Review]], *, latency: float) -> list[Decision]:
    """Decide on all reviews, at once and then one after another, and tell how long it took."""
    ids = [review.id for product in reviews.values() for review in product]
    shop = Shop(reviews, latency)
    async with open_sources(shop) as sources:
        start = perf_counter()
        decisions = await at_once(sources, ids)
        quick = perf_counter() - start
        trades = Counter(kind for kind, _ in shop.trades)
        print(f"  at once: {quick:.2f} s for {trades['orders']} orders and {trades['sales']} sales,")
        print(f"  with up to {shop.busiest} requests waiting for the shop")
        start = perf_counter()
        again = await one_after_another(sources, ids)
        slow = perf_counter() - start
    same = "the same" if sorted(decisions, key=str) == sorted(again, key=str) else "OTHER"
    print(f"  one after another: {slow:.2f} s, {slow / quick:.1f} times as long, for {same} decisions")
    return decisions


def agreement(reviews: Mapping[str, Sequence[Review]], decisions: Iterable[Decision]) -> str:
    """A table: how often the vote, its sources, and always the commoner answer agree with people."""
    decided = {decision.review: decision for decision in decisions}
    answers = ("vote", "online", "offline", "trend")
    lines = [f"{'agreement':<26}  reviews{''.join(f'{name:>9}' for name in answers)}  commoner answer"]
    for name, group in {**reviews, "all": [it for product in reviews.values() for it in product]}.items():
        shares = [fmean(getattr(decided[it.id], answer) == it.good for it in group) for answer in answers]
        commoner, count = _commoner(group)
        lines.append(
            f"{name:<26}{len(group):>9}{''.join(f'{share:>9.1%}' for share in shares)}"
            f"{count / len(group):>9.1%} ({WORD[commoner]})"
        )
    share = sum(_commoner(group)[1] for group in reviews.values()) / len(decided)
    lines.append(f"(the commoner answer of each product, if one knew it beforehand: {share:.1%})")
    return "\n".join(lines)


def _commoner(reviews: Iterable[Review]) -> tuple[bool, int]:
    return Counter(review.good for review in reviews).most_common(1)[0]


def main(backends: Sequence[str], *, latency: float = 0.01) -> None:
    """Compare on each backend, then check the decisions of the last against the ratings."""
    reviews = read_reviews()
    decisions: list[Decision] = []
    for backend in backends:
        print(f"{backend}:")
        decisions = anyio.run(partial(compare, reviews, latency=latency), backend=backend)
    print(agreement(reviews, decisions))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"])
    backend = parser.parse_args().backend
    main([backend] if backend else ["asyncio", "trio"])
