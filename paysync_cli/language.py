"""The one door for words that people read: `_()` and `ngettext()` through gettext.

English is the source. Catalogues lie in `paysync_cli/locale`; without one the source text is used.
JSON, codes, log lines and whatever is stored stay English: nothing that a program reads or searches depends on who
started it.
"""

from __future__ import annotations

import contextlib
import gettext
import os
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from pathlib import Path

DOMAIN = "paysync"
LOCALE_FOLDER = Path(__file__).parent / "locale"
SOURCE = "en"


def _(message: str) -> str:
    """The message in the user's language."""
    return _catalogue().gettext(message)


def ngettext(one: str, many: str, n: int) -> str:
    """The singular or plural form for `n`, in the user's language."""
    return _catalogue().ngettext(one, many, n)


def pgettext(context: str, message: str) -> str:
    """`_` for a word that other languages say in several ways: the context, which nobody sees, tells which is meant."""
    return _catalogue().pgettext(context, message)


def mark(message: str) -> str:
    """The message as it is: the catalogue has it, and `_` translates it when it is shown, not when a file is loaded."""
    return message


def use(code: str | None) -> None:
    """Speak this language from now on, as a settings file asks; None heeds the environment again."""
    global _asked_for  # noqa: PLW0603 - one process speaks one language
    _asked_for = code
    _catalogue_asked_for.cache_clear()


@contextlib.contextmanager
def english() -> Iterator[None]:
    """English meanwhile, on every thread: what is logged or stored is searched for, and compared across workers."""
    before = _asked_for
    use(SOURCE)
    try:
        yield
    finally:
        use(before)


@contextlib.contextmanager
def speaking(code: str) -> Iterator[None]:
    """This language meanwhile, on this thread alone: a message for a person out of a process that logs English."""
    token = _here.set(code)
    try:
        yield
    finally:
        _here.reset(token)


def chosen_language() -> str:
    """What `use` said, else PAYSYNC_LANG, LC_ALL, LC_MESSAGES, LANG; the two-letter code, `en` when nothing says so."""
    asked = [_asked_for, *(os.environ.get(name) for name in ("PAYSYNC_LANG", "LC_ALL", "LC_MESSAGES", "LANG"))]
    codes = (code_of(value) for value in asked if value)
    return next((code for code in codes if code not in ("", "c", "posix")), SOURCE)


def code_of(locale: str) -> str:
    """`es` of `es_BO.UTF-8`, `es-BO`, `ES@euro`."""
    for end in (".", "@", "_", "-"):
        locale = locale.split(end, maxsplit=1)[0]
    return locale.strip().lower()


_asked_for: str | None = None


_here: ContextVar[str | None] = ContextVar("paysync_language", default=None)


def _catalogue() -> gettext.NullTranslations:
    here = _here.get()
    return _catalogue_asked_for() if here is None else _catalogue_of(here)


@cache
def _catalogue_asked_for() -> gettext.NullTranslations:
    return _catalogue_of(chosen_language())


@cache
def _catalogue_of(code: str) -> gettext.NullTranslations:
    known = [code] if code.isalnum() else []
    return gettext.translation(DOMAIN, LOCALE_FOLDER, languages=known, fallback=True)
