"""Telling a watcher of cron jobs (healthchecks.io and its like) that a command succeeded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from paysync_cli.language import _
from paysync_cli.settings.masking import mask_ping_url

ANSWERS_WITHIN_S = 10.0
TRIES = 2


def ping(url: str) -> str | None:
    """Call the URL; why that failed, in a sentence without the URL's secret path, or None when it worked."""
    return asyncio.run(_ping(url))


async def _ping(url: str) -> str | None:
    from paysync_cli.banks.base import BankError
    from paysync_cli.banks.http import exchange, make_client

    client, why = make_client(), ""
    try:
        for _try in range(TRIES):
            try:
                reply = await exchange(client, "GET", url, now=lambda: datetime.now(UTC), total_s=ANSWERS_WITHIN_S)
            except BankError as error:
                why = error.message.partition(": ")[2]  # before it stands the path
            else:
                if reply.status < 300:
                    return None
                why = f"HTTP {reply.status}"
                break  # a readable no: it would be the same again
    finally:
        await client.aclose()
    return _("{url} was not told of this success: {why}").format(url=mask_ping_url(url), why=why)
