"""What the core imports for type checkers alone is there: nobody else ever runs these lines."""

from __future__ import annotations

import typing
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from stretto import _core

MODULES = sorted(
    path for path in Path(_core.__file__).parent.glob("*.py") if "TYPE_CHECKING" in path.read_text("utf-8")
)


@pytest.mark.parametrize("path", MODULES, ids=[path.stem for path in MODULES])
def test_a_module_can_be_imported_as_a_type_checker_sees_it(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(typing, "TYPE_CHECKING", True)
    spec = spec_from_file_location(f"stretto._core.{path.stem}_as_checkers_see_it", path)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module_from_spec(spec))
