"""The banks' settings: `[banks.<name>]` blocks and `PAYSYNC_BANK_<NAME>_<KEY>` variables, put together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from paysync_cli.language import _
from paysync_cli.settings.keys import (
    ADAPTERS_WITH_SHOWN_TABLES,
    BANK_KEYS,
    BANK_NAME,
    NO_TYPOS,
    SHOWN_BANK_OPTIONS,
    USUAL_BANK_SECRETS,
    Key,
    names_a_secret,
)
from paysync_cli.settings.masking import MASK, mask_url, passwords_in
from paysync_cli.settings.model import BankSettings, Origin
from paysync_cli.settings.reading import NamesOrigin, Raw, Reading
from paysync_cli.settings.sources import Table, Variables

PREFIX = "PAYSYNC_BANK_"

_OF_NAME = {key.name: key for key in BANK_KEYS}


@dataclass(frozen=True)
class _SubTable:
    """`[banks.<name>.<table>]` of one file."""

    values: Mapping[str, Any]
    file: Table


def read_banks(
    reading: Reading, variables: Sequence[Variables], tables: Sequence[Table], *, due_margin_s: float | None
) -> dict[str, BankSettings | None]:
    """Every bank by name; None where it is wrong (the faults say how). `due_margin_s` is the general one."""
    found = _gather(reading, variables, tables)
    return {
        name: _Block(reading, name, raws, _sub_tables(tables, name), found).settings(due_margin_s)
        for name, raws in found.items()
    }


def is_bank_variable(name: str) -> bool:
    """Whether the variable is `PAYSYNC_BANK_<NAME>_<KEY>`."""
    bank, _underscore, key = name.removeprefix(PREFIX).partition("_")
    return name.startswith(PREFIX) and bool(bank and key)


def _gather(reading: Reading, variables: Sequence[Variables], tables: Sequence[Table]) -> dict[str, dict[str, Raw]]:
    """Every bank's texts, each from its strongest source."""
    found: dict[str, dict[str, Raw]] = {}
    for source in variables:
        for bank, texts in _of_environment(source.values).items():
            _take(reading, found, bank, texts, _spelled_as_variable(source, bank), source.folder)
    for table in tables:
        for bank, texts in table.banks.items():
            _take(reading, found, bank, texts, _spelled_as_key(table, bank), table.path.parent)
    return found


def _take(
    reading: Reading,
    found: dict[str, dict[str, Raw]],
    bank: str,
    texts: Mapping[str, str],
    origin: NamesOrigin,
    folder: Path | None,
) -> None:
    if not BANK_NAME.fullmatch(bank):
        message = _("{where}: a bank's name is small letters and digits, a letter first.")
        reading.findings.fault(message.format(where=origin("").spoken()), code="invalid_setting")
        return
    raws = found.setdefault(bank, {})
    for name in dict.fromkeys(name.removesuffix("_file") for name in texts):
        raw = reading.text_or_file(texts, name, "_file", origin, folder)
        if raw is not None:
            raws.setdefault(name, raw)


def _sub_tables(tables: Sequence[Table], bank: str) -> dict[str, _SubTable]:
    """Each sub-table whole, from the strongest file that has it: halves of two files would fit together by chance."""
    found: dict[str, _SubTable] = {}
    for table in tables:
        for name, values in table.bank_tables.get(bank, {}).items():
            found.setdefault(name, _SubTable(values, table))
    return found


class _Block:
    """One bank's texts on their way to its settings."""

    def __init__(
        self,
        reading: Reading,
        bank: str,
        raws: Mapping[str, Raw],
        tables: Mapping[str, _SubTable],
        all_banks: Collection[str],
    ) -> None:
        self.reading = reading
        self.bank = bank
        self.raws = raws
        self.tables = tables
        self.all_banks = all_banks

    def settings(self, due_margin_s: float | None) -> BankSettings | None:
        faults_before = len(self.reading.findings.faults)
        values = {key.field: self._value(key, due_margin_s) for key in BANK_KEYS}
        options = {name: self._option(name, raw) for name, raw in self.raws.items() if name not in _OF_NAME}
        self._note_tables(str(values["adapter"]))
        if "base_url" not in self.raws:
            self._fault_no_base_url()
        self._warn_of_plain_http(values["base_url"], values["environment"])
        self._judge_unverified_tls(values["verify_tls"], values["environment"])
        if len(self.reading.findings.faults) > faults_before or values["due_margin_s"] is None:
            return None
        tables = {name: table.values for name, table in self.tables.items()}
        return BankSettings(name=self.bank, options=options, tables=tables, **values)

    def _value(self, key: Key, due_margin_s: float | None) -> Any:
        full = f"banks.{self.bank}.{key.name}"
        raw = self.raws.get(key.name)
        if raw is not None:
            self.reading.keep_secret(*(passwords_in(raw.text) if key.name == "base_url" else ()))
            shown = mask_url(raw.text.strip()) if key.name == "base_url" else raw.text.strip()
            self.reading.note(full, shown, raw.origin)
            return self.reading.value(key, raw)
        if key.name == "due_margin":
            self.reading.note_default(full, None if due_margin_s is None else f"{due_margin_s:g}s")
            return due_margin_s
        default = self.bank if key.name == "adapter" else key.default
        self.reading.note_default(full, default or None)
        return None if default is None else key.read(default, None)

    def _option(self, name: str, raw: Raw) -> str:
        """An adapter's own key: handed on as it is."""
        full = f"banks.{self.bank}.{name}"
        if name in SHOWN_BANK_OPTIONS:
            self.reading.note(full, raw.text, raw.origin)
        else:
            self.reading.note_secret(full, raw)
        near = [] if name in NO_TYPOS else get_close_matches(name, list(_OF_NAME), n=1, cutoff=0.8)
        if near and name not in SHOWN_BANK_OPTIONS | USUAL_BANK_SECRETS:
            message = _("{where} goes to the adapter as it is; did you mean {near}?")
            message = message.format(where=raw.origin.spoken(), near=near[0])
            self.reading.findings.warn(message, code="unknown_setting")
        return raw.text

    def _note_tables(self, adapter: str) -> None:
        """Remember every value of the sub-tables; which of them are secrets only the adapter knows."""
        for name, table in self.tables.items():
            if name in _OF_NAME:
                where = table.file.origin(f"banks.{self.bank}.{name}").spoken()
                message = _("{where}: write text, a number or true/false.").format(where=where)
                self.reading.findings.fault(message, code="invalid_setting")
            for path, value in _leaves(table.values):
                full = f"banks.{self.bank}.{name}.{path}"
                if _is_secret(path, value):
                    self.reading.keep_secret(str(value), str(value).strip())
                shown = adapter in ADAPTERS_WITH_SHOWN_TABLES and not _is_secret(path, value)
                self.reading.note(full, str(value) if shown else MASK, table.file.origin(full))

    def _fault_no_base_url(self) -> None:
        first = next(iter(self.raws.values()), None)
        where = f" ({first.origin.spoken()})" if first else ""
        near = get_close_matches(self.bank, [b for b in self.all_banks if b != self.bank], n=1, cutoff=0.75)
        hint = _("Set base_url in [banks.{bank}], or PAYSYNC_BANK_{upper}_BASE_URL.")
        hint = hint.format(bank=self.bank, upper=self.bank.upper())
        if near:
            hint = _("Did you mean the bank {near!r}?").format(near=near[0]) + " " + hint
        message = _("The bank {bank!r}{where} has no base_url.").format(bank=self.bank, where=where)
        self.reading.findings.fault(message, hint, code="invalid_setting")

    def _warn_of_plain_http(self, base_url: str | None, environment: str | None) -> None:
        url = (base_url or "").lower()
        local = url.startswith(("http://localhost", "http://127.0.0.1", "http://[::1]"))
        if url.startswith("http://") and environment == "production" and not local:
            message = _("The bank {bank!r} is asked over http://: the credential travels unprotected.")
            self.reading.findings.warn(message.format(bank=self.bank), code="plain_http")

    def _judge_unverified_tls(self, verified: bool | None, environment: str | None) -> None:
        if verified is not False:
            return
        if environment == "certification":
            message = _("The bank {bank!r} is asked WITHOUT verifying its certificate: anybody on the way may answer.")
            self.reading.findings.warn(message.format(bank=self.bank), code="unverified_tls")
        else:
            message = _("The bank {bank!r}: verify_tls = false is for certification, and this is {environment}.")
            message = message.format(bank=self.bank, environment=environment or "production")
            hint = _("Name the bank's own authority with ca_bundle instead.")
            self.reading.findings.fault(message, hint, code="invalid_setting")


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every value below a table with its dotted path; a list counts as one value."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{path}", leaf) for path, leaf in _leaves(value))
        else:
            yield name, value


def holds_secret(tables: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a bank's sub-tables hold a value called like a secret."""
    return any(_is_secret(path, value) for table in tables.values() for path, value in _leaves(table))


def _is_secret(path: str, value: object) -> bool:
    """Whether a value of a sub-table is called like a secret and is more than a placeholder for one."""
    return names_a_secret(path.rpartition(".")[2]) and not (str(value).startswith("{") and str(value).endswith("}"))


def _of_environment(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """`PAYSYNC_BANK_<NAME>_<KEY>` variables by bank and key, in small letters."""
    banks: dict[str, dict[str, str]] = {}
    for name, text in values.items():
        if is_bank_variable(name):
            bank, _underscore, key = name.removeprefix(PREFIX).lower().partition("_")
            banks.setdefault(bank, {})[key] = text
    return banks


def _spelled_as_variable(source: Variables, bank: str) -> NamesOrigin:
    def origin(name: str, /) -> Origin:
        return source.origin(f"{PREFIX}{bank}_{name}".rstrip("_").upper())

    return origin


def _spelled_as_key(table: Table, bank: str) -> NamesOrigin:
    def origin(name: str, /) -> Origin:
        return table.origin(f"banks.{bank}.{name}".rstrip("."))

    return origin
