"""What jobs name. These dotted names live in Redis and never change.

paysync's own worker never imports a name it finds in Redis; this function is for stock RQ workers
(`rq worker -S json ...`), one check at a time.
"""

from __future__ import annotations

import asyncio

from paysync_cli.errors import PaysyncError
from paysync_cli.language import english


class CheckFailed(Exception):
    """A check that was given up; RQ keeps the job among the failed, with this reason."""


def check(qr: int, seq: int) -> None:
    """Ask the bank about the row `qr`, planned as `seq`, and write the answer. Raises CheckFailed when given up.

    Settings come from where every command takes them: the environment, `.env`, `paysync.toml`.
    """
    if type(qr) is not int or type(seq) is not int or not (0 <= qr < 10**18 and 0 <= seq < 10**18):
        raise CheckFailed("refused: a check names a row and its seq, both whole numbers")
    with english():  # what is raised is stored with the job, and grouped by
        asyncio.run(_check(qr, seq))


async def _check(qr: int, seq: int) -> None:
    from paysync_cli.queue.names import JobName
    from paysync_cli.runtime import Runtime
    from paysync_cli.services.engine import Engine
    from paysync_cli.settings import load_settings

    runtime = Runtime(load_settings())
    try:
        banks = runtime.open_banks(many=False, waits=True)
        engine = Engine(runtime.store, banks, runtime.clock, runtime.stopped, runtime.gate())
        try:
            ended = await engine.check(JobName(qr, seq), queue="")
        finally:
            engine.close()
            await runtime.close_banks()
    except PaysyncError as error:
        raise CheckFailed(error.message) from error
    finally:
        runtime.close()
    if ended.how == "failed":
        raise CheckFailed(ended.reason)
