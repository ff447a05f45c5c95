"""What is found is what BM25 over all passages at once would find, in whatever order the files are read."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, strategies as st

from examples import answer_from_reviews as reviews
from examples.answer_from_reviews import REVIEWS, Library, Passage, Question, Shelf, passages_in, words_in
from stretto.testing import Faults, TestRun, explore, faked

pytestmark = pytest.mark.anyio

FILES = sorted(REVIEWS.glob("*.tsv"))
PASSAGES = [each for file in FILES for each in passages_in(file.stem, file.read_text("utf-8"))]


def bm25(asked: set[str], passages: list[Passage]) -> list[float]:
    """As it is written in books, over all passages at once."""
    usual = fmean(each.words.total() for each in passages)
    scores = [0.0] * len(passages)
    for word in asked:
        having = sum(word in each.words for each in passages)
        rare = math.log((len(passages) - having + 0.5) / (having + 0.5) + 1)
        for number, each in enumerate(passages):
            often = each.words[word]
            length = 1 - 0.75 + 0.75 * each.words.total() / usual
            scores[number] += rare * often * (1.5 + 1) / (often + 1.5 * length)
    return scores


async def test_the_program_prints_a_verdict_and_its_sources(capsys: pytest.CaptureFixture[str]):
    await reviews.main()
    question, *verdicts, first, second, third = capsys.readouterr().out.splitlines()
    assert question == "? how long does the battery last?"
    assert verdicts[0] == "nokia-6610-phone           +0.9 in 5 passages"
    assert first.startswith('- "battery life: the battery life on this phone is surreal.')
    for each in (first, second, third):
        assert "batter" in each or "last" in each


@pytest.mark.parametrize(
    "text", ["how long does the battery last?", "is the remote control any good?", "ZOOM"]
)
async def test_what_is_found_is_what_a_plain_search_finds(text: str):
    answer = await Library().run(Question(text=text))
    asked = {*words_in(text)}
    scores = sorted(bm25(asked, PASSAGES), reverse=True)[: reviews.BEST]
    assert [hit.score for hit in answer.hits] == pytest.approx([each for each in scores if each])
    assert all(asked & {*hit.passage.words} for hit in answer.hits)


@pytest.mark.parametrize("text", ["xylophone", "the of and", "?"])
async def test_what_nobody_speaks_of_has_no_answer(text: str, capsys: pytest.CaptureFixture[str]):
    assert (await Library().run(Question(text=text))).hits == []
    await reviews.main(text)
    assert capsys.readouterr().out.splitlines() == [f"? {text}", "nobody speaks of that"]


async def test_a_library_without_books_has_no_answer(tmp_path: Path):
    assert (await Library(tmp_path).run(Question(text="battery"))).hits == []


async def test_a_file_that_is_no_reviews_fails_the_run_and_is_named(tmp_path: Path):
    (tmp_path / "tea.tsv").write_text("tea\n")
    with pytest.raises(ValueError, match="not enough values") as caught:
        await Library(tmp_path).run(Question(text="battery"))
    assert "tea.tsv" in "".join(caught.value.__notes__)


def test_no_passage_is_of_two_reviews_and_none_is_left_out():
    lines = [line for file in FILES for line in file.read_text("utf-8").splitlines()]
    assert (
        " ".join(each.text for each in PASSAGES).split()
        == " ".join(line.split("\t")[2] for line in lines).split()
    )
    assert len({(each.product, each.review) for each in PASSAGES}) == 300


@given(st.text())
def test_words_are_words(text: str):
    assert all(re.fullmatch("[a-z]+", word) for word in words_in(text))


# -------------------------------------------------------------------------------------------- in all orders


def shelf(ev: reviews.File) -> Shelf:
    """Three files of one passage each, without the disk."""
    words = Counter({"tea": 1, ev.path.stem: 1})
    passage = Passage(ev.path.stem, 1, ev.path.stem, words, 1.0)
    return Shelf(passages=[passage], asked=ev.asked, having=Counter({*ev.asked} & {*words}))


def opened(ev: Question) -> list[reviews.File]:
    return [
        reviews.File(path=Path(name), asked=tuple(words_in(ev.text))) for name in ("black", "green", "white")
    ]


Shop = faked(Library, open=opened, read=shelf)


@explore(Shop, start=Question(text="green tea"), durations="any", max_schedules=100)
def test_whichever_file_is_read_first_the_answer_is_the_same(run: TestRun):
    assert [hit.passage.product for hit in run.result.hits] == ["green", "black", "white"]


@explore(
    Shop,
    start=Question(text="green tea"),
    faults=Faults(raises=OSError, steps=("read", "search"), cancel=True),
    max_schedules=100,
)
def test_a_file_that_cannot_be_read_never_gives_half_an_answer(run: TestRun):
    assert not run.leaked_tasks
    assert run.error is not None or len(run.result.hits) == 3
