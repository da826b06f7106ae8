"""Settings: what cron will not see, what is overruled, which secrets lie open."""

from __future__ import annotations

from collections.abc import Iterator

from paysync_cli.language import _, ngettext
from paysync_cli.services.doctor.finding import Finding, ok, warning
from paysync_cli.settings.inspection import SettingsFacts

AREA = "settings"
VARIABLES = {"redis_url": "REDIS_URL", "database_url": "DATABASE_URL", "home": "PAYSYNC_HOME"}


def judge(facts: SettingsFacts) -> list[Finding]:
    """What may surprise; one quiet line when nothing does."""
    found = [*_local(facts), *_local_banks(facts), *_shadowed(facts), *_exposed(facts), *_told_while_reading(facts)]
    if found:
        return found
    files = ", ".join(map(str, facts.files)) or _("the environment and defaults")
    return [ok(AREA, "settings", _("The settings come from {files}.").format(files=files))]


def _local(facts: SettingsFacts) -> Iterator[Finding]:
    for key, origin in facts.local:
        text = _("{name} is decided by {where}, in the working directory: cron and systemd will not see it.").format(
            name=VARIABLES[key], where=origin.path
        )
        yield warning(
            AREA, "local_url", text, _("Write it into ~/.config/paysync/paysync.toml or /etc/paysync/paysync.toml")
        )


def _local_banks(facts: SettingsFacts) -> Iterator[Finding]:
    for path, banks in facts.local_banks:
        text = ngettext(
            "Bank {names} is set in {path}, in the working directory: cron and systemd will not see it.",
            "Banks {names} are set in {path}, in the working directory: cron and systemd will not see them.",
            len(banks),
        )
        mend = _("Write it into ~/.config/paysync/paysync.toml or /etc/paysync/paysync.toml")
        yield warning(AREA, "local_bank", text.format(names=", ".join(banks), path=path), mend)


def _shadowed(facts: SettingsFacts) -> Iterator[Finding]:
    for name in facts.shadowed:
        text = _("{name} in {path} has no effect: the environment says otherwise.").format(name=name, path=facts.dotenv)
        yield warning(AREA, "dotenv_shadowed", text, f"unset {name}")


def _exposed(facts: SettingsFacts) -> Iterator[Finding]:
    if facts.exposed:
        text = _("{path} holds secrets and every user may read it.").format(path=facts.dotenv)
        yield warning(AREA, "readable_secrets", text, f"chmod 640 {facts.dotenv}")


def _told_while_reading(facts: SettingsFacts) -> Iterator[Finding]:
    for one in facts.warnings:
        yield warning(AREA, one.code, one.message, one.hint or "paysync config check")
