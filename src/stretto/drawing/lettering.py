"""Names as they can be shown: harmless, short, and about how wide they will be.

A picture is made without knowing the font. Widths are those of common sans-serif letters with something to spare, so
that what is measured here fits into its box there.
"""

from __future__ import annotations

import unicodedata
from math import fsum

__all__ = ["clipped", "visible", "width_of"]

_NARROW = frozenset("fijlrtI1!|.,:;'`()[]{}-/\\ ")
_WIDE = frozenset("mwMWGOQ@%—")
_MOST = 28


def visible(text: str) -> str:
    """The text with what cannot be seen written out, such as marks that turn the direction of writing."""
    return "".join(each if _is_harmless(each) else _written_out(each) for each in text)


def _is_harmless(letter: str) -> bool:
    return letter == " " or unicodedata.category(letter)[0] not in "CZ"


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")


def clipped(text: str, most: int = _MOST) -> str:
    """The visible text, cut in the middle if it is long: names differ at their ends as often as at their beginnings."""
    shown = visible(text[: 4 * most] + text[-4 * most :] if len(text) > 8 * most else text)
    if len(shown) <= most:
        return shown
    tail = most // 3
    return f"{shown[: most - tail - 1]}…{shown[-tail:]}"


def width_of(text: str, size: float) -> float:
    """How wide a text is at most, in a sans-serif font of this size."""
    return fsum(map(_ems, text)) * size


def _ems(letter: str) -> float:
    if letter in _NARROW:
        return 0.36
    if letter in _WIDE:
        return 0.92
    if unicodedata.category(letter)[0] == "M":
        return 0.0
    if letter.isascii():
        return 0.72 if letter.isupper() else 0.59
    return 1.02 if unicodedata.east_asian_width(letter) in "WFA" else 0.72
