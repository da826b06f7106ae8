"""Which banks' credentials are stopped: SQL's word for all workers, and this process's own until SQL has it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping

from paysync_cli.banks.base import STOPPED_WORDS
from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.store import banks as bank_rows
from paysync_cli.store.banks import BankState
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database

FRESH_S = 1.0
RETRY_MIN_S, RETRY_MAX_S = 0.2, 5.0

log = logging.getLogger("paysync.credentials")


class Stopped:
    """The stops of one process's banks, given as name -> environment. Safe to use from several threads.

    A stop that SQL could not take is kept here and written by a thread of its own as soon as SQL is back: meanwhile
    this process does not log in.
    """

    def __init__(self, store: Database, environments: Mapping[str, str], clock: Clock) -> None:
        self._store, self._environments, self._clock = store, environments, clock
        self._known: dict[str, str] = {}
        self._unwritten: dict[str, str] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()
        self._writer: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why each stopped bank is stopped, as far as known; `refresh` keeps it young."""
        return self._known | self._unwritten

    def refresh(self) -> None:
        """Read SQL again when what is known is older than a second. Blocks; without SQL what was known stays."""
        if time.monotonic() - self._read_at < FRESH_S:
            return
        try:
            self.look()
        except DatabaseUnavailable as error:
            log.debug("%s", error.message, extra={"event_name": "database_unavailable"})

    def look(self) -> Mapping[str, BankState]:
        """What SQL says of our banks now. Blocks. Raises DatabaseUnavailable."""
        with self._store.read() as tx:
            states = {one.bank: one for one in bank_rows.states(tx) if self._is_ours(one)}
        known = {name: one.stop_reason or "" for name, one in states.items() if one.stopped_at is not None}
        self._tell(self._known, known)
        self._known, self._read_at = known, time.monotonic()
        return states

    def note(self, bank: str, reason: str) -> None:
        """From now on this process does not log in to this bank. Does not block; `write` must follow."""
        with self._lock:
            self._unwritten.setdefault(bank, reason)

    def write(self) -> bool:
        """Write what was noted to SQL, with its alert; whether it is there. If not, it is tried until it is."""
        try:
            self._write_once()
        except Exception as error:  # whatever it is: the stop must not be lost for it
            log.error("the stop of a credential could not be written yet: %s", error,
                      extra={"event_name": "stop_unwritten"})  # fmt: skip
            self._keep_trying()
            return False
        return True

    def heed(self, bank: str, message: str) -> None:
        """An adapter said Refused: make sure that it holds for all. Blocks."""
        if not message.startswith(STOPPED_WORDS):  # else it only tells of an earlier one, which may be unlocked by now
            self.note(bank, message)
            self.write()

    def close(self) -> None:
        """Try once more to write what is not written."""
        self._closing.set()
        if self._unwritten:
            try:
                self._write_once()
            except Exception as error:
                log.error("the stop of a credential is not in the database: %s", error,
                          extra={"event_name": "stop_unwritten"})  # fmt: skip

    def _write_once(self) -> None:
        with self._lock:
            unwritten = dict(self._unwritten)
        now = self._clock.now()
        for bank, reason in unwritten.items():
            with self._store.write() as tx:
                new = bank_rows.stop_credential(tx, bank, self._environments[bank], reason, now)
            with self._lock:
                self._known = self._known | {bank: reason}
                self._unwritten.pop(bank, None)
            if new:
                log.error(
                    "bank %s refused our credential: nobody logs in until `paysync bank unlock %s` (%s)",
                    bank, bank, reason, extra={"event_name": "credential_refused", "bank": bank},
                )  # fmt: skip

    def _keep_trying(self) -> None:
        with self._lock:
            if self._writer is None or not self._writer.is_alive():
                self._writer = threading.Thread(target=self._try_until_written, name="paysync-stop", daemon=True)
                self._writer.start()

    def _try_until_written(self) -> None:
        wait_s = RETRY_MIN_S
        while self._unwritten and not self._closing.wait(wait_s * (1 + random.random() / 2)):
            wait_s = min(wait_s * 2, RETRY_MAX_S)
            try:
                self._write_once()
            except Exception as error:
                log.debug("not yet: %s", error, extra={"event_name": "stop_unwritten"})

    def _is_ours(self, state: BankState) -> bool:
        return self._environments.get(state.bank) == state.environment

    def _tell(self, before: Mapping[str, str], now: Mapping[str, str]) -> None:
        for bank in now.keys() - before.keys():
            log.warning("the credential of bank %s is stopped: %s", bank, now[bank],
                        extra={"event_name": "credential_stopped", "bank": bank})  # fmt: skip
        for bank in before.keys() - now.keys():
            log.info("the credential of bank %s is unlocked", bank,
                     extra={"event_name": "credential_unlocked", "bank": bank})  # fmt: skip
