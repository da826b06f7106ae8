"""Text from outside (payer names, QR ids, bank messages), made harmless for a terminal."""

from __future__ import annotations

import unicodedata

# Invisible or reordering characters outside the control categories: a name could show as something it is not.
_DECEIVING = frozenset("\u061c\u200b\u200e\u200f\u2028\u2029\u2060\ufeff")
_HIDDEN_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_JOINERS = frozenset("\u200c\u200d")  # part of words and names in several scripts


def plain(text: object) -> str:
    """The text on one line, every control, escape, bidi or undecodable character shown as `\\x1b`, `\\n`, `\\u202e`.

    What is visible stays as it is: nothing is cut and nothing is markup.
    """
    whole = str(text)
    if whole.isascii() and whole.isprintable():
        return whole
    return "".join(_visible(char) for char in whole)


def _visible(char: str) -> str:
    if char in _JOINERS:
        return char
    if char in _DECEIVING or unicodedata.category(char) in _HIDDEN_CATEGORIES:
        return char.encode("unicode_escape").decode("ascii")
    return char
