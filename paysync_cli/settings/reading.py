"""One reading of the settings: what was found, from where, what is wrong, what must never be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from paysync_cli.language import _
from paysync_cli.settings.keys import Key
from paysync_cli.settings.masking import (
    MASK,
    mask_alert_url,
    mask_ping_url,
    mask_url,
    passwords_in,
    secrets_of_alert_url,
    secrets_of_ping_url,
)
from paysync_cli.settings.model import Entry, Origin, OriginKind
from paysync_cli.settings.sources import Findings, read_secret_file, secret_path

URL_KEYS = ("redis_url", "database_url")
_SHORTEST_SECRET = 5  # shorter ones would tear ordinary words out of messages
_OWN_NAME = "paysync"  # the role's name, often: taken out, it would tear every remedy apart and hide nothing


@dataclass(frozen=True, repr=False)
class Raw:
    """A text as somebody wrote it; relative paths in it count from `folder`."""

    text: str
    origin: Origin
    folder: Path | None = None


class NamesOrigin(Protocol):
    """How one source spells the place of a key."""

    def __call__(self, name: str, /) -> Origin: ...


class Reading:
    """Gathers values with their origins, and all faults, so that one run tells all that is wrong."""

    def __init__(self) -> None:
        self.findings = Findings()
        self._origins: dict[str, Origin] = {}
        self._shown: dict[str, str | None] = {}
        self._secrets: set[str] = set()

    # -- texts

    def text_or_file(
        self, texts: Mapping[str, str], name: str, suffix: str, origin: NamesOrigin, folder: Path | None
    ) -> Raw | None:
        """The text under `name`, or the content of the file that `name` + `suffix` names."""
        file_name = f"{name}{suffix}"
        if file_name not in texts:
            return Raw(texts[name], origin(name), folder) if name in texts else None
        where = origin(file_name).spoken()
        if name in texts:
            message = _("{where}: set the value or the file, not both.").format(where=where)
            self.findings.fault(message, code="invalid_setting")
        path = secret_path(texts[file_name], folder)
        try:
            content = read_secret_file(path)
        except ValueError as problem:
            self.findings.fault(f"{where}: {problem}", code="invalid_setting")
            return None
        self.findings.warn_if_readable_by_all(path)
        return Raw(content, origin(file_name), folder)

    def value(self, key: Key, raw: Raw) -> Any:
        """The text in its type; None and a fault when it cannot be read."""
        try:
            return key.read(raw.text, raw.folder)
        except ValueError as problem:
            shown = f" ({mask_url(raw.text.strip())})" if key.name in URL_KEYS else ""
            self.findings.fault(f"{raw.origin.spoken()}{shown}: {problem}", code="invalid_setting")
            return None

    # -- remembering

    def note(self, full_name: str, shown: str | None, origin: Origin) -> None:
        """Remember where a value came from and how it may be shown."""
        self._origins[full_name] = origin
        self._shown[full_name] = shown

    def note_default(self, full_name: str, shown: str | None) -> None:
        """Remember that nobody set it."""
        self.note(full_name, shown, Origin(OriginKind.DEFAULT, full_name))

    def note_secret(self, full_name: str, raw: Raw) -> None:
        """Remember a text that is shown nowhere."""
        self.keep_secret(raw.text, raw.text.strip())
        self.note(full_name, MASK, raw.origin)

    def keep_secret(self, *texts: str) -> None:
        """Texts to keep out of every message."""
        self._secrets.update(texts)

    def note_raw(self, key: Key, raw: Raw) -> None:
        """Remember a general setting as people may see it."""
        text = raw.text.strip()
        if key.name in URL_KEYS:
            self.keep_secret(*passwords_in(text))
            self.note(key.name, mask_url(text), raw.origin)
        elif key.name == "alert_urls":
            pieces = text.replace(",", " ").split()
            self.keep_secret(*(secret for piece in pieces for secret in secrets_of_alert_url(piece)))
            self.note(key.name, " ".join(map(mask_alert_url, pieces)), raw.origin)
        elif key.name == "ping_url":
            self.keep_secret(*secrets_of_ping_url(text))
            self.note(key.name, mask_ping_url(text) if "://" in text else MASK, raw.origin)
        elif key.secret:
            self.note_secret(key.name, raw)
        else:
            self.note(key.name, text, raw.origin)

    # -- what was found

    def is_default(self, full_name: str) -> bool:
        """Whether nobody set it."""
        return self._origins[full_name].kind is OriginKind.DEFAULT

    @property
    def origins(self) -> dict[str, Origin]:
        """By key; banks as `banks.<name>.<key>`."""
        return self._origins

    @property
    def secrets(self) -> frozenset[str]:
        """Those that can be recognised in a message."""
        return frozenset(text for text in self._secrets if len(text) >= _SHORTEST_SECRET and text != _OWN_NAME)

    def entries(self, order: list[str]) -> tuple[Entry, ...]:
        """All values as people may see them: the keys of `order` first, then the banks."""
        names = [name for name in order if name in self._shown]
        names += [name for name in self._shown if name not in order]
        return tuple(Entry(name, self._shown[name], self._origins[name]) for name in names)
