"""Settings from their sources: option > environment > .env > paysync.toml > user file > /etc > default.

Everything is read and judged before anything is raised, so that one run tells all that is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from paysync_cli.errors import Fault, SettingsError, UsageError
from paysync_cli.language import _, code_of, ngettext
from paysync_cli.settings import sources
from paysync_cli.settings.banks import holds_secret, is_bank_variable, read_banks
from paysync_cli.settings.database_url import sqlite_url
from paysync_cli.settings.keys import BANK_KEYS, KEYS, SHOWN_BANK_OPTIONS, Key
from paysync_cli.settings.model import BankSettings, Origin, OriginKind, Settings
from paysync_cli.settings.reading import Raw, Reading

_OF_NAME = {key.name: key for key in KEYS}
_VARIABLES = frozenset(name for key in KEYS for name in key.variables)
_FILE_VARIABLES = frozenset(f"{name}_FILE" for key in KEYS if key.secret for name in key.variables)
_FILE_KEYS = frozenset(f"{key.name}_file" for key in KEYS if key.secret)


class SettingsFaults(SettingsError):
    """Settings that are wrong: every fault, beside them the warnings, and the banks that are right."""

    def __init__(self, faults: Sequence[Fault], warnings: Sequence[Fault], banks: Mapping[str, BankSettings]) -> None:
        n = len(faults)
        message = ngettext("{n} setting is wrong.", "{n} settings are wrong.", n).format(n=n)
        super().__init__(message, faults=faults)
        self.warnings = tuple(warnings)
        self.banks = banks


def load_settings(
    *,
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    folders: sources.Folders | None = None,
    config_file: Path | None = None,
    read_files: bool = True,
) -> Settings:
    """Read and check all settings. Raises SettingsFaults with one Fault for each thing that is wrong.

    `options` are this run's own, by TOML key. `environ` defaults to the process's, `cwd` to the working folder,
    `folders` to the user's. `config_file` stands in for all TOML files. `read_files=False` reads neither `.env`
    nor TOML.
    """
    loader = _Loader(
        options or {},
        os.environ if environ is None else environ,
        cwd or _working_folder(),
        folders or sources.Folders.of_this_user(),
    )
    loader.open_environment(dotenv=read_files)
    if config_file is not None:
        loader.open_toml(config_file, OriginKind.PROJECT_FILE, required=True)
    elif read_files:
        loader.open_toml_files()
    return loader.settings()


def read_language(config_file: Path | None = None) -> str | None:
    """What the files say about the language alone, the strongest first. Nothing is judged here: a file that is wrong
    is told by `load_settings`.
    """
    loader = _Loader({}, {}, _working_folder(), sources.Folders.of_this_user())
    loader.open_environment(dotenv=True)
    if config_file is not None:
        loader.open_toml(config_file, OriginKind.PROJECT_FILE)
    else:
        loader.open_toml_files()
    raw = loader.raw(_OF_NAME["lang"])
    return None if raw is None else code_of(raw.text)


def select_bank(settings: Settings, name: str | None = None) -> BankSettings:
    """The bank called `name`, else PAYSYNC_DEFAULT_BANK, else the only one. Raises SettingsError or UsageError."""
    if not settings.banks:
        raise SettingsError(
            _("No bank is configured."),
            hint=_(
                "Configure one: a [banks.NAME] block in paysync.toml, or PAYSYNC_BANK_<NAME>_<KEY> variables.\n"
                "Or try it without a bank: `paysync bank simulate` prints such a block."
            ),
            code="no_bank",
        )
    known = ", ".join(sorted(settings.banks))
    wanted = name or settings.default_bank
    if wanted is not None:
        if wanted in settings.banks:
            return settings.banks[wanted]
        message = _("No bank is called {name!r}; there are: {known}.").format(name=wanted, known=known)
        raise UsageError(message, hint=_nearest(wanted, list(settings.banks)), code="unknown_bank")
    if len(settings.banks) > 1:
        raise UsageError(
            _("Several banks are configured ({known}): say which.").format(known=known),
            hint=_("Add --bank NAME, or set PAYSYNC_DEFAULT_BANK."),
            code="bank_needed",
        )
    return next(iter(settings.banks.values()))


class _Loader:
    def __init__(
        self, options: Mapping[str, str], environ: Mapping[str, str], cwd: Path | None, folders: sources.Folders
    ) -> None:
        self.options = options
        self.environ = environ
        self.cwd = cwd
        self.folders = folders
        self.reading = Reading()
        self.variables: list[sources.Variables] = []
        self.tables: list[sources.Table] = []

    # -- opening the sources, strongest first

    def open_environment(self, *, dotenv: bool) -> None:
        self.variables.append(sources.from_environment(self.environ, self.cwd))
        if dotenv:
            found = sources.from_dotenv(self.cwd, self.reading.findings, ours=_names_a_setting)
            self.variables += [found] if found else []

    def open_toml_files(self) -> None:
        places = (
            (self.cwd, OriginKind.PROJECT_FILE),
            (self.folders.config, OriginKind.USER_FILE),
            (self.folders.system, OriginKind.SYSTEM_FILE),
        )
        for folder, kind in places:
            if folder is not None:
                self.open_toml(folder / sources.FILE_NAME, kind)

    def open_toml(self, path: Path, kind: OriginKind, *, required: bool = False) -> None:
        whole = path if self.cwd is None else self.cwd / path
        table = sources.from_toml(whole, kind, self.reading.findings, required=required)
        self.tables += [table] if table else []

    # -- judging what they say

    def settings(self) -> Settings:
        self._look_for_unknown()
        values = {key.field: self._value(key) for key in KEYS}
        values["home"] = self._home(values["home"])
        values["database_url"] = self._database_url(values["database_url"], values["home"])
        banks = read_banks(self.reading, self.variables, self.tables, due_margin_s=values["due_margin_s"])
        self._check_default_bank(values["default_bank"], list(banks))
        self._warn_of_readable_files()
        right = {name: bank for name, bank in banks.items() if bank is not None}
        findings = self.reading.findings
        if findings.faults:
            raise SettingsFaults(findings.faults, findings.warnings, right)
        dotenv = [source.path for source in self.variables if source.path is not None]
        return Settings(
            **values,
            banks=right,
            origins=self.reading.origins,
            entries=self.reading.entries([key.name for key in KEYS]),
            files=(*dotenv, *(table.path for table in self.tables)),
            warnings=tuple(findings.warnings),
            secret_texts=self.reading.secrets,
        )

    def _value(self, key: Key) -> Any:
        raw = self.raw(key)
        if raw is not None:
            self.reading.note_raw(key, raw)
            return self.reading.value(key, raw)
        self.reading.note_default(key.name, key.default or None)
        return None if key.default is None else key.read(key.default, None)

    def raw(self, key: Key) -> Raw | None:
        """The text of the strongest source that has the key."""
        if key.name in self.options:
            option = Origin(OriginKind.OPTION, f"--{key.name.replace('_', '-')}")
            return Raw(self.options[key.name], option, self.cwd)
        # The specific name wins over the general one wherever it stands; for one name the environment wins over .env.
        for name in key.variables:
            for source in self.variables:
                suffix = "_FILE" if key.secret else ""
                raw = self._text(source.values, name, suffix, source.origin, source.folder)
                if raw is not None:
                    return raw
        for table in self.tables:
            suffix = "_file" if key.secret else ""
            raw = self._text(table.values, key.name, suffix, table.origin, table.path.parent)
            if raw is not None:
                return raw
        return None

    def _text(
        self, texts: Mapping[str, str], name: str, file_suffix: str, origin: Any, folder: Path | None
    ) -> Raw | None:
        if file_suffix:
            return self.reading.text_or_file(texts, name, file_suffix, origin, folder)
        return Raw(texts[name], origin(name), folder) if name in texts else None

    def _home(self, home: Path | None) -> Path | None:
        if not self.reading.is_default("home"):
            return home
        if self.folders.data is None:
            self.reading.findings.fault(
                _("The user's home folder cannot be told, so there is no place for paysync's data."),
                _("Set PAYSYNC_HOME to a folder."),
            )
            return None
        self.reading.note_default("home", str(self.folders.data))
        return self.folders.data

    def _database_url(self, url: str | None, home: Path | None) -> str | None:
        if not self.reading.is_default("database_url") or home is None:
            return url
        default = sqlite_url(home / "paysync.db")
        self.reading.note_default("database_url", default)
        return default

    def _check_default_bank(self, name: str | None, banks: Sequence[str]) -> None:
        if name is not None and banks and name not in banks:
            where = self.reading.origins["default_bank"].spoken()
            message = _("{where}: no bank is called {name!r}.").format(where=where, name=name)
            self.reading.findings.fault(message, _nearest(name, banks), code="invalid_setting")

    # -- what nobody knows, and what everybody may read

    def _look_for_unknown(self) -> None:
        for source in self.variables:
            for name in sorted(source.values):
                if name.startswith(("PAYSYNC_", "PAYMENT_SYNC")) and not is_known_variable(name):
                    self._warn_of_unknown(source.origin(name))
        for table in self.tables:
            for name in table.values:
                if name not in _OF_NAME and name not in _FILE_KEYS:
                    message = _("{where}: there is no such setting.").format(where=table.origin(name).spoken())
                    hint = _nearest(name.lower().removeprefix("paysync_"), list(_OF_NAME))
                    self.reading.findings.fault(message, hint, code="unknown_setting")

    def _warn_of_unknown(self, origin: Origin) -> None:
        # Compared without the prefix that makes all of them alike.
        stems = {name.removeprefix("PAYSYNC_"): name for name in sorted(_VARIABLES | _FILE_VARIABLES)}
        stem = get_close_matches(origin.name.removeprefix("PAYSYNC_"), list(stems), n=1, cutoff=0.7)
        near = [stems[name] for name in stem]
        message = _("{where} is unknown to paysync").format(where=origin.spoken())
        message += _("; did you mean {near}?").format(near=near[0]) if near else "."
        self.reading.findings.warn(message, code="unknown_setting")

    def _warn_of_readable_files(self) -> None:
        for table in self.tables:
            if _holds_secret(table):
                self.reading.findings.warn_if_readable_by_all(table.path)


def is_known_variable(name: str) -> bool:
    """Whether paysync reads a variable of this name."""
    return name in _VARIABLES or name in _FILE_VARIABLES or is_bank_variable(name)


def _holds_secret(table: sources.Table) -> bool:
    open_keys = {key.name for key in BANK_KEYS} | SHOWN_BANK_OPTIONS
    own = any(name in table.values for name in ("serve_token", "alert_urls", "ping_url"))
    urls = any("@" in table.values.get(name, "") for name in ("redis_url", "database_url"))
    banks = any(name not in open_keys and not name.endswith("_file") for keys in table.banks.values() for name in keys)
    return own or urls or banks or any(map(holds_secret, table.bank_tables.values()))


def _names_a_setting(line: str) -> bool:
    return any(word in line for word in ("PAYSYNC_", "PAYMENT_SYNC", "REDIS_URL", "DATABASE_URL"))


def _nearest(name: str, known: Sequence[str]) -> str | None:
    near = get_close_matches(name, known, n=1)
    return _("Did you mean {near}?").format(near=near[0]) if near else None


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # deleted, or not to be read
        return None
