"""The application: which paths there are, for `serve` and for a worker's health port."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.routing import Route

from paysync_cli.banks.notices import Notices
from paysync_cli.runtime import Runtime
from paysync_cli.web.answers import Redact
from paysync_cli.web.desk import Desk
from paysync_cli.web.guard import not_served
from paysync_cli.web.health import Alive, Probes
from paysync_cli.web.metrics import metrics_route
from paysync_cli.web.notices import NoticeDesk
from paysync_cli.web.qrs import Qrs


def for_worker(runtime: Runtime, alive: Alive, redact: Redact, worker: Callable[[], str | None]) -> Starlette:
    """What a worker answers: its probes and figures."""
    return _of([*Probes(runtime.settings, alive, redact, worker).routes(), metrics_route(runtime, redact)])


def for_serve(desk: Desk, banks: Mapping[str, Notices], redact: Redact) -> Starlette:
    """What `paysync serve` answers: probes and figures; with a token the QRs; the notices of these banks."""
    runtime = desk.runtime
    notices = NoticeDesk(desk, banks, redact)
    metrics = metrics_route(runtime, redact, notices.page)
    routes = [*Probes(runtime.settings, list, redact, lambda: None).routes(), metrics]
    if runtime.settings.serve_token is not None:
        routes += Qrs(desk, runtime.settings.serve_token, redact).routes()
    if banks:
        routes += notices.routes()
    return _of(routes)


def _of(routes: Sequence[Route]) -> Starlette:
    app = Starlette(routes=list(routes), exception_handlers={404: not_served, 405: not_served})
    app.router.redirect_slashes = False
    return app
