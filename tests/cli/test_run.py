"""`stretto run`: the fields, the result, the exit codes."""

from __future__ import annotations

import io
import json
import signal
import sys
from pathlib import Path

import anyio
import pytest

from stretto.cli.endings import Exit
from stretto.cli.interrupts import interrupts
from stretto.cli.running import show
from tests.cli.conftest import Command


@pytest.fixture
def backend(anyio_backend_name: str) -> str:
    return f"--backend={anyio_backend_name}"


def test_the_fields_are_read_by_their_types_and_the_result_is_printed(stretto: Command, backend: str):
    said = stretto(
        "run", "shop.py:Orders", backend, "--sku", "tea", "--count", "3", "--size=LARGE",
        "--tags", "a", "--tags", "b", "--gift", "--code", "xy",
    )  # fmt: skip
    assert said == (0, "3 tea LARGE ['a', 'b'] True XY\n", "")


def test_a_list_may_be_given_whole_and_an_enum_by_its_value(stretto: Command):
    said = stretto("run", "shop:Orders", "--sku=tea", "--tags", '["a", "b"]', "--size", "2", "--gift", "no")
    assert said.out == "1 tea LARGE ['a', 'b'] False \n"


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        (["--payload", "tea"], "tea"),
        (["--payload", "3"], "3"),
        (["--payload", '{"a": [1, null]}'], '{"a": [1, null]}'),
        (["--payload=null"], ""),
        (["--payload"], "true"),
        (["--payload", '"3"'], "3"),
        (["--sku-code", "ü", "--n=1"], '{"sku_code": "ü", "n": 1}'),
    ],
)
def test_a_bare_start_event_takes_any_field_and_json_is_read_as_such(
    stretto: Command, arguments: list[str], result: str
):
    assert stretto("run", "shop:Echo", *arguments) == (0, result + "\n" if result else "", "")


def test_fields_come_from_a_file_from_stdin_or_from_the_text_and_options_beat_them(
    stretto: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fields = json.dumps({"sku": "tea", "count": 2, "size": "LARGE", "tags": ["x"]})
    (tmp_path / "order.json").write_text(fields, "utf-8")
    for source in (str(tmp_path / "order.json"), "-", fields):
        with monkeypatch.context() as patch, (tmp_path / "order.json").open() as stdin:
            patch.setattr(sys, "stdin", stdin)
            said = stretto("run", "shop:Orders", "--json", source, "--count", "5")
            assert said == (0, "5 tea LARGE ['x'] False \n", "")


def test_one_of_several_start_events_is_chosen_by_name(stretto: Command):
    assert stretto("run", "shop:Desk", "--start", "Return", "--number", "7").out == "refunded 7\n"
    assert stretto("run", "shop:Desk", "--number", "7") == (
        2,
        "",
        "stretto: Desk has several start events, Order, Return; write --start Order\n",
    )
    assert stretto("run", "shop:Desk", "--start", "Retrun").err == (
        "stretto: Desk has no start event 'Retrun', it has: Order, Return; did you mean 'Return'?\n"
    )


WRONG = {
    "a field that it does not have": (
        ["shop:Orders", "--skuu", "tea"],
        "Order takes no --skuu, it takes: --sku, --count, --size, --tags, --gift, --code; did you mean '--sku'?",
    ),
    "a value that does not fit": (["shop:Orders", "--count", "few"], "--count: 'few' is not int"),
    "a name that is none of an enum": (
        ["shop:Orders", "--size", "HUGE"],
        "--size: 'HUGE' is not 'SMALL' or 'LARGE'",
    ),
    "a value twice": (["shop:Orders", "--sku=a", "--sku=b"], "--sku: it is given 2 times, and takes one value"),
    "a field that is missing": (["shop:Orders"], "Order misses --sku (str)"),
    "a word without a field": (["shop:Echo", "tea"], "'tea' belongs to no field; write --name tea"),
    "no file": (["shop:Orders", "--json", "nope.json"], "--json nope.json: No such file or directory"),
    "no object": (["shop:Orders", "--json", "{"], ("--json {: this is no JSON: Expecting property name "
                  "enclosed in double quotes: line 1 column 2 (char 1)")),
    "a list in JSON": (["shop:Orders", "--json", "[1]"], ("--json [1]: the fields are an object, as in "
                  '{"name": "value"}, not [1]')),
    "a field of the wrong type in JSON": (
        ["shop:Orders", "--json", '{"sku": 3}'],
        "--json: in 'sku': 3 is not str",
    ),
    "a name in JSON that is none": (
        ["shop:Orders", "--json", '{"sku": "a", "skuu": "b"}'],
        "Order takes no 'skuu', it takes: sku, count, size, tags, gift, code; did you mean 'sku'?",
    ),
    "a member of no application": (
        ["shop:Orders", "--member", "x"],
        "--member x: Orders is a workflow, and no application",
    ),
    "no such module": (["shp:Orders"], "there is no module 'shp', neither here nor installed; did you mean 'shop'?"),
    "no such file": (["shp.py:Orders"], "there is no file 'shp.py'; did you mean 'shop.py'?"),
    "no such workflow": (["shop:Ordrs"], "shop has no 'Ordrs'; did you mean 'Orders'?"),
    "no workflow": (
        ["shop:nothing"],
        ("shop:nothing is 3, and this takes a workflow class, a workflow, an Application, or a function that makes "
        "one; it defines: Orders, Echo, Desk, Broken, Endless, Fan, Sloppy, Needs, Watch, Clerk, Race, made, app, "
        "Steps"),
    ),
    "several workflows": (
        ["shop"],
        ("which workflow of shop? It defines several: Orders, Echo, Desk, Broken, Endless, Fan, Sloppy, Needs, Watch, "
        "Clerk, Race, made, app, Steps; write shop:Orders"),
    ),
    "a class that needs arguments": (
        ["shop:Needs"],
        ("Needs cannot be called without arguments (Needs.__init__() missing 1 required positional argument: 'url'); "
        "write a function in the module that makes the workflow, and name that"),
    ),
    "no target": (
        [],
        ("name the target before anything else: module:Workflow, or file.py:Workflow; stretto run --help shows what "
        "there is"),
    ),
    "no module": ([":Orders"], "':Orders' names no module; write module:Workflow, or file.py:Workflow"),
    "a report that is no page": (
        ["shop:Orders", "--sku=tea", "--report", "x.pdf"],
        ("argument --report: a report is an HTML page, and 'x.pdf' does not end in .html or .htm; stretto run --help "
        "shows what there is"),
    ),
    "the folder as a module": ([".:Orders"], "'.:Orders' names no module; write module:Workflow, or file.py:Workflow"),
    "a time that is none": (
        ["shop:Orders", "--timeout", "soon"],
        ("argument --timeout: a time in seconds above 0, or none, and not 'soon'; stretto run --help shows what there "
        "is"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_command_line_is_told_and_ends_with_2(stretto: Command, arguments: list[str], says: str):
    assert stretto("run", *arguments) == (2, "", f"stretto: {says}\n")


def test_a_function_that_makes_the_workflow_is_called_and_one_that_is_made_is_taken(stretto: Command):
    assert stretto("run", "shop:needing").out == "here\n"
    assert stretto("run", "shop:made", "--sku=tea").out == "1 tea SMALL [] False \n"


def test_an_application_is_entered_and_its_one_member_that_starts_is_run(stretto: Command, backend: str):
    for target in ("shop:app", "shop:new_app"):
        assert stretto("run", target, backend, "--sku=tea", "--count=4") == (0, "told 5\n", "")
    assert stretto("run", "shop:app", "--member", "clark").err == (
        "stretto: there is no member 'clark'. The application has: watch, clerk; write --member watch; did you mean "
        "'clerk'?\n"
    )


def test_what_a_step_raises_is_shown_with_its_line_and_without_the_frames_of_the_engine(
    stretto: Command, backend: str
):
    said = stretto("run", "shop:Broken", backend)
    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith("Traceback (most recent call last):\n")
    assert said.err.count('File "') == 1
    assert "shop.py" in said.err
    assert "ZeroDivisionError" in said.err
    assert "in Broken.divide (shop.py:" in said.err


def test_a_timeout_ends_with_124_and_names_the_step(stretto: Command, backend: str):
    said = stretto("run", "shop:Endless", backend, "--timeout", "0.01")
    assert (said.code, said.out) == (124, "")
    assert said.err.startswith(
        "stretto: WorkflowTimeoutError: Endless timed out after 0.01 s; active: Endless.wait"
    )


def test_verbose_tells_each_step(stretto: Command, backend: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "stretto")
    said = stretto("run", "shop:Orders", backend, "--sku=tea", "-v")
    assert said.out == "1 tea SMALL [] False \n"
    assert "take #1  <- Order  -> StopEvent" in caplog.text


def test_an_interrupt_in_a_fan_out_cancels_the_run_whose_steps_clean_up(stretto: Command, backend: str):
    said = stretto("run", "shop:Fan", backend)
    assert said.code == 130
    assert sorted(said.out.split("\n")) == ["", "cleaned up 0", "cleaned up 1", "cleaned up 2"]
    assert said.err == "\nstretto: cancelling the run; once more ends it without clean-up\n"


def test_a_report_is_written_however_the_run_ends(stretto: Command, backend: str, tmp_path: Path):
    file = tmp_path / "run.html"
    for target, code, state in [("Orders", 0, "done"), ("Broken", 1, "failed"), ("Fan", 130, "cancelled")]:
        fields = ["--sku=tea"] if target == "Orders" else []
        assert stretto("run", f"shop:{target}", backend, "--report", str(file), *fields).code == code
        assert f"<title>{target}: {state}</title>" in file.read_text("utf-8")
    said = stretto("run", "shop:Orders", "--sku=tea", "--report", f"{tmp_path}/no/run.html")
    assert said.err == f"stretto: --report {tmp_path}/no/run.html: No such file or directory\n"


def test_help_shows_the_fields_of_the_target(stretto: Command):
    said = stretto("run", "shop:Orders", "--help")
    assert said.code == 0
    assert "fields of Order:" in said.out
    assert "--count COUNT" in said.out
    assert "str, needed" in said.out
    assert "list[str]; may be repeated" in said.out
    assert "any: --name value" in stretto("run", "shop:Echo", "-h").out
    assert "--timeout SECONDS" in stretto("run", "--help").out


def test_a_module_that_cannot_be_imported_is_told_with_its_own_line(stretto: Command, tmp_path: Path):
    (tmp_path / "broken.py").write_text("import json\n\nimport no_such_thing\n", "utf-8")
    said = stretto("run", f"{tmp_path}/broken.py:Orders")
    assert said.code == 2
    assert "broken.py cannot be imported:" in said.err
    assert 'broken.py", line 3' in said.err
    assert said.err.endswith("ModuleNotFoundError: No module named 'no_such_thing'\n")


def test_a_backend_that_is_not_installed_is_told(stretto: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stretto.cli.running.find_spec", lambda name: None)
    said = stretto("run", "shop:Orders", "--backend=trio", "--sku=tea")
    assert said == (2, "", "stretto: --backend trio: trio is not installed; pip install 'stretto[trio]'\n")


def test_a_result_that_json_cannot_hold_is_told_as_it_looks(stretto: Command):
    assert stretto("run", "shop:Echo", "--payload=[NaN]") == (0, "[nan]\n", "")


@pytest.mark.parametrize(("encoding", "printed"), [("utf-8", "ü\\ud800"), ("ascii", "\\xfc\\ud800")])
def test_what_the_encoding_of_stdout_does_not_have_is_escaped(
    encoding: str, printed: str, monkeypatch: pytest.MonkeyPatch
):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding, write_through=True))
    show("ü\ud800")
    assert written.getvalue().decode(encoding) == printed + "\n"


def test_a_result_as_deep_as_no_json_is_told(capsys: pytest.CaptureFixture[str]):
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    show(deep)
    assert "list" in capsys.readouterr().out


@pytest.mark.anyio
async def test_an_interrupt_cancels_also_where_nobody_reads_what_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", None)
    with anyio.fail_after(5), anyio.CancelScope() as scope, interrupts(scope.cancel) as interrupted:
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep(60)
    assert interrupted.code == Exit.INTERRUPTED
