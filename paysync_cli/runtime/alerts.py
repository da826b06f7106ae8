"""Alerts put together from the settings: the addresses, who delivers, what the leader looks at."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from paysync_cli.alerts.post import Address, installed, key_of, send
from paysync_cli.banks.base import ListsPayments
from paysync_cli.errors import Fault
from paysync_cli.language import chosen_language
from paysync_cli.settings import Settings
from paysync_cli.settings.masking import mask_alert_url, redact

if TYPE_CHECKING:
    from paysync_cli.runtime.banks import Banks
    from paysync_cli.services.courier import Alerting, Courier
    from paysync_cli.services.engine import OpenBank
    from paysync_cli.services.worker import Leading

WATCH_EVERY_S, SEND_EVERY_S = 10.0, 2.0

log = logging.getLogger("paysync.alerts")


def addresses(settings: Settings, salt: str) -> list[Address]:
    """Where alerts go, in the order of the setting."""
    urls = dict.fromkeys(settings.alert_urls)  # written twice is meant once
    return [Address(n, mask_alert_url(url), key_of(url, salt), url) for n, url in enumerate(urls, start=1)]


def alert_faults(settings: Settings) -> list[Fault]:
    """What stands in the way of every alert, as far as can be told without sending one. Takes a moment."""
    from paysync_cli.alerts.inspection import look

    return look(settings.alert_urls, [mask_alert_url(url) for url in settings.alert_urls])


def package_faults(settings: Settings) -> list[Fault]:
    """Whether there are addresses and nothing to send with."""
    if not settings.alert_urls or installed():
        return []
    from paysync_cli.alerts.inspection import package_fault

    return [package_fault()]


def tell_if_deaf(settings: Settings) -> None:
    """Say at the start of a worker that nobody will hear of trouble: it checks all the same."""
    for fault in package_faults(settings):
        log.error("%s %s", fault.message, fault.hint, extra={"event_name": "alerts_undeliverable"})


def alerting(runtime: Banks, leading: Leading, banks: Mapping[str, OpenBank]) -> Alerting:
    """The leader's rounds about alerts. What people read is in the language of this moment."""
    from paysync_cli.queue.gate import BankGate
    from paysync_cli.services.alert_conditions import Rules, Watch
    from paysync_cli.services.alert_outbox import compose
    from paysync_cli.services.courier import Alerting

    settings, store, clock = runtime.settings, runtime.store, runtime.clock
    rules = Rules(
        banks={name: bank.environment for name, bank in banks.items()},
        listing=frozenset(name for name, bank in banks.items() if isinstance(bank.bank, ListsPayments)),
        sweep_every=timedelta(seconds=settings.sync_interval_s),
        cleans_up=settings.cleanup_at is not None,
    )
    watch = Watch(store, runtime.queue, BankGate(runtime.queue, clock.speed), clock, rules)
    cooldown = timedelta(seconds=settings.alert_cooldown_s)
    return Alerting(
        lambda: leading.lease,
        watch.round,
        lambda lease: compose(store, lease, clock.now(), cooldown),
        courier(runtime),
        watch_every_s=WATCH_EVERY_S,
        every_s=SEND_EVERY_S,
    )


def courier(runtime: Banks) -> Courier | None:
    """Who delivers; None when there is no address."""
    from paysync_cli.services.courier import Courier

    settings = runtime.settings
    if not settings.alert_urls:
        return None
    return Courier(
        runtime.store,
        runtime.clock,
        addresses(settings, runtime.database_id),
        send,
        language=chosen_language(),
        host=host(),
        redact=lambda text: redact(text, settings.secret_texts),
    )


def host() -> str:
    """This machine, as people call it."""
    return socket.gethostname().split(".")[0]
