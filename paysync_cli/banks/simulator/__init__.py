"""A bank to practise with: a real HTTP server, driven by a scenario, that speaks the wire formats of Baneco, BNB, SIP
and PIX about the same QRs, each on its own paths (see `dialects`).

Three ways to run it:

- `serve(host, port, scenario, now)` blocks until INT or TERM;
- `with RunningSimulator(scenario) as bank:` runs it in a thread, on a free port: `bank.url`, `bank.ledger()`;
- `python -m paysync_cli.banks.simulator --port 0` runs it as a process, whose first line on stdout is its address.

Without a scenario every QR id is known and unpaid until somebody pays it through the control interface:

    POST /_simulator/pay/{qr}       {"amount": "100.50", "currency": "BOB"}, any key of a scenario's payment
    POST /_simulator/cancel/{qr}
    POST /_simulator/expire/{qr}    for the formats that have a word for it
    POST /_simulator/scenario       a scenario as JSON, added to what is there (see `scenario`)
    POST /_simulator/reset          forget QRs, payments, faults, counts and tokens
    POST /_simulator/unlock         after too many refused logins
    GET  /_simulator/ledger         every payment made so far and the totals: what the books must agree with
    GET  /_simulator/requests       what was asked: per call, per status, per QR, most in flight at once
    GET  /_simulator/notices        the notices of payments that were sent, and how they were answered
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paysync_cli.banks.simulator.server import RunningSimulator, serve

USERNAME = "paysync"
PASSWORD = "simulator"  # noqa: S105 - a bank made of air needs no secret
AES_KEY = "0123456789abcdef0123456789abcdef"

__all__ = ["AES_KEY", "PASSWORD", "USERNAME", "RunningSimulator", "serve"]


def __getattr__(name: str) -> object:
    # The server brings uvicorn along: only for those who start one.
    if name in ("RunningSimulator", "serve"):
        from paysync_cli.banks.simulator import server

        return getattr(server, name)
    raise AttributeError(name)
