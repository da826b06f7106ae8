"""Running the simulated bank: in this process until a signal, or in a thread for tests and the demo.

Loaded only by those who start a server, hence uvicorn at the top.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import uvicorn  # noqa: TID253 - see above

from paysync_cli.banks.simulator.app import Scope, SimulatorApp
from paysync_cli.banks.simulator.bank import SimulatedBank
from paysync_cli.banks.simulator.dialects import DIALECTS
from paysync_cli.banks.simulator.scenario import Scenario, load_scenario, read_scenario

DEFAULT_PORT = 9180
KEEP_ALIVE_S = 75
STOP_S = 1.0  # for requests to notice that their line was cut

T = TypeVar("T")
_OF_EVERY_BANK = ("adapter", "base_url", "environment", "timezone", "currency")  # the other keys are the adapter's own
Wanted = Path | Mapping[str, object] | Scenario | None


def utc_now() -> datetime:
    return datetime.now(UTC)


def serve(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    scenario: Wanted = None,
    now: Callable[[], datetime] = utc_now,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until INT or TERM; `on_ready` gets the address once connections are accepted. Port 0 picks a free one.

    Raises ScenarioError for a scenario that cannot be played and OSError for a port that cannot be had, both before
    anything is served.
    """
    bank = _bank(scenario, now)
    with _listening(host, port) as listener:
        asyncio.run(_serve(bank, listener, on_ready))


async def _serve(bank: SimulatedBank, listener: socket.socket, on_ready: Callable[[str], None] | None) -> None:
    server = _Server(bank)
    with _stopped_by_signals(server.stop):
        await server.serve_on(listener, lambda: on_ready(_url(listener)) if on_ready else None)


@contextlib.contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


class RunningSimulator:
    """A simulated bank in a background thread, for a `with` statement. Its methods may be called from any thread.

    `now` decides what has happened; relative moments of the scenario count from the construction.
    """

    def __init__(
        self,
        scenario: Wanted = None,
        *,
        now: Callable[[], datetime] = utc_now,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._bank = _bank(scenario, now)
        self._address = (host, port)
        self._started: Future[asyncio.AbstractEventLoop] = Future()

    def __enter__(self) -> Self:
        self._listener = _listening(*self._address)
        self.url = _url(self._listener)
        self._thread = threading.Thread(target=self._run, name="simulated-bank", daemon=True)
        self._thread.start()
        self._loop = self._started.result()
        return self

    def __exit__(self, *_exception: object) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has ended already
            self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _main(self) -> None:
        self._server = _Server(self._bank)
        loop = asyncio.get_running_loop()
        await self._server.serve_on(self._listener, lambda: self._started.set_result(loop))

    def settings(self, dialect: str = "baneco") -> dict[str, str]:
        """The keys of a `[banks.<name>]` block that asks here in this dialect."""
        return DIALECTS[dialect].settings(self.url, self._bank.credential)

    def profile_options(self, dialect: str = "baneco") -> dict[str, str]:
        """The `options` of a BankProfile that logs in here."""
        return {key: value for key, value in self.settings(dialect).items() if key not in _OF_EVERY_BANK}

    def ledger(self) -> dict[str, Any]:
        """See `SimulatedBank.ledger`."""
        return self._call(self._bank.ledger)

    def requests(self) -> dict[str, Any]:
        """See `Traffic.report`."""
        return self._call(self._server.app.traffic.report)

    def notices(self) -> dict[str, Any]:
        """See `Notifier.report`."""
        return self._call(self._server.app.notifier.report)

    def pay(self, qr_id: str, amount: str | None = None, currency: str | None = None, **payment: object) -> str:
        """A payment now (or at `at=`), with any key of a scenario's payment; returns the bank's transaction number."""
        found = {"amount": amount, "currency": currency, **payment}
        known = {key: value for key, value in found.items() if value is not None}
        return self._call(lambda: self._bank.pay(qr_id, known)).id

    def number(self, number: str, dialect: str) -> str:
        """How a payment that `pay` made is numbered in a dialect."""
        payments = self._call(lambda: [p for qr in self._bank.qrs.values() for p in qr.payments if p.id == number])
        return DIALECTS[dialect].number_of(payments[0])

    def expire(self, qr_id: str) -> None:
        """The QR has expired, for the dialects that say so."""
        self._call(lambda: self._bank.expire(qr_id))

    def cancel(self, qr_id: str) -> None:
        """The QR is cancelled from now on."""
        self._call(lambda: self._bank.cancel(qr_id))

    def load(self, scenario: Mapping[str, object]) -> None:
        """Add a scenario; relative moments count from now. Raises ScenarioError."""
        self._call(lambda: self._bank.load(read_scenario(scenario, self._bank.now())))

    def expire_tokens(self) -> None:
        """Every token given so far is rejected from now on."""
        self._call(self._bank.expire_tokens)

    def reset(self) -> None:
        """An empty bank again, with counts at zero."""
        self._call(self._server.app.reset)

    def _call(self, function: Callable[[], T]) -> T:
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except Exception as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result()


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether uvicorn's complaint is one: requests that are cut off because the simulator ends are not."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


logging.getLogger("uvicorn.error").addFilter(_is_worth_a_line)


class _Server(uvicorn.Server):
    """uvicorn, ended by `stop()` at once: whoever still waits for an answer is hung up on."""

    def __init__(self, bank: SimulatedBank) -> None:
        self.app = SimulatorApp(bank, self._close_connection)
        super().__init__(
            uvicorn.Config(
                self.app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )
        self._stop = asyncio.Event()

    async def serve_on(self, listener: socket.socket, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready
        await self.serve(sockets=[listener])

    def stop(self) -> None:
        """To be called in the loop's thread."""
        self._stop.set()

    def _close_connection(self, scope: Scope) -> None:
        for connection in self.server_state.connections:
            if getattr(connection, "client", None) == scope["client"]:
                connection.transport.close()
                return

    async def main_loop(self) -> None:
        notifying = asyncio.create_task(self.app.notifier.run())
        try:
            self._on_ready()
            await self._stop.wait()
        except BaseException:
            await self.shutdown()  # a listener that failed, a time-out: nothing may be left open either
            raise
        finally:
            notifying.cancel()
            await asyncio.wait([notifying], timeout=STOP_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        tasks = list(self.server_state.tasks)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()  # signals are the caller's business


def _bank(scenario: Wanted, now: Callable[[], datetime]) -> SimulatedBank:
    bank = SimulatedBank(now)
    bank.load(_read(scenario, now()))
    return bank


def _read(scenario: Wanted, start: datetime) -> Scenario:
    if scenario is None or isinstance(scenario, Scenario):
        return scenario or Scenario()
    return load_scenario(scenario, start) if isinstance(scenario, Path) else read_scenario(scenario, start)


def _listening(host: str, port: int) -> socket.socket:
    # The protocol must be named: without it asyncio leaves Nagle's algorithm on, and each answer takes 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
