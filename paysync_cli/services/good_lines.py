"""The lines of a file that were judged good, kept in a temporary file: reading them back costs less than judging."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from paysync_cli.errors import PaysyncError
from paysync_cli.language import _
from paysync_cli.services.register import Request


class GoodLines:
    """A private file of (line number, bank, request), which vanishes when closed. Filled first, then read."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - closed by `close`

    def add(self, number: int, bank: str, request: Request) -> None:
        """Raises PaysyncError when the temporary folder is full."""
        text = json.dumps(_fields(number, bank, request))
        try:
            self._file.write(text + "\n")
        except OSError as error:
            raise _full(error) from error

    def __iter__(self) -> Iterator[tuple[int, str, Request]]:
        try:
            self._file.seek(0)
        except OSError as error:  # what was still on its way out finds no room
            raise _full(error) from error
        for text in self._file:
            yield _request(json.loads(text))

    def close(self) -> None:
        try:
            self._file.close()
        except OSError:
            return  # nobody reads it any more


def _fields(number: int, bank: str, request: Request) -> list[Any]:
    return [
        number, bank, request.qr_id, request.amount, request.currency, request.account, _text(request.due_at),
        request.multi_use, _text(request.issued_at), list(request.given),
    ]  # fmt: skip


def _request(fields: list[Any]) -> tuple[int, str, Request]:
    number, bank, qr_id, amount, currency, account, due_at, multi_use, issued_at, given = fields
    return number, bank, Request(
        qr_id, amount, currency, account, _moment(due_at), multi_use, _moment(issued_at), frozenset(given)
    )  # fmt: skip


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _full(error: OSError) -> PaysyncError:
    return PaysyncError(
        _("The temporary folder takes nothing more: {cause}.").format(cause=error.strerror),
        hint=_("Make room there, or set TMPDIR to another folder."),
    )
