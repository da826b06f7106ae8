"""Reading one table of the settings, so that one run tells everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from paysync_cli.banks.declared.expression import Expression
from paysync_cli.banks.declared.template import Template, read_template
from paysync_cli.banks.wire import printable
from paysync_cli.errors import Fault
from paysync_cli.language import _

T = TypeVar("T")


class Section:
    """One table under its key path (`banks.andes.status`). Readers note a fault and return None or the default; `end`
    tells the keys that nobody asked for.
    """

    def __init__(self, path: str, values: Mapping[str, Any], faults: list[Fault]) -> None:
        self.path = path
        self._values = values
        self._faults = faults
        self._asked: list[str] = []

    def fault(self, key: str, problem: str, hint: str | None = None, code: str = "invalid_setting") -> None:
        """Note what is wrong with a key of this table, or with the table itself (no key)."""
        where = f"{self.path}.{key}" if key else self.path
        self._faults.append(Fault(code, f"{where}: {problem}", hint))

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str | None = None, *, needed: str = "") -> str | None:
        """Text that is not empty. `needed` says what for, when there is no doing without it."""
        return self._of_type(key, str, _("text"), default, needed)

    def flag(self, key: str) -> bool:
        return self._of_type(key, bool, _("true or false"), False, "") or False

    def whole(self, key: str, default: int | None, least: int, most: int) -> int | None:
        value = self._of_type(key, int, _("a whole number"), default, "")
        if value is not None and not least <= value <= most:
            self.fault(key, _("{value} is not between {least} and {most}.").format(value=value, least=least, most=most))
            return default
        return value

    def choice(self, key: str, words: Collection[str], default: str | None = None, *, needed: str = "") -> str | None:
        word = self.text(key, default, needed=needed)
        if word is None or word in words:
            return word
        self.fault(key, not_one_of(word, words))
        return None

    def expression(self, key: str, *, needed: str = "") -> Expression | None:
        """A JMESPath expression."""
        text = self.text(key, needed=needed)
        if text is None:
            return None
        try:
            return Expression(text)
        except ValueError as error:
            self.fault(key, _("{text!r} is no JMESPath: {why}.").format(text=printable(text, 80), why=error))
            return None

    def template(self, key: str, allowed: Collection[str], *, needed: str = "") -> Template | None:
        text = self.text(key, needed=needed)
        return None if text is None else self.read_template(key, text, allowed)

    def read_template(self, key: str, text: str, allowed: Collection[str]) -> Template | None:
        """A text that was found under `key` as a template."""
        try:
            return read_template(text, allowed)
        except ValueError as error:
            self.fault(key, str(error))
            return None

    def templates(self, key: str, allowed: Collection[str]) -> dict[str, Template]:
        """A table of texts and numbers, each a template."""
        found: dict[str, Template] = {}
        for name, value in self.table(key).items():
            where = f"{key}.{name}"
            if not is_scalar(value):
                self.fault(where, _("write text, a number or true/false."))
            elif (template := self.read_template(where, as_text(value), allowed)) is not None:
                found[name] = template
        return found

    def table(self, key: str) -> Mapping[str, Any]:
        """A table of this table; empty when there is none."""
        return self._of_type(key, dict, _("a table"), None, "") or {}

    def section(self, key: str, *, needed: str = "") -> Section | None:
        """A table of this table, to be read in the same way."""
        values = self._of_type(key, dict, _("a table"), None, needed)
        return None if values is None else Section(f"{self.path}.{key}", values, self._faults)

    def anything(self, key: str) -> Any:
        """The value as it stands, None when there is none."""
        self._asked.append(key)
        return self._values.get(key)

    def end(self) -> None:
        """Tell every key that was not asked for."""
        for key in self._values:
            if key not in self._asked:
                near = get_close_matches(key, self._asked, n=1, cutoff=0.6)
                hint = _("Did you mean {near}?").format(near=near[0]) if near else None
                known = "" if near else _(" Known here: {keys}.").format(keys=", ".join(dict.fromkeys(self._asked)))
                self.fault(key, _("there is no such key.") + known, hint, code="unknown_setting")

    def _of_type(self, key: str, kind: type[T], spoken: str, default: T | None, needed: str) -> T | None:
        self._asked.append(key)
        value = self._values.get(key)
        if value is None:
            if needed:
                self.fault(key, _("is missing: {why}.").format(why=needed))
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.fault(key, _("write {kind}.").format(kind=spoken))
            return default
        if isinstance(value, str) and not value.strip():
            self.fault(key, _("is empty."))
            return default
        return value


def is_scalar(value: object) -> bool:
    return isinstance(value, str | int)


def as_text(value: object) -> str:
    """A scalar as the text that goes out: true and false in small letters, as JSON has them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def not_one_of(word: str, words: Collection[str]) -> str:
    """`'payed' is not one of paid, unpaid; did you mean 'paid'?`"""
    message = _("{word!r} is not one of {words}").format(word=printable(word, 40), words=", ".join(words))
    near = get_close_matches(word, list(words), n=1)
    return message + (_("; did you mean {near!r}?").format(near=near[0]) if near else ".")
