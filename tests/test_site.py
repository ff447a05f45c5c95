"""What the documentation's site is looked at for: that nothing is loaded from elsewhere, and every name is listed."""

from __future__ import annotations

import importlib.util
import zlib
from pathlib import Path
from typing import Any

import pytest

import stretto.testing.strategies  # noqa: F401 - here, and not when it is looked at: hypothesis is to see who refers to what


def load() -> Any:
    path = Path(__file__).parent.parent / "tools" / "site.py"
    spec = importlib.util.spec_from_file_location("docs_site", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SITE = load()


@pytest.mark.parametrize(
    "loads",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        '<img alt="" src="http://example/x.png">',
    ],
)
def test_a_page_that_loads_from_elsewhere_is_told(tmp_path: Path, loads: str):
    (tmp_path / "page.html").write_text(f"<p>{loads}</p>", "utf-8")
    (told,) = SITE.elsewhere(tmp_path)
    assert told.startswith("page.html loads ")


def test_a_style_that_loads_from_elsewhere_is_told(tmp_path: Path):
    (tmp_path / "a.css").write_text(
        "@import url('https://fonts.example/css');\nb {background: url(b.png)}", "utf-8"
    )
    assert list(SITE.elsewhere(tmp_path)) == ["a.css loads https://fonts.example/css"]


def test_a_page_may_link_anywhere_and_load_what_is_beside_it(tmp_path: Path):
    page = '<a href="https://example/">there</a><script src="_static/x.js"></script>'
    (tmp_path / "page.html").write_text(page, "utf-8")
    assert list(SITE.elsewhere(tmp_path)) == []


def test_a_public_name_that_is_not_listed_is_told(tmp_path: Path):
    lines = "stretto.Workflow py:class 1 x.html -\nstretto.joins.All std:label 1 x.html -\n"
    (tmp_path / "objects.inv").write_bytes(b"# a\n# b\n# c\n# d\n" + zlib.compress(lines.encode()))
    told = set(SITE.unlisted(tmp_path))
    assert "stretto.Workflow is not in the reference" not in told
    assert {"stretto.Context is not in the reference", "stretto.joins.All is not in the reference"} <= told
