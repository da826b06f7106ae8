"""`paysync config`: where each setting comes from, and whether all is right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from paysync_cli.cli.command import command, group
from paysync_cli.cli.session import Session
from paysync_cli.errors import Fault
from paysync_cli.language import _
from paysync_cli.settings import BankSettings, Settings, SettingsFaults
from paysync_cli.views.config import SettingsCheckView, SettingsView, WrittenView

group("config", help=_("Look at the settings: each value with its origin, and whether all is right."))


@command(
    "config show",
    help=_("Show every setting with its value and where it comes from. Secrets are masked."),
    examples=("paysync config show", ("paysync config show --json", _("for a script"))),
    rows=True,
)
def show(session: Session) -> None:
    session.show(SettingsView(session.settings))


@command(
    "config init",
    help=_("Write a commented settings file in which nothing is set yet. A file that is there is never touched."),
    examples=("paysync config init", ("paysync config init /etc/paysync/paysync.toml", _("for all users"))),
)
def init(session: Session, file: Annotated[Path, typer.Argument(help=_("Where to."))] = Path("paysync.toml")) -> None:
    from paysync_cli.settings.sample import write_sample

    session.show(WrittenView(write_sample(file)))


@command(
    "config check",
    help=_("Check all settings and tell everything that is wrong at once: exit 2 on a fault."),
    examples=("paysync config check", ("paysync --config new.toml config check", _("before it goes live"))),
)
def check(session: Session) -> None:
    session.warns_of_settings = False  # the view lists them
    try:
        settings = session.settings
    except SettingsFaults as wrong:
        faults = [*wrong.faults, *_of_adapters(wrong.banks)]
        session.show(SettingsCheckView(None, wrong.warnings), error=SettingsFaults(faults, (), {}))
        return
    if faults := [*_of_adapters(settings.banks), *_of_alerts(settings)]:
        session.show(SettingsCheckView(None, settings.warnings), error=SettingsFaults(faults, (), {}))
    else:
        session.show(SettingsCheckView(settings, settings.warnings))


def _of_alerts(settings: Settings) -> list[Fault]:
    """Whether alerts can be delivered: Apprise is there and understands each URL. Takes a moment."""
    if not settings.alert_urls:
        return []
    from paysync_cli.runtime.alerts import alert_faults

    return alert_faults(settings)


def _of_adapters(banks: Mapping[str, BankSettings]) -> list[Fault]:
    """What the banks' adapters say of their own keys, and which adapters are broken. Imports them: takes a moment."""
    if not banks:
        return []
    from paysync_cli.runtime.banks import adapter_faults

    return [fault for faults in adapter_faults(banks.values()).values() for fault in faults]
