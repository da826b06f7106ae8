"""A library that cancels on its own account is an adapter's failure; only our own stop ends a question unrecorded."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from paysync_cli.services.sync import ask
from tests.core import NOW, make_qr


class Cancelling:
    """A bank whose adapter lets a cancellation of its own escape."""

    async def check(self, _ask: Any) -> Any:
        raise asyncio.CancelledError


class Silent:
    async def check(self, _ask: Any) -> Any:
        await asyncio.Event().wait()


def test_an_adapters_own_cancellation_is_a_failed_attempt() -> None:
    asked = asyncio.run(ask(Cancelling(), make_qr(), lambda: NOW, time.monotonic))  # type: ignore[arg-type]
    assert asked.failure is not None
    assert (asked.failure.kind, asked.failure.outcome) == ("attempt", "error")


def test_our_own_stop_goes_through() -> None:
    async def run() -> None:
        task = asyncio.create_task(ask(Silent(), make_qr(), lambda: NOW, time.monotonic))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
