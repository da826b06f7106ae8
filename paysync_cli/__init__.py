"""paysync keeps QR-payment statuses in step with the bank. For applications: `from paysync_cli import PaySync`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paysync_cli.version import __version__

if TYPE_CHECKING:
    from paysync_cli.api import Enqueued, PaySync, QrStatus

__all__ = ["Enqueued", "PaySync", "QrStatus", "__version__"]


def __getattr__(name: str) -> object:
    # Loaded when first used: `paysync --help` and a TAB press must not pay for it.
    if name in ("Enqueued", "PaySync", "QrStatus"):
        from paysync_cli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
