"""The one door for words that people read: `_()` and `ngettext()` through gettext.

English is the source. Catalogues lie in `paysync_cli/locale`; without one the source text is used.
JSON keys, codes and log events never come through here.
"""

from __future__ import annotations

import gettext
import os
from functools import cache
from pathlib import Path

DOMAIN = "paysync"
LOCALE_FOLDER = Path(__file__).parent / "locale"


def _(message: str) -> str:
    """The message in the user's language."""
    return _catalogue().gettext(message)


def ngettext(one: str, many: str, n: int) -> str:
    """The singular or plural form for `n`, in the user's language."""
    return _catalogue().ngettext(one, many, n)


def use(code: str) -> None:
    """Speak this language from now on, as `.env` or a settings file asks; the environment is heeded without it."""
    global _asked_for  # noqa: PLW0603 - one process speaks one language
    _asked_for = code
    _catalogue.cache_clear()


def chosen_language() -> str:
    """What `use` said, else PAYSYNC_LANG, LC_ALL, LC_MESSAGES, LANG; the two-letter code, `en` when nothing says so."""
    asked = [_asked_for, *(os.environ.get(name) for name in ("PAYSYNC_LANG", "LC_ALL", "LC_MESSAGES", "LANG"))]
    for value in asked:
        if value and value not in ("C", "POSIX", "C.UTF-8"):
            return value.split(".")[0].split("_")[0].lower()
    return "en"


_asked_for: str | None = None


@cache
def _catalogue() -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, LOCALE_FOLDER, languages=[chosen_language()], fallback=True)
