"""Delivering the outbox: each address has a thread of its own while there is something for it, and waits for nobody.

At least once: a message is claimed, sent, and only then noted as delivered. Between a send and its note a crash makes
the next leader send again; everything else is sent once to each address, whatever the others do.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from paysync_cli.alerts.post import PATIENCE_S, Address, Note, Post, Sent
from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.language import speaking
from paysync_cli.services.alert_words import quoted, sentence, title
from paysync_cli.store import alert_messages, leases
from paysync_cli.store.alert_messages import Event, Message
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from paysync_cli.store.leases import Lease

BATCH = 5  # messages in one call
CLAIM_S = 2 * PATIENCE_S  # longer than any call lasts
WAITS_S = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0)  # real, after each failure in a row
RECORD_WAITS_S = (0.2, 1.0, 3.0, 8.0)  # less together than a claim lasts
LEVELS = {Event.RAISED: "failure", Event.RECOVERED: "success", Event.PASSED: "warning"}

log = logging.getLogger("paysync.alerts")


class Courier:
    """Delivers to `addresses`, in `language`. `redact` takes out what must never leave; `host` is who speaks."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        addresses: Sequence[Address],
        post: Post,
        *,
        language: str,
        host: str,
        redact: Callable[[str], str],
    ) -> None:
        self._store, self._clock, self._addresses, self._post = store, clock, addresses, post
        self._language, self._host, self._redact = language, host, redact
        self._keys = [address.key for address in addresses]
        self._threads: dict[str, threading.Thread] = {}

    def round(self, lease: Lease) -> None:
        """Start a thread for every address that has something to get and no thread. Raises DatabaseUnavailable."""
        with self._store.read() as tx:
            wanted = alert_messages.anything_for(tx, self._keys, self._clock.now())
            unsettled = alert_messages.undelivered_ids(tx, BATCH) if not wanted else []
        for address in self._addresses:
            running = self._threads.get(address.key)
            if address.key in wanted and (running is None or not running.is_alive()):
                thread = threading.Thread(
                    target=self._deliver, args=(address, lease), name=f"paysync-alert-{address.number}", daemon=True
                )
                self._threads[address.key] = thread
                thread.start()
        if unsettled:  # an address that lacked them may have been taken out of the settings
            with self._store.write() as tx:
                alert_messages.settle(tx, unsettled, self._keys, self._clock.now())

    def wait(self, patience_s: float) -> bool:
        """Until what is under way is delivered, at most so long; whether all is done."""
        end = time.monotonic() + patience_s
        for thread in list(self._threads.values()):
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads.values())

    def _deliver(self, address: Address, lease: Lease) -> None:
        """Batch after batch, until nothing is left for the address or it fails."""
        try:
            while messages := self._claim(address, lease):
                sent = self._post(address, [self._note(message) for message in messages])
                if not self._record_patiently(address, messages, sent):
                    return
        except DatabaseUnavailable as error:
            log.warning("%s", error.message, extra={"event_name": "database_unavailable"})
        except Exception as error:  # one message that breaks must not end deliveries without a word
            log.error("alerts cannot be sent to %s: %s", address.shown, type(error).__name__, exc_info=error,
                      extra={"event_name": "alert_error", "channel": address.number})  # fmt: skip

    def _claim(self, address: Address, lease: Lease) -> list[Message]:
        now = self._clock.now()
        with self._store.write() as tx:
            if not leases.still_held(tx, lease):
                return []
            return alert_messages.claim(tx, address.key, now, now + self._clock.span(CLAIM_S), BATCH)

    def _note(self, message: Message) -> Note:
        """Only what came from outside can hold a secret, and is looked at before quoting changes its letters: a bank's
        user who is called like a word of ours must not black that out.
        """
        told = replace(message, detail=self._redact(message.detail))
        with speaking(self._language):
            return Note(title(told, self._host), sentence(told), LEVELS[message.event])

    def _record_patiently(self, address: Address, messages: Sequence[Message], sent: Sequence[Sent]) -> bool:
        """A database that is away for a moment must not make what was sent go out again. Raises DatabaseUnavailable."""
        for wait_s in RECORD_WAITS_S:
            try:
                return self._record(address, messages, sent)
            except DatabaseUnavailable:
                time.sleep(wait_s)
        return self._record(address, messages, sent)

    def _record(self, address: Address, messages: Sequence[Message], sent: Sequence[Sent]) -> bool:
        """Note how it went; whether the address took all of them."""
        now, failures = self._clock.now(), 0
        failure = next((one for one in sent if not one.ok), None)
        with self._store.write() as tx:
            for message, one in zip(messages, sent, strict=True):
                if one.ok:
                    alert_messages.delivered(tx, message.id, address.key, self._keys, now)
                else:
                    alert_messages.give_back(tx, [message.id], address.key, now)
            if failure is not None:
                waits = [self._clock.span(seconds) for seconds in WAITS_S]
                failures = alert_messages.failed(tx, address.key, self._cause(failure), now, waits)
        if failure is not None:
            log.warning("alerts do not reach %s (%d times in a row): %s", address.shown, failures, self._cause(failure),
                        extra={"event_name": "alert_undelivered", "channel": address.number})  # fmt: skip
        for message, one in zip(messages, sent, strict=True):
            if one.ok:
                log.info("alert delivered to %s: %s", address.shown, message.kind.value,
                         extra={"event_name": "alert_delivered", "channel": address.number, "bank": message.bank,
                                "kind": message.kind.value, "told": message.event.value})  # fmt: skip
        return failure is None

    def _cause(self, failure: Sent) -> str:
        return quoted(self._redact(failure.cause or ""), alert_messages.ERROR_LIMIT)


class Alerting:
    """The leader's rounds about alerts: what stands, what is to be told, to whom it goes."""

    def __init__(
        self,
        lease: Callable[[], Lease | None],
        watch: Callable[[Lease], None],
        compose: Callable[[Lease], object],
        courier: Courier | None,
        *,
        watch_every_s: float,
        every_s: float,
    ) -> None:
        self._lease, self._watch, self._compose, self._courier = lease, watch, compose, courier
        self._watch_every_s, self._every_s = watch_every_s, every_s
        self._watched_s = float("inf")  # since the last look

    def round(self) -> float:
        """One round; the seconds until the next one. Only the leader does anything."""
        lease = self._lease()
        if lease is None:
            self._watched_s = float("inf")
            return self._every_s
        if self._watched_s >= self._watch_every_s:
            self._watch(lease)
            self._watched_s = 0.0
        self._watched_s += self._every_s
        self._send(lease)
        return self._every_s

    def finish(self, patience_s: float) -> None:
        """Send what is left, for so long at most; the rest is for the next leader."""
        lease = self._lease()
        if lease is None or self._courier is None:
            return
        with contextlib.suppress(DatabaseUnavailable):
            self._send(lease)
            self._courier.wait(patience_s)

    def _send(self, lease: Lease) -> None:
        if self._courier is not None:  # without addresses alerts are kept for `paysync alert list`
            self._compose(lease)
            self._courier.round(lease)
