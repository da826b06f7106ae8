"""A bank named for looking: it must be configured or have QRs, else a slip of the pen would show an empty world."""

from __future__ import annotations

from collections.abc import Collection

from paysync_cli.errors import UsageError
from paysync_cli.language import _
from paysync_cli.store import qrs
from paysync_cli.store.database import Database


def require_known_bank(store: Database, name: str | None, configured: Collection[str]) -> None:
    """Raise UsageError when this bank is neither configured nor has a QR. No name means all banks: fine."""
    if name is None or name in configured:
        return
    with store.read() as tx:
        if qrs.has_bank(tx, name):
            return
    known = ", ".join(sorted(configured)) or _("none")
    raise UsageError(
        _("No bank is called {name!r}; there are: {known}.").format(name=name, known=known), code="unknown_bank"
    )
