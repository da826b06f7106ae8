"""Alerts on their real way: a worker, its outbox, Apprise, a webhook that answers, breaks, or never ends."""

from __future__ import annotations

import signal

from paysync_cli.store import alerts, leases
from paysync_cli.store.alerts import AlertKind, raise_alert
from tests.shop import Shop, shop
from tests.webhook import TOKEN, webhook

SPEED = 120.0
DOWN = {"fault": [{"kind": "down", "on": "all", "from": "+120s", "until": "+2400s"}], "token_lifetime": "1d"}


def test_an_outage_is_told_once_and_once_that_it_is_over() -> None:
    """Beside a second address that drips its answer for ever: no check waits for it, the first gets its messages."""
    ids = [f"QR{n}" for n in range(200)]
    with webhook() as hook, webhook("drip") as dead:
        env = {"PAYSYNC_ALERT_URLS": f"{hook.url} {dead.url}"}
        with shop(DOWN, speed=SPEED, env=env) as town:
            town.register(*ids)
            town.start("worker", "--concurrency", "20")
            town.until(lambda: "breaker open is over" in hook.kinds(), 0.1)
            asked = town.bank.requests()["calls"]["status"]
            town.until(lambda: town.bank.requests()["calls"]["status"] > asked + 50, 0.1)
            told = [kind for kind in hook.kinds() if kind.startswith("breaker")]
            assert told == ["breaker open", "breaker open is over"]
            assert "paysync bank test sim" in hook.texts()[hook.kinds().index("breaker open")]
            assert dead.dripping.is_set()
            assert dead.got == []
            logged = (town.home / "worker-0.log").read_text()
            assert TOKEN not in logged
            assert waiting(town) > 0, "the dead address has not got them"


def test_what_was_raised_before_a_kill_is_told_after_it_and_once() -> None:
    with webhook() as hook, shop({}, env={"PAYSYNC_ALERT_URLS": hook.url}) as town:
        worker = town.start("worker", env={"PAYSYNC_ALERT_URLS": ""})  # it raises, and tells nobody
        town.until(lambda: leads(town))
        with town.runtime() as runtime, runtime.store.write() as tx:
            raise_alert(tx, AlertKind.JOB_GIVEN_UP, "sim", "QR1", runtime.clock.now())
        town.stop(worker, signal.SIGKILL)
        assert hook.asked == 0
        end_lease(town)
        second = town.start("worker")
        town.until(lambda: hook.got)
        assert town.stop(second) == 0
        third = town.start("worker")
        town.until(lambda: leads(town))
        assert town.stop(third) == 0
        assert hook.kinds() == ["job given up"]
        assert town.json("alert", "list")["items"][0]["delivered_at"] is not None


def waiting(town: Shop) -> int:
    with town.runtime() as runtime, runtime.store.read() as tx:
        return alerts.undelivered(tx)[0]


def leads(town: Shop) -> bool:
    with town.runtime() as runtime, runtime.store.read() as tx:
        lease = leases.current(tx, leases.LEADER)
    return lease is not None and lease.until > runtime.clock.now()


def end_lease(town: Shop) -> None:
    """As if the half minute had passed that a dead leader's lease goes on."""
    with town.runtime() as runtime, runtime.store.write() as tx:
        lease = leases.current(tx, leases.LEADER)
        assert lease is not None
        leases.give_up(tx, lease, runtime.clock.now())
