"""The dealer who asks three sources: at once, within bounds, on real reviews, no peeking at the answers."""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import anyio
import attrs
import httpx2
import pytest

from examples import concurrent_monitor as dealer
from examples.concurrent_monitor import Decision, Monitor, Review, ReviewId, Shop, Sources, open_sources

REVIEWS = dealer.read_reviews()
ORDER_IN_SOURCE = (
    "apex-ad2600-dvd-player",
    "canon-g3-camera",
    "nikon-coolpix-4300-camera",
    "nokia-6610-phone",
    "creative-zen-xtra-player",
)
REAL_TIME = pytest.mark.usefixtures("real_time")
ON_BOTH = pytest.mark.anyio


# ------------------------------------------------------------------------------------------------ the reviews


def test_the_shipped_reviews_are_the_source_in_five_parts():
    parts = b"".join((dealer.DATA / "reviews" / f"{name}.tsv").read_bytes() for name in ORDER_IN_SOURCE)
    source = parts.removesuffix(b"\n").replace(b"\n", b"\r\n")
    digest = hashlib.sha256(source).hexdigest()
    assert digest in (dealer.DATA / "reviews" / "README.md").read_text(encoding="utf-8")
    assert digest == "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2"


def test_every_sentence_of_every_review_is_read():
    assert {name: len(reviews) for name, reviews in REVIEWS.items()} == {
        "apex-ad2600-dvd-player": 98,
        "canon-g3-camera": 39,
        "creative-zen-xtra-player": 90,
        "nikon-coolpix-4300-camera": 33,
        "nokia-6610-phone": 40,
    }
    everything = [review for reviews in REVIEWS.values() for review in reviews]
    assert sum(len(review.sentences) for review in everything) == 3708
    assert all(-4 <= rating <= 4 for review in everything for rating in review.ratings)
    [short] = [review for review in everything if review.id.number == 3]
    assert short.sentences[0] == "doesnt play new disney movies."
    assert short.rating == pytest.approx((-1.7 - 1.6 - 1.2) / 3)


# ----------------------------------------------------------------------- what the sources may and may not see


@attrs.frozen
class Answers:
    """What three sources say of the reviews of a product, without any workflow or shop."""

    online: list[bool]
    offline: list[bool]
    trend: list[bool]


async def ask_all(product: str, reviews: Mapping[str, Sequence[Review]], archive: Path) -> Answers:
    offline, trend = dealer.Offline(archive, dealer.learn_from_others(reviews)), dealer.Trend(reviews)
    return Answers(
        online=[sum(map(dealer.tone, it.sentences)) > 0 for it in reviews[product]],
        offline=[await offline.likes(it.id) for it in reviews[product]],
        trend=[trend.likes(it.id) for it in reviews[product]],
    )


@ON_BOTH
@pytest.mark.parametrize("product", sorted(REVIEWS))
async def test_no_source_sees_the_rating_it_is_checked_against(product: str, tmp_path: Path):
    """Falsify what people said of one product, in memory and in the archive, and the answers stay.

    The trend may know the past, so in memory the ratings are falsified from the middle on, beyond all measure:
    its answers up to there stay, the one at the turning point included, and all that follow are the opposite.
    """
    before = await ask_all(product, REVIEWS, dealer.DATA / "reviews")
    half = len(REVIEWS[product]) // 2
    falsified = [
        attrs.evolve(it, ratings=(-1e9 if before.trend[half] else 1e9,) * len(it.ratings))
        if at >= half
        else it
        for at, it in enumerate(REVIEWS[product])
    ]
    for file in (dealer.DATA / "reviews").glob("*.tsv"):
        text = file.read_text(encoding="utf-8")
        secret = re.sub(r"\t\S+\t", "\t-4\t", text) if file.stem == product else text
        (tmp_path / file.name).write_text(secret, encoding="utf-8")
    after = await ask_all(product, {**REVIEWS, product: falsified}, tmp_path)

    assert after.online == before.online
    assert after.offline == before.offline
    assert after.trend[: half + 1] == before.trend[: half + 1]
    assert set(after.trend[half + 1 :]) == {not before.trend[half]}


def a_review(*rated: tuple[str, float], number: int = 1) -> Review:
    sentences, ratings = zip(*rated, strict=True)
    return Review(id=ReviewId("it", number), sentences=sentences, ratings=ratings)


def test_weights_are_log_odds_with_one_added():
    weights = dealer.learn([a_review(("good good fun", 2), ("bad fun", -1))])
    # well: good 2, fun 1 of 3 words; badly: bad 1, fun 1 of 2; three different words in all
    assert weights == {
        "good": pytest.approx(math.log((3 / 6) / (1 / 5))),
        "fun": pytest.approx(math.log((2 / 6) / (2 / 5))),
        "bad": pytest.approx(math.log((1 / 6) / (2 / 5))),
    }


@pytest.mark.parametrize(
    ("sentence", "tone"),
    [
        ("Great sound, easy to use!", 2),
        ("not great", -1),
        ("it is not such a very great player", 1),  # the negation is four words away
        ("never had any problems", 1),
        ("I don't like it", -1),
        ("it has a button", 0),
    ],
)
def test_tone_counts_praise_and_blame_and_turns_round_after_a_negation(sentence: str, tone: int):
    assert dealer.tone(sentence) == tone


def test_the_trend_forgets_by_half_every_eight_reviews():
    """Eight bad reviews ago weigh one half, so one bad one must be more than half as good again."""
    past = [a_review(("", -1.9), number=1), *(a_review(("", 0), number=2 + at) for at in range(7))]
    for newest, likes in ((1.0, True), (0.9, False)):
        reviews = [*past, a_review(("", newest), number=9), a_review(("", -4), number=10)]
        assert dealer.Trend({"it": reviews}).likes(ReviewId("it", 10)) is likes
    assert dealer.Trend({"it": past}).likes(ReviewId("it", 1)), "a new product is given a chance"


# ------------------------------------------------------------------------------ the workflow, in virtual time


class Slow:
    """A source that takes its time, and counts how many it answers at once."""

    def __init__(self, seconds: float, *, good: bool = True) -> None:
        self.seconds, self.good = seconds, good
        self.at_work = self.peak = 0
        self.asked: list[int] = []

    async def likes(self, review: ReviewId) -> bool:
        self.asked.append(review.number)
        return await self._work()

    async def trade(self, review: ReviewId, *, good: bool) -> None:
        await self._work()

    async def _work(self) -> bool:
        self.at_work += 1
        self.peak = max(self.peak, self.at_work)
        await anyio.sleep(self.seconds)
        self.at_work -= 1
        return self.good


class Instant:
    def likes(self, review: ReviewId) -> bool:
        return review.number % 2 == 0


class Dealings(Slow):
    """The online source: asks and trades are counted apart."""

    def __init__(self, seconds: float, *, good: bool = True) -> None:
        super().__init__(seconds, good=good)
        self.trades = Slow(0.5)
        self.traded: dict[int, bool] = {}

    async def trade(self, review: ReviewId, *, good: bool) -> None:
        self.traded[review.number] = good
        await self.trades.trade(review, good=good)


def stand_ins(online: Any, offline: Any) -> Sources:
    return Sources(online, offline, Instant())  # pyright: ignore[reportArgumentType]


def numbered(count: int) -> list[ReviewId]:
    return [ReviewId("it", number) for number in range(1, count + 1)]


@ON_BOTH
async def test_three_sources_are_asked_at_once():
    """Seven seconds of waiting for three answers take as long as the longest of them."""
    start = anyio.current_time()
    [decision] = await Monitor(stand_ins(Dealings(3), Slow(4)), numbered(1)).run()
    assert anyio.current_time() - start == pytest.approx(4 + 0.5)
    assert decision == Decision(review=ReviewId("it", 1), online=True, offline=True, trend=False)


@ON_BOTH
async def test_each_source_works_on_no_more_reviews_than_it_may():
    """A hundred reviews, sixteen at a time online and four offline: the slower of the two sets the pace."""
    online, offline = Dealings(1), Slow(0.25)
    start = anyio.current_time()
    decisions = await Monitor(stand_ins(online, offline), numbered(100)).run()
    assert (online.peak, offline.peak, online.trades.peak) == (16, 4, 16)
    # seven rounds of sixteen online, a round of trades after the last one
    assert anyio.current_time() - start == pytest.approx(7 * 1 + 0.5)
    assert online.asked == offline.asked == list(range(1, 101))
    assert sorted(decision.review.number for decision in decisions) == list(range(1, 101))


@ON_BOTH
@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("offline", [True, False])
async def test_two_of_three_decide_what_is_traded(online: bool, offline: bool):
    dealings = Dealings(1, good=online)
    decisions = await Monitor(stand_ins(dealings, Slow(1, good=offline)), numbered(2)).run()
    for decision in decisions:
        votes = [online, offline, decision.review.number % 2 == 0]
        assert decision.vote is (votes.count(True) >= 2)
        assert dealings.traded[decision.review.number] is decision.vote


@ON_BOTH
async def test_answers_about_different_reviews_never_meet():
    """The archive answers in another order than the shop, and every decision is still about one review."""

    class Backwards(Slow):
        async def likes(self, review: ReviewId) -> bool:
            await anyio.sleep(10 / review.number)
            return review.number % 3 == 0

    decisions = await Monitor(stand_ins(Dealings(1), Backwards(0)), numbered(12)).run()
    assert len(decisions) == 12
    for it in decisions:
        assert (it.offline, it.trend) == (it.review.number % 3 == 0, it.review.number % 2 == 0)


@ON_BOTH
async def test_decisions_are_streamed_as_they_are_made():
    moments: list[float] = []
    start = anyio.current_time()
    async with Monitor(stand_ins(Dealings(1), Slow(0.01)), numbered(33)).run() as run:
        async for ev in run.stream_events():
            moments += [round(anyio.current_time() - start, 6)] * isinstance(ev, Decision)
    assert moments == [1.0] * 16 + [2.0] * 16 + [3.0]


# -------------------------------------------------------------------------------- the shop, over real sockets


@ON_BOTH
@REAL_TIME
async def test_the_shop_shows_a_review_and_takes_trades():
    shop = Shop(REVIEWS, latency=0)
    async with shop.open() as address, httpx2.AsyncClient(base_url=address, trust_env=False) as client:
        shown = await client.get("/reviews/nokia-6610-phone/194")
        assert shown.status_code == 200
        assert shown.json()[0] == "perfect phone."
        assert (await client.post("/orders/nokia-6610-phone/194")).status_code == 201
        assert (await client.post("/sales/nokia-6610-phone/195")).status_code == 201
    assert shop.trades == [("orders", "nokia-6610-phone/194"), ("sales", "nokia-6610-phone/195")]


@ON_BOTH
@REAL_TIME
@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /reviews/nokia-6610-phone/1 HTTP/1.1",
        b"GET /reviews/no-such-product/1 HTTP/1.1",
        b"GET /orders/nokia-6610-phone/194 HTTP/1.1",
        b"GET / HTTP/1.1",
        b"\xff\xfe",
        b"",
    ],
)
async def test_what_the_shop_does_not_know_is_not_found_and_it_goes_on(request_line: bytes):
    """On one connection: a request nobody can answer, then a good one."""
    shop = Shop(REVIEWS, latency=0)
    async with shop.open() as address:
        port = int(address.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as connection:
            await connection.send(request_line + b"\r\n\r\n")
            assert (await connection.receive()).startswith(b"HTTP/1.1 404 Not Found\r\n")
            await connection.send(b"GET /reviews/nokia-6610-phone/194 HTTP/1.1\r\nHost: it\r\n\r\n")
            assert (await connection.receive()).startswith(b"HTTP/1.1 200 OK\r\n")
    assert shop.trades == []


@ON_BOTH
@REAL_TIME
async def test_clients_that_hang_up_or_never_end_do_not_hurt_the_shop():
    shop = Shop(REVIEWS, latency=0)
    async with shop.open() as address, httpx2.AsyncClient(base_url=address, trust_env=False) as client:
        port = int(address.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as connection:
            await connection.send(b"GET /rev")
        async with await anyio.connect_tcp("127.0.0.1", port) as connection:
            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
                for _ in range(1000):
                    await connection.send(b"x" * 4096)
                await connection.receive()
        assert (await client.get("/reviews/nokia-6610-phone/194")).status_code == 200


def some(count: int) -> dict[str, list[Review]]:
    return {product: reviews[:count] for product, reviews in REVIEWS.items()}


@ON_BOTH
@REAL_TIME
async def test_at_once_is_faster_than_one_after_another_and_decides_the_same():
    """Fifty reviews, twenty milliseconds for every answer: two seconds of waiting, unless done at once."""
    ids = [review.id for product in some(10).values() for review in product]
    shop = Shop(REVIEWS, latency=0.02)
    async with open_sources(shop) as sources:
        start = anyio.current_time()
        at_once = await Monitor(sources, ids).run()
        middle = anyio.current_time()
        in_sequence = await dealer.one_after_another(sources, ids)
        end = anyio.current_time()
    assert sorted(at_once, key=str) == sorted(in_sequence, key=str)
    assert end - middle > 50 * 2 * 0.02
    assert middle - start < (end - middle) / 2
    assert 8 <= shop.busiest <= 32

    counted = Counter(shop.trades)
    assert set(counted.values()) == {2}, "every trade was made once by the workflow and once after it"
    assert set(counted) == {("orders" if it.vote else "sales", str(it.review)) for it in at_once}


@ON_BOTH
@REAL_TIME
async def test_an_error_of_the_shop_ends_the_run_and_comes_out_bare():
    ids = [REVIEWS["nokia-6610-phone"][0].id, ReviewId("nokia-6610-phone", 9999)]
    async with open_sources(Shop(REVIEWS, latency=0.01)) as sources:
        with pytest.raises(httpx2.HTTPStatusError, match="404 Not Found") as caught:
            await Monitor(sources, ids).run()
    assert any("Monitor.ask_online" in note for note in caught.value.__notes__)


# -------------------------------------------------------------------------------- all 300 reviews, recomputed


@functools.cache
def recompute() -> dict[str, dict[str, int]]:
    """How often each answer is right, per product: the same methods, written a second time."""
    table: dict[str, dict[int, list[tuple[float, str]]]] = {}
    for name in ORDER_IN_SOURCE:
        table[name] = {}
        for line in (dealer.DATA / "reviews" / f"{name}.tsv").read_text(encoding="utf-8").splitlines():
            key, rating, sentence = line.split("\t")
            table[name].setdefault(int(key.split("_")[0]), []).append((float(rating), sentence))
    right: dict[str, dict[str, int]] = {}
    for name in ORDER_IN_SOURCE:
        others = [it for other in table if other != name for rated in table[other].values() for it in rated]
        right[name], odds, smoothed = Counter(), _odds(others), 0.0
        for rated in table[name].values():
            rating = sum(rating for rating, _ in rated) / len(rated)
            text = re.findall("[a-z']+", " ".join(sentence for _, sentence in rated).lower())
            answers = {
                "online": sum(_tone(sentence) for _, sentence in rated) > 0,
                "offline": math.prod(odds.get(word, 1) for word in text) > 1,
                "trend": smoothed >= 0,
            }
            answers["vote"] = sum(answers.values()) >= 2
            for source, answer in answers.items():
                right[name][source] += answer == (rating > 0)
            right[name]["good"] += rating > 0
            smoothed = smoothed / 2 ** (1 / 8) + rating
    return right


def _tone(sentence: str) -> int:
    total, negated = 0, 0
    for word in re.findall("[a-z']+", sentence.lower()):
        sign = -1 if negated else 1
        total += sign * (word in dealer.LEXICON["praise"]) - sign * (word in dealer.LEXICON["blame"])
        negated = 3 if word in dealer.LEXICON["negation"] else max(0, negated - 1)
    return total


def _odds(lessons: list[tuple[float, str]]) -> dict[str, Fraction]:
    """Exact, where the example takes logarithms."""
    well, badly = (
        Counter(
            re.findall("[a-z']+", " ".join(text for rating, text in lessons if (rating > 0) is good).lower())
        )
        for good in (True, False)
    )
    vocabulary = {*well, *badly}
    of_well, of_badly = well.total() + len(vocabulary), badly.total() + len(vocabulary)
    return {it: Fraction((well[it] + 1) * of_badly, (badly[it] + 1) * of_well) for it in vocabulary}


@ON_BOTH
@REAL_TIME
async def test_the_agreement_is_what_a_second_computation_gives():
    ids = [review.id for product in REVIEWS.values() for review in product]
    async with open_sources(Shop(REVIEWS, latency=0.001)) as sources:
        decisions = await Monitor(sources, ids).run()
    right = recompute()

    lines = dealer.agreement(REVIEWS, decisions).splitlines()
    totals: Counter[str] = Counter()
    for line, product in zip(lines[1:6], sorted(right), strict=True):
        count, found = len(REVIEWS[product]), right[product]
        commoner = max(found["good"], count - found["good"])
        shares = [found[name] / count for name in ("vote", "online", "offline", "trend")]
        assert line.split()[:-1] == [
            product,
            str(count),
            *(f"{it:.1%}" for it in [*shares, commoner / count]),
        ]
        totals += Counter(found)
        totals["commoner"] += commoner
    shares = [totals[name] / 300 for name in ("vote", "online", "offline", "trend", "good")]
    assert lines[6].split() == ["all", "300", *(f"{it:.1%}" for it in shares), "(good)"]
    assert f"{totals['commoner'] / 300:.1%}" in lines[7]
    assert shares[0] > shares[4], "the vote is better than always saying what is true most often"


def test_the_demo_runs_on_the_backends_it_is_told(
    anyio_backend_name: str, capsys: pytest.CaptureFixture[str]
):
    dealer.main([anyio_backend_name], latency=0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{anyio_backend_name}:"
    assert len(re.findall(r"(?:order more|sell off)$", "\n".join(lines[1:7]), re.MULTILINE)) == 6
    assert "for the same decisions" in "\n".join(lines)
    assert lines[-1].startswith("(the commoner answer of each product")
