"""What is asked, with placeholders: `/qrs/{qr_id}`, `{day:%d/%m/%Y}`. `{{` and `}}` are plain braces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from string import Formatter
from urllib.parse import quote

from paysync_cli.language import _

Value = str | int | date | datetime | None

EPOCH_S, EPOCH_MS = "epoch_s", "epoch_ms"
DAYS = ("day", "next_day")
MOMENTS = ("day_start", "day_end", "next_day_start")
DAY_NAMES = DAYS + MOMENTS  # the ones that take a form after a colon


@dataclass(frozen=True)
class Template:
    """A text with placeholders. `pieces` are (plain text, name of the placeholder behind it or None, its form)."""

    text: str
    pieces: tuple[tuple[str, str | None, str], ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for _text, name, _form in self.pieces if name is not None)

    @property
    def lone_name(self) -> str | None:
        """The placeholder that is all there is, without a form."""
        (piece, *more) = self.pieces or (("", None, ""),)
        return piece[1] if not more and not piece[0] and not piece[2] else None

    def fill(self, values: Mapping[str, Value], *, quoted: bool = False) -> str | None:
        """The text; None when a placeholder has no value. `quoted`: as one piece of an address's path."""
        filled = []
        for plain, name, form in self.pieces:
            filled.append(plain)
            if name is None:
                continue
            value = values.get(name)
            if value is None:
                return None
            text = spelled(value, form)
            filled.append(quote(text, safe="") if quoted else text)
        return "".join(filled)


def read_template(text: str, allowed: Collection[str]) -> Template:
    """The template. Raises ValueError: braces that do not match, a placeholder that is not `allowed`."""
    try:
        parsed = list(Formatter().parse(text))
    except ValueError:
        raise ValueError(_("its braces do not match; write {{ for a brace")) from None
    pieces: list[tuple[str, str | None, str]] = []
    for plain, name, form, conversion in parsed:
        if name is None:
            pieces.append((plain, None, ""))
            continue
        if conversion or name not in allowed:
            raise ValueError(_unknown(name, allowed))
        if form and name not in DAY_NAMES:
            raise ValueError(_("{name} takes no form after a colon").format(name="{" + name + "}"))
        if form and not _is_form(form, name):
            message = _("{form!r} is no form of {name}: write %Y-%m-%d (a moment also epoch_s, epoch_ms)")
            raise ValueError(message.format(form=form, name="{" + name + "}"))
        pieces.append((plain, name, form or ""))
    return Template(text, tuple(pieces))


def spelled(value: str | int | date, form: str = "") -> str:
    """The value as text: a day as 2031-06-14, a moment as 2031-06-14T00:00:00-04:00, or in the form asked for."""
    if not isinstance(value, date):
        return str(value)
    if isinstance(value, datetime) and form in (EPOCH_S, EPOCH_MS):
        return str(int(value.timestamp()) * (1000 if form == EPOCH_MS else 1))
    return value.strftime(form) if form else value.isoformat()


def _is_form(form: str, name: str) -> bool:
    return "%" in form or (name in MOMENTS and form in (EPOCH_S, EPOCH_MS))


def _unknown(name: str, allowed: Collection[str]) -> str:
    message = _("there is no placeholder {name} here").format(name="{" + name[:40] + "}")
    near = get_close_matches(name, sorted(allowed), n=1)
    if near:
        return message + _("; did you mean {near}?").format(near="{" + near[0] + "}")
    known = ", ".join("{" + one + "}" for one in sorted(allowed))
    return message + (_("; there are: {known}").format(known=known) if known else "")
