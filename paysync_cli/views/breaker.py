"""A bank's breaker for scripts."""

from __future__ import annotations

from paysync_cli.queue.gate import BreakerSeen


def breaker_fields(seen: BreakerSeen | None) -> dict[str, object] | None:
    """Its JSON; None when Redis was not at hand."""
    if seen is None:
        return None
    return {
        "state": seen.state,
        "failures": seen.failures,
        "probe_in_s": seen.opens_in_s,
        "ramp_per_s": seen.ramp_per_s,
        "in_flight": seen.in_flight,
    }
