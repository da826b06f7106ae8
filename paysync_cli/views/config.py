"""How `paysync config show` and `config check` look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paysync_cli.errors import Fault
from paysync_cli.language import _
from paysync_cli.settings import Entry, OriginKind, Settings
from paysync_cli.views.base import ListView, View
from paysync_cli.views.page import NOTICE, QUIET, Page, Styled


class SettingsView(ListView):
    """Every setting: value (secrets masked), origin."""

    columns = ("key", "value", "origin", "name", "path")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def rows(self) -> Iterator[Mapping[str, object]]:
        for entry in self._settings.entries:
            origin = entry.origin
            yield {
                "key": entry.key,
                "value": entry.shown,
                "origin": origin.kind.value,
                "name": origin.name,
                "path": origin.path,
            }

    def data(self) -> object:
        return {
            "settings": list(self.rows()),
            "settings_files": list(self._settings.files),
            "warnings": warnings_data(self._settings.warnings),
        }

    def human(self, page: Page) -> None:
        rows = [(entry.key, _value(entry), _origin(entry)) for entry in self._settings.entries]
        page.table([_("Setting"), _("Value"), _("From")], rows, empty="")


class SettingsCheckView(View):
    """The verdict on the settings, with the warnings; `settings` is None when they are wrong (the error says how)."""

    def __init__(self, settings: Settings | None, warnings: Sequence[Fault]) -> None:
        self._settings = settings
        self._warnings = warnings

    def data(self) -> object:
        return {
            "settings_files": list(self._settings.files) if self._settings else None,
            "banks": sorted(self._settings.banks) if self._settings else None,
            "warnings": warnings_data(self._warnings),
        }

    def human(self, page: Page) -> None:
        for path in self._settings.files if self._settings else ():
            page.line(_("read: {path}").format(path=path))
        for warning in self._warnings:
            page.line(Styled(_("warning: {text}").format(text=warning.message), NOTICE))
            if warning.hint:
                page.line(f"  {warning.hint}")
        if self._settings:
            banks = ", ".join(sorted(self._settings.banks)) or _("none")
            page.line(_("The settings are right. Banks: {banks}.").format(banks=banks))


class WrittenView(View):
    """Where a settings file was written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def data(self) -> object:
        return {"path": self._path}

    def human(self, page: Page) -> None:
        page.line(_("Written: {path}. Everything in it is commented out.").format(path=self._path))


def warnings_data(warnings: Sequence[Fault]) -> list[dict[str, str | None]]:
    """Warnings as JSON carries them."""
    return [{"code": w.code, "message": w.message, "hint": w.hint} for w in warnings]


def _value(entry: Entry) -> Styled | str:
    if entry.shown is not None:
        return entry.shown
    meaning = {
        "redis_url": _("embedded Redis"),
        "redis_server": _("the one found"),
        "default_bank": _("the only one"),
        "log_format": _("by terminal"),
        "log_file": _("standard error"),
        "tz": _("the machine's"),
        "lang": _("by LANG"),
    }
    return Styled(meaning.get(entry.key, "-"), QUIET)


def _origin(entry: Entry) -> Styled | str:
    if entry.origin.kind is OriginKind.DEFAULT:
        return Styled(_("default"), QUIET)
    return entry.origin.spoken()
