"""What operators did, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paysync_cli.store import actions
from paysync_cli.store.actions import Done, Wanted
from paysync_cli.store.database import Database


@dataclass(frozen=True, slots=True)
class ActionsReport:
    """One page, the newest first. `next` is the token that continues it, None on the last page."""

    items: Sequence[Done]
    next: str | None


def list_actions(store: Database, wanted: Wanted) -> ActionsReport:
    """One page. Raises InputError on a token of another list."""
    with store.read() as tx:
        items, token = actions.page(tx, wanted)
    return ActionsReport(items, token)
