"""A picture as a page: one HTML file that may be zoomed, searched and asked, and that asks nobody for anything.

Its policy lets run the one script and the styles that it was written with, known by their hashes, and nothing else;
whatever a name or a docstring holds is text.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from importlib.resources import files

from .graph import Graph, Role
from .lettering import clipped, visible
from .places import Places
from .policy import content_policy
from .svg import STYLE
from .telling import told_of

__all__ = ["write_page"]

_KINDS = {
    "step": "Blue box, or six corners if it joins",
    "event": "Yellow pill",
    "where it begins and ends": "Green pill",
    "from or for outside": "Violet pill, dashed lines",
    "made or taken by one side only": "Dashed pill",
    "crosses between members": "Thick line",
    "sent several at once": "Three strokes at the beginning of a line",
}
_LONGEST_TITLE = 200


def write_page(graph: Graph, svg: str, caption: str) -> str:
    """The page around a picture.

    Args:
        graph: What is in the picture; a click on a node tells more of it.
        svg: The picture.
        caption: What it shows, in a few words.
    """
    script, style = _asset("page.js"), _asset("page.css")
    title = escape(clipped(graph.title, _LONGEST_TITLE))
    policy = content_policy(style, STYLE, script=script)
    legend = "".join(f"<dt>{escape(what)}</dt><dd>{escape(how)}</dd>" for what, how in _KINDS.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="stretto">
<title>{title}: {escape(caption)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}<small>{escape(caption)}, {_counted(graph)}</small></h1>
<div class="tools" hidden>
<input type="search" placeholder="Search" aria-label="Search steps and events">
<button data-act="-" aria-label="Zoom out">&minus;</button>
<button data-act="+" aria-label="Zoom in">+</button>
<button data-act="0" aria-label="Show all">All</button>
</div>
</header>
<main>
<div class="stage">{svg}</div>
<aside hidden aria-live="polite" aria-label="About the chosen node"></aside>
</main>
<footer><details><summary>What the picture means, and its keys</summary><dl>{legend}<dt>keys</dt>
<dd>Tab and Enter: the next node, and more about it. Arrows, + and &minus;: move and zoom. 0: all. /: search. Escape:
back.</dd></dl></details></footer>
<script type="application/json" id="told">{_data(graph)}</script>
<script>{script}</script>
</body>
</html>
"""


@cache
def _asset(name: str) -> str:
    return files("stretto.drawing").joinpath(name).read_text("utf-8")


def _data(graph: Graph) -> str:
    """What is told of each node, as JSON in which no tag can end."""
    places = Places()
    told = json.dumps({node.id: told_of(node, places) for node in graph.nodes}, separators=(",", ":"))
    return told.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _counted(graph: Graph) -> str:
    steps = sum(node.role is Role.STEP for node in graph.nodes)
    kinds = len({node.kind for node in graph.nodes if node.kind is not None})
    return f"{visible(str(steps))} step{'s' * (steps != 1)}, {kinds} event{'s' * (kinds != 1)}"
