"""Where settings are written: options, the environment, `.env`, the TOML files. Reads text, judges nothing.

`.env` is read without touching the process's environment, and never wins over it.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import time
from io import StringIO
from pathlib import Path
from typing import Any

from paysync_cli.errors import Fault
from paysync_cli.language import _
from paysync_cli.settings.model import Origin, OriginKind

FILE_NAME = "paysync.toml"


@dataclass(frozen=True)
class Folders:
    """The folders that depend on the user and the system; a folder that cannot be told is None."""

    data: Path | None
    config: Path | None
    system: Path | None = Path("/etc/paysync")

    @classmethod
    def of_this_user(cls) -> Folders:
        """From HOME, XDG_* or the platform's custom."""
        import platformdirs

        return cls(
            data=_absolute(platformdirs.user_data_dir("paysync", appauthor=False)),
            config=_absolute(platformdirs.user_config_dir("paysync", appauthor=False)),
        )


@dataclass
class Variables:
    """One environment-like source: names and texts, empty ones left out."""

    kind: OriginKind
    values: Mapping[str, str]
    path: Path | None = None
    folder: Path | None = None  # relative paths count from here

    def origin(self, name: str) -> Origin:
        return Origin(self.kind, name, self.path)


@dataclass
class Table:
    """One TOML file: `values` by key, `banks` by bank and key, all as text; `bank_tables` are the sub-tables of banks,
    `[banks.<name>.<table>]`, as TOML tells them.
    """

    kind: OriginKind
    path: Path
    values: dict[str, str] = field(default_factory=dict)
    banks: dict[str, dict[str, str]] = field(default_factory=dict)
    bank_tables: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)

    def origin(self, name: str) -> Origin:
        return Origin(self.kind, name, self.path)


class Findings:
    """What is wrong, gathered while reading on."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []

    def fault(self, message: str, hint: str | None = None, code: str = "settings") -> None:
        self.faults.append(Fault(code, message, hint))

    def warn(self, message: str, hint: str | None = None, code: str = "settings") -> None:
        self.warnings.append(Fault(code, message, hint))

    def warn_if_readable_by_all(self, path: Path) -> None:
        """Warn of a file with secrets that every user of the machine may read."""
        try:
            exposed = bool(path.stat().st_mode & stat.S_IROTH)
        except OSError:
            return
        if exposed:
            message = _("{path} holds secrets and every user may read it.").format(path=path)
            self.warn(message, f"chmod 640 {path}", code="readable_secrets")


def from_environment(environ: Mapping[str, str], cwd: Path | None) -> Variables:
    """The real environment. An empty variable counts as not set: that is what a compose file makes of a missing one."""
    return Variables(OriginKind.ENVIRONMENT, _without_empty(environ), folder=cwd)


def from_dotenv(cwd: Path | None, findings: Findings, *, ours: Callable[[str], bool]) -> Variables | None:
    """`.env` of the working folder, or None. A line that cannot be read is a fault only if it names a setting of ours:
    the file belongs to the application.
    """
    path = None if cwd is None else cwd / ".env"
    text = None if path is None else _read_text(path, findings)
    if path is None or text is None:
        return None
    from dotenv.main import resolve_variables
    from dotenv.parser import parse_stream

    pairs = []
    for binding in parse_stream(StringIO(text)):
        if binding.error and ours(binding.original.string):
            findings.fault(
                _("{path}, line {line}: cannot be read.").format(path=path, line=binding.original.line),
                _("Write NAME=value, with quotes around a value that holds spaces or #."),
            )
        elif binding.key is not None:
            pairs.append((binding.key, binding.value))
    resolved = resolve_variables(pairs, override=False)
    values = _without_empty({name: value for name, value in resolved.items() if value is not None})
    return Variables(OriginKind.DOTENV, values, path=path, folder=cwd)


def from_toml(path: Path, kind: OriginKind, findings: Findings, *, required: bool = False) -> Table | None:
    """The TOML file, or None where there is none. `required`: somebody named it, so it must be there."""
    text = _read_text(path, findings, required=required)
    if text is None:
        return None
    table = Table(kind, path)
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        findings.fault(_("{path} is not valid TOML: {error}").format(path=path, error=_toml_place(error)))
        return table
    for name, value in written.items():
        if name == "banks":
            _take_banks(table, value, findings)
        else:
            _take(table.values, name, value, table.origin(name), findings)
    return table


def _take_banks(table: Table, banks: Any, findings: Findings) -> None:
    if not isinstance(banks, dict) or not all(isinstance(keys, dict) for keys in banks.values()):
        findings.fault(
            _("{where}: write one block per bank, [banks.NAME].").format(where=table.origin("banks").spoken())
        )
        return
    for bank, keys in banks.items():
        texts, tables = table.banks.setdefault(bank, {}), table.bank_tables.setdefault(bank, {})
        for name, value in keys.items():
            if isinstance(value, dict):
                tables[name] = value
            else:
                _take(texts, name, value, table.origin(f"banks.{bank}.{name}"), findings)


def _take(texts: dict[str, str], name: str, value: Any, origin: Origin, findings: Findings) -> None:
    """The TOML value as the text that the environment would carry."""
    match value:
        case bool():
            text = "true" if value else "false"
        case str() | int() | float():
            text = str(value)
        case time():
            text = value.isoformat("minutes")
        case list() if all(isinstance(item, str) for item in value):
            text = " ".join(value)
        case _:
            where = origin.spoken()
            findings.fault(_("{where}: write text, a number or true/false.").format(where=where))
            return
    if text.strip():
        texts[name] = text


def _read_text(path: Path, findings: Findings, *, required: bool = False) -> str | None:
    """The file's text, None when it is not there. One that is there and cannot be read is a fault:
    going on without it would be another configuration than the one that was written.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        if required:
            findings.fault(_("There is no settings file {path}.").format(path=path))
    except UnicodeDecodeError:
        findings.fault(_("{path} is not UTF-8 text.").format(path=path))
    except PermissionError:
        _unreadable(path, findings, required=required)
    except OSError as error:
        findings.fault(_("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror))
    return None


def _unreadable(path: Path, findings: Findings, *, required: bool) -> None:
    # In a folder that may not even be looked into, nobody can tell whether the file is there.
    if not required and not os.access(path.parent, os.X_OK):
        findings.warn(_("{path} was not looked for: its folder may not be entered.").format(path=path))
    else:
        findings.fault(
            _("{path} may not be read by user {user}.").format(path=path, user=os.geteuid()),
            _("Give the user read access, or run paysync as the file's owner."),
        )


def secret_path(text: str, folder: Path | None) -> Path:
    """The file that a `..._FILE` setting names."""
    path = Path(text.strip()).expanduser()
    return path if folder is None else folder / path


def read_secret_file(path: Path) -> str:
    """The content of a secret's file, without its last line end. Raises ValueError."""
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(_("{path} is not UTF-8 text.").format(path=path)) from None
    except OSError as error:
        raise ValueError(_("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror)) from None
    content = content.rstrip("\r\n")
    if not content:
        raise ValueError(_("{path} is empty.").format(path=path))
    return content


def _toml_place(error: tomllib.TOMLDecodeError) -> str:
    """Python's message without the piece of the file it may quote, which may be a secret."""
    message = str(error)
    kind = message.partition(":")[0].partition(" (")[0]
    place = message.rpartition("(")[2].rstrip(")") if "(" in message else ""
    return f"{kind} ({place})" if place else kind


def _without_empty(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value.strip()}


def _absolute(folder: str) -> Path | None:
    path = Path(folder)
    return path if path.is_absolute() else None
