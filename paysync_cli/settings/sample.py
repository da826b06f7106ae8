"""The commented file that `paysync config init` writes: every key, none of them set."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from paysync_cli.errors import RefusedError, SettingsError
from paysync_cli.language import _
from paysync_cli.settings.keys import BANK_KEYS, KEYS, Key

# What a user of a key without a default may write there.
_EXAMPLES = {
    "home": "/var/lib/paysync",
    "redis_url": "redis://:PASSWORD@localhost:6379/0",
    "database_url": "postgresql://USER:PASSWORD@localhost/DATABASE",
    "redis_server": "/usr/bin/valkey-server",
    "default_bank": "baneco",
    "log_format": "json",
    "log_file": "/var/log/paysync/paysync.log",
    "tz": "America/La_Paz",
    "lang": "es",
    "alert_urls": "mailto://user:password@example.com",
    "ping_url": "https://hc-ping.com/...",
    "serve_token": "made-by-openssl-rand-hex-32",
    "adapter": "baneco",
    "base_url": "https://...",
    "account": "...",
    "due_margin": "2m",
    "client_cert": "/etc/paysync/bank.crt",
    "client_key": "/etc/paysync/bank.key",
    "ca_bundle": "/etc/paysync/bank-ca.crt",
}


def sample_file() -> str:
    """A complete paysync.toml with everything commented out, so that it changes nothing as it stands."""
    lines = [
        _("# Settings of paysync. The environment and .env win over this file; `paysync config show` tells which."),
        _("# Keep it from other users when it holds secrets (chmod 600), or name files: password_file, ..."),
        "",
        *_lines(KEYS),
        _("# One block for each bank. Keys that are not listed here go to its adapter as they are."),
        "",
        "# [banks.baneco]",
        *_lines(BANK_KEYS),
        '# username = "..."',
        '# password_file = "/etc/paysync/baneco.password"',
        '# aes_key_file = "/etc/paysync/baneco.aes"',
        "# " + _("How it proves that a notice is its own (`paysync serve --notify`): a part of the address that it is"),
        "# " + _("given, which is a bearer token too; or notice_username and notice_password."),
        '# notice_secret_file = "/etc/paysync/baneco.notice"',
    ]
    return "\n".join(lines) + "\n"


def write_sample(file: Path) -> Path:
    """Write the sample, readable by its owner alone since secrets will follow; returns the absolute path.

    Raises RefusedError when something is there already, SettingsError when it cannot be written.
    """
    path = file
    try:
        path = file.absolute()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as target:
            target.write(sample_file())
    except FileExistsError:
        raise RefusedError(
            _("{path} is there already and was not touched.").format(path=path),
            hint=_("Name another file, or move that one away."),
            code="file_exists",
        ) from None
    except OSError as error:
        message = _("{path} cannot be written: {reason}.").format(path=path, reason=error.strerror)
        raise SettingsError(message, hint=_("Choose a folder that is there and yours.")) from None
    return path


def _lines(keys: Iterable[Key]) -> Iterable[str]:
    for key in keys:
        yield f"# {_(key.about)}"
        yield f"# {key.name} = {_toml(key.default or _EXAMPLES[key.name])}"
        yield ""


def _toml(text: str) -> str:
    plain_word = text.isdecimal() or text in ("true", "false")
    return text if plain_word else f'"{text}"'
