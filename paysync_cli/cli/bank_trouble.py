"""A bank that could not be asked: where it is, and what a person can do about it."""

from __future__ import annotations

from urllib.parse import urlsplit

from paysync_cli.cli.session import Session
from paysync_cli.errors import Fault
from paysync_cli.language import _, mark


def bank_fault(session: Session, bank: str, outcome: str, sentence: str) -> Fault:
    """The fault `bank_<outcome>` (the adapters' words: unavailable, throttled, refused, unreadable, unknown)."""
    words = _HINTS.get(outcome)
    hint = None if words is None else _(words).format(bank=bank, host=_host(session, bank))
    return Fault(f"bank_{outcome}", sentence, hint)


def _host(session: Session, bank: str) -> str:
    configured = session.settings.banks.get(bank)
    return urlsplit(configured.base_url).netloc if configured is not None else bank


_HINTS = {
    "unavailable": mark("Is {host} (base_url) reachable from this host? Ask again with: paysync bank test {bank}"),
    "throttled": mark("{host} asks us to wait; `paysync bank show {bank}` tells until when."),
    "refused": mark(
        "{host} refused the credential: check user, password and key before trying again; banks lock users. "
        "Then: paysync bank unlock {bank} --reason ..."
    ),
    "unreadable": mark("What {host} answers cannot be trusted, so nothing was changed; is base_url right?"),
    "unknown": mark("The bank does not know this QR: check the id, the bank and its environment."),
}
