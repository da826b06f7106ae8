"""What the settings are once read and found right: frozen, complete, with the origin of every value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from paysync_cli.errors import Fault
from paysync_cli.language import _


class OriginKind(StrEnum):
    """Where a value may come from, strongest first. The words are in JSON (`config show`)."""

    OPTION = "option"
    ENVIRONMENT = "environment"
    DOTENV = ".env"
    PROJECT_FILE = "paysync.toml"
    USER_FILE = "user file"
    SYSTEM_FILE = "system file"
    DEFAULT = "default"


@dataclass(frozen=True)
class Origin:
    """Where a value came from: `name` is the variable, key or option as written there; `path` the file, if any."""

    kind: OriginKind
    name: str
    path: Path | None = None

    def spoken(self) -> str:
        """`REDIS_URL in the environment`, `concurrency in /etc/paysync/paysync.toml`."""
        if self.path is not None:
            return _("{name} in {path}").format(name=self.name, path=self.path)
        if self.kind is OriginKind.ENVIRONMENT:
            return _("{name} in the environment").format(name=self.name)
        return self.name


@dataclass(frozen=True)
class Entry:
    """One value as people may see it: secrets are masked already; None is a value that nobody set."""

    key: str
    shown: str | None
    origin: Origin


@dataclass(frozen=True)
class BankSettings:
    """One bank. `options` are the adapter's own keys as text (username, password, aes_key, ...), `tables` its
    sub-tables as TOML tells them.
    """

    name: str
    adapter: str
    base_url: str
    environment: str  # "production" | "certification"
    timezone: ZoneInfo
    currency: str
    account: str
    due_margin_s: float
    rate_per_s: float
    concurrency: int
    foreign_qrs: str  # "review" | "count": what to do with payments of QRs that are not ours
    client_cert: Path | None = None
    client_key: Path | None = None
    ca_bundle: Path | None = None
    verify_tls: bool = True  # false only in certification
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Settings:
    """Every setting. Spans are seconds (`_s`), moments of the day local to the bank."""

    home: Path
    redis_url: str | None = field(repr=False)  # None: the embedded server in `redis_folder`
    database_url: str = field(repr=False)  # SQLAlchemy's form
    redis_server: Path | None  # the embedded server's binary; None: find one
    sync_interval_s: float
    concurrency: int
    attempts: int
    backoff_s: float
    max_checks: int
    delay_pending_s: float
    delay_processing_s: float
    delay_active_s: float
    pending_window_s: float
    due_margin_s: float
    jitter: float  # a share: 0.1 is 10 %
    keep_completed: int
    keep_failed: int
    shutdown_grace_s: float
    cleanup_at: time | None  # None: off
    default_bank: str | None
    log_level: str
    log_format: str | None  # None: text on a terminal, else json
    log_file: Path | None  # None: standard error
    tz: ZoneInfo | None  # None: the machine's
    lang: str | None
    alert_urls: tuple[str, ...] = field(repr=False)
    alert_cooldown_s: float
    ping_url: str | None = field(repr=False)
    serve_token: str | None = field(repr=False)
    read_only: bool
    banks: Mapping[str, BankSettings]
    origins: Mapping[str, Origin] = field(repr=False)  # by key; banks as `banks.<name>.<key>`
    entries: tuple[Entry, ...] = field(repr=False)  # in the order of the documentation
    files: tuple[Path, ...] = field(repr=False)  # the files that were read, strongest first
    warnings: tuple[Fault, ...] = field(repr=False)
    secret_texts: frozenset[str] = field(repr=False)  # to keep out of messages and logs

    @property
    def redis_folder(self) -> Path:
        """The embedded Redis lives here."""
        return self.home / "redis"
