"""A whole small installation for tests: a home with its own embedded Redis and SQLite file, a simulated bank over
HTTP, and real paysync processes on them."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paysync_cli.banks.simulator import RunningSimulator
from paysync_cli.payments.qr import Qr
from paysync_cli.queue.embedded import EmbeddedRedis
from paysync_cli.runtime import Runtime
from paysync_cli.services.register import Request, enqueue
from paysync_cli.settings import load_settings
from paysync_cli.store import clock as clocks
from paysync_cli.store import history, ledger, qrs
from tests.embedded import running_servers, until
from tests.process import PAYSYNC, Ended, clean_environment, run_paysync

UNPAID = '{"statusQrCode": 0, "payment": null, "responseCode": 0, "message": ""}'


@dataclass
class Shop:
    """One installation. `speed` > 1 compresses the clock of its database and its bank."""

    home: Path
    bank: RunningSimulator
    env: dict[str, str]
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    # -- our side, in this process

    @contextlib.contextmanager
    def runtime(self) -> Iterator[Runtime]:
        runtime = Runtime(load_settings(environ=self.env, cwd=self.home), create=True)
        try:
            yield runtime
        finally:
            runtime.close()

    def register(self, *ids: str, amount: int | None = 1010, **changes: Any) -> None:
        """Register QRs directly, without a process."""
        with self.runtime() as runtime:
            bank = runtime.settings.banks["sim"]
            requests = [
                Request(
                    qr_id=qr_id,
                    amount=amount,
                    currency=bank.currency,
                    account="shop",
                    due_at=changes.get("due_at"),
                    multi_use=changes.get("multi_use", False),
                    issued_at=changes.get("issued_at"),
                )
                for qr_id in ids
            ]
            enqueue(
                runtime.store,
                requests,
                bank="sim",
                environment=bank.environment,
                rhythm=runtime.rhythm(bank),
                now=runtime.clock.now(),
            )

    def qr(self, qr_id: str) -> Qr:
        with self.runtime() as runtime, runtime.store.read() as tx:
            (found,) = qrs.by_qr_id(tx, qr_id)
        return found

    def story(self, qr_id: str) -> history.Story:
        qr = self.qr(qr_id)
        with self.runtime() as runtime, runtime.store.read() as tx:
            return history.story(tx, qr.id)

    def books(self) -> dict[str, int]:
        """What our movements add up to, per currency; the balances must say the same."""
        with self.runtime() as runtime, runtime.store.read() as tx:
            balances, sums = ledger.balances(tx), ledger.sums(tx)
        assert balances == sums
        totals: dict[str, int] = {}
        for one in sums:
            totals[one.currency] = totals.get(one.currency, 0) + one.amount
        return totals

    def bank_says(self) -> dict[str, int]:
        """What the bank says was paid, per currency, in minor units of two digits."""
        totals: Mapping[str, str] = self.bank.ledger()["totals"]
        return {currency: int(total.replace(".", "")) for currency, total in totals.items()}

    def status_calls(self) -> dict[str, int]:
        """How often the bank was asked about each QR."""
        return dict(self.bank.requests()["qrs"])

    # -- paysync as processes

    def run(self, *args: str, env: Mapping[str, str] | None = None) -> Ended:
        return run_paysync(*args, env=self.env | dict(env or {}), cwd=self.home)

    def json(self, *args: str) -> dict[str, Any]:
        """The document of a command that must succeed."""
        ended = self.run(*args, "--json")
        assert ended.status == 0, ended
        document: dict[str, Any] = json.loads(ended.out)
        return document["data"]  # type: ignore[no-any-return]

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A process in the background, its output in `worker-N.log`; killed when the test ends."""
        log = self.home / f"worker-{len(self.children)}.log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                [*PAYSYNC, *args],
                env=clean_environment(self.home, self.env | dict(env or {})),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.children.append(child)
        return child

    def logs(self) -> list[dict[str, Any]]:
        """Every JSON log line of the background processes, in order of file."""
        lines = [line for log in sorted(self.home.glob("worker-*.log")) for line in log.read_text().splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def until(self, look: Callable[[], Any], pause_s: float = 0.02) -> Any:
        """Look until it is true. The pause leaves the bank, which runs in this process, its turn."""

        def look_after_a_pause() -> Any:
            time.sleep(pause_s)
            return look()

        try:
            return until(look_after_a_pause)
        except AssertionError as error:
            tail = "\n".join(log.read_text()[-3000:] for log in sorted(self.home.glob("worker-*.log")))
            raise AssertionError(f"{error}\n{tail}") from None

    def until_final(self, ids: Sequence[str]) -> None:
        def all_final() -> bool:
            with self.runtime() as runtime, runtime.store.read() as tx:
                found = qrs.known(tx, "sim", "certification", ids)
            return len(found) == len(ids) and all(qr.status.final for qr in found.values())

        self.until(all_final)

    def stop(self, child: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
        child.send_signal(number)
        return child.wait(60)


@contextlib.contextmanager
def shop(
    scenario: Mapping[str, Any] | None = None, *, speed: float = 1.0, env: Mapping[str, str] | None = None,
    at: datetime | None = None, dialect: str = "baneco",
) -> Iterator[Shop]:  # fmt: skip
    """Open a shop, whose clocks show `at` when that is given, and which asks its bank in `dialect`; at the end its
    processes and its Redis are gone."""
    home = Path(tempfile.mkdtemp(prefix="ps", dir="/tmp"))
    start = datetime.now(UTC)
    clock = clocks.Clock(start, at or start, speed)
    try:
        with RunningSimulator(dict(scenario or {}), now=clock.now) as bank:
            one = Shop(home, bank, _environment(home, bank, dialect) | dict(env or {}))
            if speed != 1.0 or at is not None:
                with one.runtime() as runtime, runtime.store.write() as tx:
                    clocks.compress(tx, clock)
            try:
                yield one
            finally:
                for child in one.children:
                    with contextlib.suppress(ProcessLookupError):
                        child.kill()
                    child.wait()
                EmbeddedRedis(home / "redis").stop(force=True)
                assert not running_servers(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _environment(home: Path, bank: RunningSimulator, dialect: str) -> dict[str, str]:
    bank_keys = bank.settings(dialect) | {"account": "shop", "rate": "1000/s", "concurrency": "100"}
    return {
        "HOME": str(home),
        "PAYSYNC_HOME": str(home),
        "PAYMENT_SYNC_INTERVAL": "1d",
        "PAYSYNC_CLEANUP_AT": "off",
        "PAYSYNC_LOG_FORMAT": "json",
        **{f"PAYSYNC_BANK_SIM_{key.upper()}": value for key, value in bank_keys.items()},
    }
