"""Which settings there are: key, variables, how the text is read, what holds when nobody says otherwise.

Keys and variables are a public contract: they only grow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paysync_cli.language import _, mark
from paysync_cli.payments.money import CURRENCIES
from paysync_cli.settings.database_url import read_database_url
from paysync_cli.settings.durations import parse_duration, parse_rate, parse_share, parse_time_of_day
from paysync_cli.settings.redis_url import read_redis_url
from paysync_cli.settings.zones import parse_zone

# A reader turns text into the value, or raises ValueError with a sentence. `folder` is where the text was written:
# a relative path counts from there.
Reader = Callable[[str, Path | None], Any]


@dataclass(frozen=True)
class Key:
    """One setting. `name` is the TOML key; `default` is text, read like any other, or None for no value."""

    name: str
    field: str
    variables: tuple[str, ...]  # environment names, strongest first
    read: Reader
    default: str | None
    about: str  # one sentence for people
    secret: bool = False


# -- readers


def _text(reader: Callable[[str], Any]) -> Reader:
    return lambda text, _folder: reader(text)


def _span(*, plain_unit: str = "s", zero: bool = False) -> Reader:
    def read(text: str, _folder: Path | None) -> float:
        seconds = parse_duration(text, plain_unit=plain_unit)
        if seconds < 0 or (seconds == 0 and not zero):
            raise ValueError(_("{text!r} must be longer than zero.").format(text=text))
        return seconds

    return read


def _whole(least: int, most: int) -> Reader:
    def read(text: str, _folder: Path | None) -> int:
        wanted = text.strip()
        if not re.fullmatch(r"-?[0-9]{1,9}", wanted, re.ASCII):
            raise ValueError(_("{text!r} is not a whole number.").format(text=text))
        if not least <= int(wanted) <= most:
            raise ValueError(_("{text} is not between {least} and {most}.").format(text=text, least=least, most=most))
        return int(wanted)

    return read


def _one_of(*words: str) -> Reader:
    def read(text: str, _folder: Path | None) -> str:
        wanted = text.strip().lower()
        if wanted not in words:
            choices = ", ".join(words)
            raise ValueError(_("{text!r} is not one of {choices}.").format(text=text, choices=choices))
        return wanted

    return read


_ENVIRONMENTS = _one_of("production", "certification")


def _file(text: str, folder: Path | None) -> Path:
    path = Path(text.strip()).expanduser()
    if path.is_absolute():
        return path
    if folder is None:
        raise ValueError(_("{text!r} is relative and there is no folder to start from.").format(text=text))
    return folder / path


_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def _flag(text: str, _folder: Path | None) -> bool:
    wanted = text.strip().lower()
    if wanted not in (*_YES, *_NO):
        raise ValueError(_("{text!r} is neither true nor false.").format(text=text))
    return wanted in _YES


def _language(text: str) -> str:
    wanted = re.split(r"[_.@-]", text.strip())[0].lower()
    if not re.fullmatch(r"[a-z]{2,3}", wanted, re.ASCII):
        raise ValueError(_("{text!r} is not a language: write en or es.").format(text=text))
    return wanted


_ALERT_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", re.ASCII)


def _alert_urls(text: str) -> tuple[str, ...]:
    """Apprise URLs, separated by spaces or commas. What is in them is secret as a whole."""
    urls = tuple(u for u in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)|\s+", text.strip(" \t\r\n,")) if u)
    if any(not _ALERT_URL.fullmatch(url) for url in urls):
        raise ValueError(_("an alert URL looks like https://host/path, slack://..., mailto://..."))
    return urls


def _ping_url(text: str) -> str:
    """An address to call. Its path is the secret, so no message repeats it."""
    wanted = text.strip()
    if not re.fullmatch(r"https?://[^\s/?#]+([/?][^\s#]*)?", wanted, re.ASCII | re.IGNORECASE):
        raise ValueError(_("a ping URL looks like https://host/path."))
    return wanted


SHORT_TOKEN = 16


def _token(text: str) -> str:
    """What stands behind `Bearer` in a header. No message repeats it."""
    wanted = text.strip()
    if not re.fullmatch(r"[!-~]*", wanted, re.ASCII):
        raise ValueError(_("a token is one word of ASCII characters: no other could ever be sent."))
    if 0 < len(wanted) < SHORT_TOKEN:
        raise ValueError(
            _("a token shorter than {n} characters is guessed: `openssl rand -hex 32` makes one.").format(n=SHORT_TOKEN)
        )
    return wanted


BANK_NAME = re.compile(r"[a-z][a-z0-9]*", re.ASCII)


def _bank_name(text: str) -> str:
    wanted = text.strip()
    if not BANK_NAME.fullmatch(wanted):
        raise ValueError(_("{text!r} is not a bank's name: small letters and digits.").format(text=text))
    return wanted


def _currency(text: str) -> str:
    wanted = text.strip().upper()
    if wanted not in CURRENCIES:
        raise ValueError(_("{text!r} is not a currency: write BOB, USD, BRL ...").format(text=text))
    return wanted


def _base_url(text: str) -> str:
    wanted = text.strip().rstrip("/")
    # No @ at all: behind a raw / in a password the rest of it would pass for the path, which messages show.
    looks_right = re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#@]*)?", wanted, re.ASCII | re.IGNORECASE)
    if not looks_right or not _names_a_host(wanted):
        raise ValueError(_("it must look like https://host/path, without user, password, ? or #."))
    return wanted


def _names_a_host(url: str) -> bool:
    """Whether host and port can be dialled at all: brackets that match, a port that exists, labels of a name."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        return bool(host) and parts.port != 0
    except ValueError:
        return False


def _key(name: str, read: Reader, default: str | None, about: str, *, field: str = "", secret: bool = False) -> Key:
    return Key(name, field or name, (f"PAYSYNC_{name.upper()}",), read, default, about, secret)


KEYS: tuple[Key, ...] = (
    _key("home", _file, None, mark("Folder of the embedded Redis, the SQLite file and lock files.")),
    Key(
        "redis_url",
        "redis_url",
        ("PAYSYNC_REDIS_URL", "REDIS_URL"),
        _text(read_redis_url),
        None,
        mark("Redis; without it an embedded server in the home folder."),
        secret=True,
    ),
    Key(
        "database_url",
        "database_url",
        ("PAYSYNC_DATABASE_URL", "DATABASE_URL"),
        read_database_url,
        None,
        mark("The books; without it a SQLite file in the home folder."),
        secret=True,
    ),
    _key("redis_server", _file, None, mark("Server binary of the embedded Redis.")),
    # The one variable without a prefix: the name that users of the queue know. A plain number counts minutes.
    Key(
        "payment_sync_interval",
        "sync_interval_s",
        ("PAYMENT_SYNC_INTERVAL",),
        _span(plain_unit="m"),
        "5",
        mark("Between two readings of the bank's day list; a plain number counts minutes."),
    ),
    _key("concurrency", _whole(1, 10_000), "5", mark("Checks in flight in one worker process.")),
    _key("attempts", _whole(1, 100), "3", mark("Tries of one check while the bank cannot be asked.")),
    _key("backoff", _span(), "2s", mark("Wait before the second try; doubles with each one."), field="backoff_s"),
    _key("max_checks", _whole(1, 100_000), "20", mark("Regular checks of one QR.")),
    _key("delay_pending", _span(), "2m", mark("Until a pending QR is asked again."), field="delay_pending_s"),
    _key("delay_processing", _span(), "5m", mark("Until a processing QR is asked again."), field="delay_processing_s"),
    _key("delay_active", _span(), "15m", mark("Until an active QR is asked again."), field="delay_active_s"),
    _key(
        "pending_window",
        _span(zero=True),
        "10m",
        mark("How long after its issue an unpaid QR is pending."),
        field="pending_window_s",
    ),
    _key(
        "due_margin",
        _span(zero=True),
        "2m",
        mark("How long after its due moment a QR is asked for the last time."),
        field="due_margin_s",
    ),
    _key("jitter", _text(parse_share), "10%", mark("By how much a delay may grow; 0 switches it off.")),
    _key("keep_completed", _whole(0, 1_000_000), "100", mark("Completed jobs kept to look at.")),
    _key("keep_failed", _whole(0, 1_000_000), "50", mark("Failed jobs kept to look at.")),
    _key(
        "shutdown_grace",
        _span(zero=True),
        "30s",
        mark("How long a stopping worker waits for checks in flight."),
        field="shutdown_grace_s",
    ),
    _key("cleanup_at", _text(parse_time_of_day), "02:00", mark("Daily cleanup, in the bank's zone; off for none.")),
    _key("default_bank", _text(_bank_name), None, mark("The bank meant when none is named; needed with several.")),
    _key("log_level", _one_of("debug", "info", "warning", "error"), "info", mark("debug, info, warning or error.")),
    _key("log_format", _one_of("text", "json"), None, mark("text or json; without it text on a terminal, else json.")),
    _key("log_file", _file, None, mark("Log file, reopened on HUP; without it standard error.")),
    _key("tz", _text(parse_zone), None, mark("Zone in which people see times; without it the machine's.")),
    _key("lang", _text(_language), None, mark("Language for people: en or es.")),
    _key(
        "alert_urls", _text(_alert_urls), "", mark("Where alerts go: Apprise URLs, separated by spaces."), secret=True
    ),
    _key(
        "alert_cooldown",
        _span(zero=True),
        "1h",
        mark("Until more of the same is told again, with the count so far."),
        field="alert_cooldown_s",
    ),
    _key(
        "ping_url",
        _text(_ping_url),
        None,
        mark("Called after a command of cron succeeded (healthchecks.io ...): one URL for each line of the crontab."),
        secret=True,
    ),
    _key("serve_token", _text(_token), None, mark("Token for `paysync serve`."), secret=True),
    _key("read_only", _flag, "false", mark("Refuse every change.")),
)

# The keys every bank has; all others belong to its adapter.
BANK_KEYS: tuple[Key, ...] = tuple(
    Key(name, field, (), read, default, about)
    for name, field, read, default, about in (
        (
            "adapter",
            "adapter",
            _text(_bank_name),
            None,
            mark("Which adapter speaks to it; without it the bank's name."),
        ),
        ("base_url", "base_url", _text(_base_url), None, mark("Address of its interface. Needed.")),
        ("environment", "environment", _ENVIRONMENTS, "production", mark("production or certification.")),
        ("timezone", "timezone", _text(parse_zone), "America/La_Paz", mark("Zone of its days.")),
        ("currency", "currency", _text(_currency), "BOB", mark("Currency of a QR that names none.")),
        ("account", "account", _text(str.strip), "", mark("Account of a QR that names none.")),
        ("due_margin", "due_margin_s", _span(zero=True), None, mark("As above, for this bank.")),
        ("rate", "rate_per_s", _text(parse_rate), "10/s", mark("Requests per second, of all workers together.")),
        ("concurrency", "concurrency", _whole(1, 10_000), "20", mark("Requests in flight, of all workers together.")),
        (
            "foreign_qrs",
            "foreign_qrs",
            _one_of("review", "count"),
            "review",
            mark("Payments of QRs that are not ours: review, or count when others share the credential."),
        ),
        ("client_cert", "client_cert", _file, None, mark("Our certificate for mutual TLS, a PEM file.")),
        ("client_key", "client_key", _file, None, mark("Its private key, a PEM file that nobody else can read.")),
        ("ca_bundle", "ca_bundle", _file, None, mark("Whose certificates are trusted, instead of the usual ones.")),
        ("verify_tls", "verify_tls", _flag, "true", mark("false only in certification: trust any certificate.")),
    )
)

# An adapter's keys that may be shown; every other one is taken for a secret.
SHOWN_BANK_OPTIONS = frozenset(
    ("username", "user", "merchant", "branch", "service", "scope", "client_id", "token_url", "token_auth",
     "notice_username")
)  # fmt: skip

# Others that are nobody's misspelling, however near they come to a key that every bank has.
USUAL_BANK_SECRETS = frozenset(("password", "aes_key", "api_key", "token", "client_secret"))

# Adapters' keys that only look like one of BANK_KEYS mistyped.
NO_TYPOS = frozenset(("account_id", "client_secret"))

# Adapters whose sub-tables may be shown: they hold addresses and expressions, and secrets are refused there.
ADAPTERS_WITH_SHOWN_TABLES = frozenset(("http",))

_SECRET_NAME = re.compile(r".*(password|passwd|secret|api-?key|token|authorization|cookie|credential|pin)", re.ASCII)


def names_a_secret(key: str) -> bool:
    """Whether a key of a sub-table is called like something that nobody may see."""
    return bool(_SECRET_NAME.fullmatch(key.lower().replace("_", "-")))
