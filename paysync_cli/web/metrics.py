"""`/metrics`, for Prometheus. One page is made at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from paysync_cli.runtime import Runtime
from paysync_cli.runtime.metrics import render
from paysync_cli.web.answers import Redact
from paysync_cli.web.guard import guarded


def metrics_route(runtime: Runtime, redact: Redact, more: Callable[[], bytes] = bytes) -> Route:
    """The route for the figures of this process and of its stores, and `more`."""
    making = asyncio.Lock()

    async def metrics(_request: Request) -> Response:
        async with making:
            body, content_type = await asyncio.to_thread(render, runtime)
        return Response(body + more(), headers={"content-type": content_type})

    return Route("/metrics", guarded(metrics, redact), methods=["GET"])
