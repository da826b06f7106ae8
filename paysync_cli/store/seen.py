"""Which QRs a file named already, and on which line: kept in a temporary file, so that memory stays flat."""

from __future__ import annotations

import sqlite3
from types import TracebackType

from paysync_cli.errors import PaysyncError
from paysync_cli.language import _


class SeenQrs:
    """A private table that vanishes when closed. Only for one thread."""

    def __init__(self) -> None:
        # The empty name is SQLite's own: a file of its own in the temporary folder, written only when the page cache
        # is full and gone at the end, whatever happens.
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.execute("PRAGMA synchronous=OFF")
        self._rows.execute("CREATE TABLE seen (bank, qr_id, line, PRIMARY KEY (bank, qr_id)) WITHOUT ROWID")
        self._rows.execute("BEGIN")

    def __enter__(self) -> SeenQrs:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._rows.close()

    def first_line(self, bank: str, qr_id: str, line: int) -> int:
        """The line that named this QR first: `line` itself when none did before."""
        try:
            added = self._rows.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (bank, qr_id, line))
            if added.rowcount == 1:
                return line
            found = self._rows.execute("SELECT line FROM seen WHERE bank = ? AND qr_id = ?", (bank, qr_id))
            first: int = found.fetchone()[0]
        except sqlite3.Error as error:
            raise PaysyncError(
                _("The temporary folder takes nothing more: {cause}.").format(cause=error),
                hint=_("Make room there, or set TMPDIR to another folder."),
            ) from error
        return first
