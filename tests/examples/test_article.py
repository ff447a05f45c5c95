"""Programs written for LlamaIndex Workflows run here with only their imports changed, on trio too.

`article.txt` holds those of an article, as it prints them. On trio its `import asyncio` becomes
`import anyio as asyncio`, and that is all.
"""

from __future__ import annotations

import ast
import logging
import random
import re
import sys
from pathlib import Path
from types import ModuleType

import anyio
import pytest

PROGRAMS = Path(__file__).with_name("article.txt")
DONE = "We are done for the day.\n"
SEEDS = range(12)

pytestmark = pytest.mark.anyio


@pytest.fixture
def article(anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    source = PROGRAMS.read_text(encoding="utf-8")
    if anyio_backend_name == "trio":
        source = source.replace("import asyncio\n", "import anyio as asyncio\n", 1)
    module = ModuleType("article")
    monkeypatch.setitem(sys.modules, "article", module)
    exec(compile(source, PROGRAMS, "exec"), vars(module))  # noqa: S102 - the program under test
    return module


def draws_bad(seed: int, *, after: int = 0) -> list[bool]:
    """Which of the next feedbacks are bad, once `after` of the article's waiting times were drawn."""
    rng = random.Random(seed)
    for _ in range(after):
        rng.randint(1, 3)
    return [rng.random() < 0.3 for _ in range(3)]


def test_the_seeds_lead_to_every_outcome():
    assert {draws_bad(seed)[0] for seed in SEEDS} == {True, False}
    assert {sum(draws_bad(seed, after=3)) for seed in SEEDS} >= {0, 1, 2}


async def test_the_simple_workflow(article: ModuleType, capsys: pytest.CaptureFixture[str]):
    await article.main_simple()
    assert capsys.readouterr().out == "hello world\n"


async def test_verbose_tells_each_step(article: ModuleType, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, "stretto"):
        await article.main_simple()
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert told.index("second_step") > told.index("start") >= 0


@pytest.mark.parametrize("seed", SEEDS)
async def test_branch_and_loop(article: ModuleType, capsys: pytest.CaptureFixture[str], seed: int):
    random.seed(seed)
    start = anyio.current_time()
    result = await article.FeedbackMonitorWorkflow(total_cycle=3, timeout=20).run(payload="Apple")
    assert result == "We're done for the day."
    assert anyio.current_time() - start == pytest.approx(3 * (3 + 0.5))

    expected: list[str] = []
    for bad in draws_bad(seed):
        expected += ["We now return to the begin step", "Wil get the latest feedback for Apple"]
        expected.append(
            f"We now {'sell some sku with feedback Bad' if bad else 'buy some sku with feedback Good.'}"
        )
        expected.append("Will clear out Apple" if bad else "Will place an order for Apple")
    expected.append("We now return to the begin step")
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize("seed", SEEDS)
async def test_progress_is_streamed_without_a_scope(
    article: ModuleType, capsys: pytest.CaptureFixture[str], seed: int
):
    """`handler = wf.run(…)`, `async for …`, `await handler`: the first look at the stream starts the run."""
    random.seed(seed)
    start = anyio.current_time()
    await article.main_streaming()
    assert anyio.current_time() - start == pytest.approx(3.5)

    bad = draws_bad(seed)[0]
    *lines, last = capsys.readouterr().out.splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "(time) ", line) for line in lines] == [
        "(time) 我们现在回到开始步骤",
        "(time) 将获取 Apple 的最新反馈",
        f"(time) 我们现在{'出售一些 SKU,反馈为 Bad' if bad else '购买一些 SKU,反馈为 Good。'}",
        "Will clear out Apple" if bad else "Will place an order for Apple",
        "(time) 我们现在回到开始步骤",
    ]
    assert last == "最终结果:  We're done for the day."


async def test_progress_comes_when_it_is_written(article: ModuleType):
    random.seed(0)
    start = anyio.current_time()
    handler = article.FeedbackMonitorWorkflowV2(timeout=10, verbose=False).run(payload="Apple")
    moments = [
        anyio.current_time() - start
        async for event in handler.stream_events()
        if isinstance(event, article.ProgressEvent)
    ]
    await handler
    assert moments == pytest.approx([0, 3, 3, 3.5])


@pytest.mark.parametrize("seed", SEEDS)
async def test_three_sources_vote_at_the_same_time(
    article: ModuleType, capsys: pytest.CaptureFixture[str], seed: int
):
    """As long as the slowest source takes, and by the article's `'Goode'` only a bad vote does something."""
    random.seed(seed)
    start = anyio.current_time()
    await article.main_complex()
    elapsed = anyio.current_time() - start

    bad = sum(draws_bad(seed, after=3))
    rng = random.Random(seed)
    slowest = max(rng.randint(1, 3) for _ in range(3))
    assert elapsed == pytest.approx(slowest + (0.5 if bad >= 2 else 0))
    voting, *acted = capsys.readouterr().out.splitlines(keepends=True)
    assert ast.literal_eval(voting) == {word: n for word, n in (("Good", 3 - bad), ("Bad", bad)) if n}
    assert acted == ["Will clear out Apple\n" if bad >= 2 else "Do nothing\n", DONE]


async def test_an_unbound_step_that_is_a_plain_function(article: ModuleType):
    assert await article.TestWorkflow().run() is None
    assert await article.TestWorkflow(timeout=1).run(payload="unused") is None
