"""Judging the keys of `[banks.<name>]` that are an adapter's own: every fault at once, no value ever shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from urllib.parse import urlsplit

from paysync_cli.banks.base import BankProfile
from paysync_cli.errors import Fault, SettingsError
from paysync_cli.language import _

_VISIBLE = re.compile(r"[\x20-\x7e]*", re.ASCII)


def refuse(profile: BankProfile, problems: Iterable[str]) -> None:
    """Raise SettingsError with one fault for each problem; nothing when there is none."""
    faults = [Fault("settings", f"[banks.{profile.name}] {problem}") for problem in problems]
    if faults:
        raise SettingsError("; ".join(fault.message for fault in faults), faults=faults)


def address_problems(url: str, key: str = "base_url") -> Iterator[str]:
    """What is wrong with an address that requests with a credential go to."""
    try:
        address = urlsplit(url)
        usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:  # brackets that do not match, a port that is none
        yield _("{key} must be an http or https address").format(key=key)
        return
    if not usable:
        yield _("{key} must be an http or https address").format(key=key)
    if "@" in address.netloc or address.query or address.fragment:
        yield _("{key} must hold no user, no query and no fragment").format(key=key)


def missing_keys(profile: BankProfile, *keys: str) -> Iterator[str]:
    """The keys that are needed and not there."""
    for key in keys:
        if not profile.options.get(key):
            yield _("{key} is missing").format(key=key)


def header_problems(profile: BankProfile, *keys: str) -> Iterator[str]:
    """The keys that travel in a header and could not: found here, each would pass for a bank that does not answer."""
    for key in keys:
        if not _VISIBLE.fullmatch(profile.options.get(key, "")):
            yield _("{key} holds characters that cannot be sent").format(key=key)


def unknown_keys(profile: BankProfile, *known: str) -> Iterator[str]:
    """The keys that nobody reads: most often a known one, misspelt."""
    for key in sorted(profile.options.keys() - set(known)):
        near = get_close_matches(key, known, n=1)
        told = _("there is no key {key}").format(key=key)
        yield told + (_("; did you mean {near}?").format(near=near[0]) if near else "")
