"""`stretto check`: every finding with its place, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_nothing_found_is_said_and_ends_with_0(stretto: Command):
    assert stretto("check", "shop.py:Orders", "shop:app") == (
        0,
        "shop.py:Orders, shop:app: nothing found\n",
        "",
    )


def test_findings_have_their_file_and_line_and_warnings_end_with_0_unless_strict(stretto: Command):
    said = stretto("check", "shop:Watch")
    assert (said.code, said.err) == (0, "")
    first, second, third, total, _ = said.out.split("\n")
    line = (Path(__file__).parent / "shop.py").read_text("utf-8").split("\n").index(
        "class Watch(Workflow[str]):"
    ) + 2
    assert first.startswith(
        f"shop.py:{line}: warning: Watch.look (shop.py:{line}) returns Ask, which no step"
    )
    assert first.endswith("[nobody-takes]")
    assert second.endswith("[nobody-makes]")
    assert third.endswith("[dead-end]")
    assert total == "0 errors, 3 warnings"
    assert stretto("check", "--strict", "shop:Watch").code == 1


def test_what_keeps_it_from_running_is_an_error_and_ends_with_1(stretto: Command):
    said = stretto("check", "shop:Clerk")
    assert said.code == 1
    assert "error: Clerk cannot start" in said.out
    assert "error: Clerk cannot stop" in said.out


def test_attributes_of_self_that_steps_assign_are_named_also_through_other_methods(stretto: Command):
    said = stretto("check", "--json", "shop:Sloppy")
    found = [each for each in json.loads(said.out) if each["kind"] == "shared-attribute"]
    assert [each["message"].partition(" (line")[0] for each in found] == [
        f"Sloppy.begin (shop.py:{found[0]['line']}) assigns self.seen",
        f"Sloppy.begin (shop.py:{found[0]['line']}) assigns self.log",
    ]


def test_json_has_each_finding_as_an_object(stretto: Command):
    assert stretto("check", "--json", "shop:Orders").out == "[]\n"
    (first, *_) = json.loads(stretto("check", "--json", "shop:Watch").out)
    assert first["kind"] == "nobody-takes"
    assert first["workflow"] == "Watch"
    assert first["step"] == "look"
    assert Path(first["file"]).name == "shop.py"
    assert first["fatal"] is False


def test_a_class_that_cannot_be_defined_is_a_finding_too(stretto: Command, tmp_path: Path):
    program = "from stretto import *\nclass Shop(Workflow):\n    @step\n    async def sell(self, ev): ...\n"
    (tmp_path / "broken.py").write_text(program, "utf-8")
    said = stretto("check", f"{tmp_path}/broken.py:Shop")
    assert said.code == 1
    assert said.out.startswith("error: Shop.sell (broken.py:3)")
    assert said.out.endswith("[definition]\n1 error, 0 warnings\n")


def test_an_option_that_is_none_is_told_with_the_near_one(stretto: Command):
    said = stretto("check", "shop:Orders", "--strit")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("stretto: there is no option --strit; did you mean '--strict'?")
