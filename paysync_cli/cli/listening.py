"""What every command that answers HTTP needs first: its packages, and a port."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from paysync_cli.errors import UnavailableError, UsageError
from paysync_cli.language import _

if TYPE_CHECKING:
    import socket


def need_extra(what: str) -> None:
    """Raise UsageError where the packages of the extra are missing."""
    missing = [name for name in ("starlette", "uvicorn", "prometheus_client") if find_spec(name) is None]
    if missing:
        raise UsageError(
            _("`{what}` needs {packages}, which is not installed; run: pip install 'paysync-cli[serve]'").format(
                what=what, packages=", ".join(missing)
            ),
            code="no_serve",
        )


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket. Raises UnavailableError when it cannot be had."""
    from paysync_cli.web.server import listen

    try:
        listener = listen(host, port)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        cause = _("the port is in use") if in_use else error.strerror or os.strerror(error.errno or 0)
        raise UnavailableError(
            _("Cannot listen on {host}, port {port}: {cause}.").format(host=host, port=port, cause=cause),
            hint=_("Choose another port, or 0 for any free one."),
            code="cannot_listen",
        ) from None
    with contextlib.closing(listener):
        yield listener
