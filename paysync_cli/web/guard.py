"""What every request passes: few headers, a body of bounded size that comes in time, an answer whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from paysync_cli.errors import PaysyncError
from paysync_cli.language import _
from paysync_cli.web.answers import HttpError, Redact, failed

MAX_HEADERS = 100
BODY_WITHIN_S = 10.0
DRAINED_BYTES = 32 * 1024 * 1024  # of a body that is refused: many clients read no answer before they have sent it

Handler = Callable[[Request], Awaitable[Response]]

log = logging.getLogger("paysync.serve")


def guarded(handler: Handler, redact: Redact) -> Handler:
    """The handler, with every error as a document."""

    async def safe(request: Request) -> Response:
        try:
            if len(request.headers.raw) > MAX_HEADERS:
                raise HttpError(431, "too_many_headers", _("The request has too many headers."))
            response = await handler(request)
        except PaysyncError as error:
            response = failed(error, redact)
        except ClientDisconnect:
            response = Response(status_code=400)  # nobody reads it
        except Exception as error:
            log.exception("a request failed", extra={"event_name": "serve_error", "error": type(error).__name__})
            response = failed(HttpError(500, "error", _("Unexpected error; the log tells more.")), redact)
        if response.status_code >= 400 and request.method == "POST":
            # What may still come of the body would be taken for the next request, or keep us reading for ever.
            response.headers["connection"] = "close"
        return response

    return safe


async def not_served(_request: Request, error: Exception) -> Response:
    """The document for a path or a method that is not served."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    known = {404: ("not_found", _("There is nothing here.")), 405: ("bad_method", _("This method does nothing here."))}
    code, message = known.get(status, ("error", _("The request cannot be served.")))
    headers = {**(getattr(error, "headers", None) or {}), "connection": "close"}
    return failed(HttpError(status, code, message, headers), lambda text: text)


async def read_body(request: Request, limit: int) -> bytes:
    """The body. Raises HttpError: too large (413), compressed (415), too slow (408)."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    too_large = HttpError(413, "too_large", _("The body is larger than {n} bytes.").format(n=limit))
    if encoding != "identity":
        raise HttpError(415, "compressed", _("Send the body as it is, without Content-Encoding."))
    if _announced(request) > limit and "expect" in request.headers:
        raise too_large  # it waits for our word before it sends anything
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for piece in request.stream():
                size += len(piece)
                if size <= limit:
                    body += piece
                elif size > DRAINED_BYTES:
                    break
    except TimeoutError:
        raise HttpError(408, "too_slow", _("The body did not come in time.")) from None
    if size > limit:
        raise too_large
    return bytes(body)


def _announced(request: Request) -> int:
    text: Any = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
