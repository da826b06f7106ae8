"""How this door answers: the envelope of every command's JSON, with the HTTP status that fits the error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from starlette.responses import Response

from paysync_cli.errors import (
    Fault,
    InputError,
    NotFound,
    PaysyncError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from paysync_cli.views.document import document

COMMAND = "serve"
RETRY_AFTER_S = 5
STATUSES: tuple[tuple[type[PaysyncError], int], ...] = (
    (InputError, 400),
    (UsageError, 400),
    (NotFound, 404),
    (RefusedError, 403),
    (UnavailableError, 503),
)  # the first that fits

Redact = Callable[[str], str]


class HttpError(PaysyncError):
    """A request that cannot be served, with its HTTP status."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.headers = dict(headers or {})


def answered(
    data: object, status: int = 200, *, word: str = "ok", faults: Sequence[Fault] = (), retry: bool = False
) -> Response:
    """The one document; `word` is its status: ok, partial or error. `retry` says that it may go well soon."""
    headers = {"cache-control": "no-store"} | ({"retry-after": str(RETRY_AFTER_S)} if retry else {})
    return Response(document(COMMAND, word, data, faults), status, headers, "application/json")


def failed(error: PaysyncError, redact: Redact) -> Response:
    """The document of an error, without secrets."""
    status = _status_of(error)
    faults = [Fault(one.code, redact(one.message), one.hint and redact(one.hint)) for one in error.faults]
    response = answered(None, status, word="error", faults=faults, retry=status == 503)
    if isinstance(error, HttpError):
        response.headers.update(error.headers)
    return response


def _status_of(error: PaysyncError) -> int:
    if isinstance(error, HttpError):
        return error.status
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
