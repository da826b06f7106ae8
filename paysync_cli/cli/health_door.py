"""`paysync worker --health-port`: the probes of the worker processes of this command, on a thread of its own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping

from paysync_cli.cli.listening import listening, need_extra
from paysync_cli.cli.session import Session

log = logging.getLogger("paysync.worker")


@contextlib.contextmanager
def health_door(
    session: Session,
    host: str,
    port: int | None,
    started: Callable[[], Mapping[int, float]],
    worker: Callable[[], str | None] = lambda: None,
) -> Iterator[None]:
    """Answer probes while the block runs; without a port nothing listens. Raises UnavailableError.

    `started` tells the processes that are answered for, `worker` whose heartbeat makes them ready (None for any).
    """
    if port is None:
        yield
        return
    need_extra("paysync worker --health-port")
    from paysync_cli.web.app import for_worker
    from paysync_cli.web.health import of_stamps
    from paysync_cli.web.server import address_of, in_a_thread

    alive = of_stamps(session.settings.home, started)
    app = for_worker(session.runtime, alive, session.redact, worker)
    with listening(host, port) as listener, in_a_thread(app, listener):
        url = address_of(listener)
        log.info("probes are answered at %s", url, extra={"event_name": "health_port", "url": url})
        yield
