"""How the pages of this folder become a site: `make docs`. Nothing in it is fetched from anywhere when it is read."""

from __future__ import annotations

from importlib import metadata

from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring

import stretto

project = "stretto"
author = "the stretto developers"
release = metadata.version("stretto")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["adr/README.md"]
myst_heading_anchors = 3  # the headings that other pages may link to, as on a page of a forge
myst_enable_extensions = ["colon_fence"]

default_role = "code"  # in a docstring `name` is code, as in Markdown
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 88
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_rtype = False
add_module_names = False
python_use_unqualified_type_names = True

html_theme = "furo"  # it takes the fonts that the reader has
html_title = f"stretto {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False  # the licence is in the repository, and names no year here
templates_path: list[str] = []


for name in stretto.__all__:
    getattr(stretto, name)  # those that are loaded when they are named are seen only then


def setup(_: Sphinx) -> None:
    """Reads the docstring of a property as that of a method: a colon in it is a colon, and names no type."""

    def as_of_a_method(docstring: GoogleDocstring) -> list[str]:
        docstring._what = "method"  # noqa: SLF001 - napoleon has no option for it
        docstring._parse()  # noqa: SLF001
        return []

    GoogleDocstring._parse_attribute_docstring = as_of_a_method  # type: ignore[method-assign]  # noqa: SLF001
