"""Options of the fault suite: how long the random kills go on, and from which seed; a long profile for hypothesis."""

from __future__ import annotations

import os
import secrets
import signal

import pytest
from hypothesis import settings

from paysync_cli.language import code_of
from tests.pace import Pace

settings.register_profile("patient", settings(), deadline=None)  # a machine that has more to do is no error
settings.load_profile("patient")
settings.register_profile("long", settings(), max_examples=1000)

SHORT_S = 12.0  # of kills, in the ordinary run
AFTERWARDS_S = 240.0  # for the quiet after them


def pytest_configure() -> None:
    """The tests read English, whatever the developer's own language; and Ctrl-C reaches the programs under test also
    when whoever started the tests in the background ignores it.
    """
    for name in ("PAYSYNC_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if code_of(os.environ.get(name, "")) == "es":
            del os.environ[name]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--fault-seconds", type=float, default=SHORT_S, help="how long random faults go on")
    group.addoption("--day-qrs", type=int, default=200, help="how many QRs the whole day has")
    group.addoption("--day-hours", type=float, default=2.0, help="how long it is; from 12 on with real settings")
    group.addoption("--day-speed", type=float, default=180.0, help="how many times as fast it goes by")
    group.addoption("--fault-seed", type=int, default=None, help="the seed of random faults, as a run printed it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    patience = pytest.mark.timeout(config.getoption("--fault-seconds") + AFTERWARDS_S)
    for item in items:
        if "fault_seconds" in getattr(item, "fixturenames", ()):
            item.add_marker(patience)
        if "pace" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(pace_of(config).real_s + AFTERWARDS_S))


def pace_of(config: pytest.Config) -> Pace:
    return Pace(config.getoption("--day-qrs"), config.getoption("--day-hours"), config.getoption("--day-speed"))


@pytest.fixture
def pace(request: pytest.FixtureRequest) -> Pace:
    """How much happens in the whole day, and how fast."""
    return pace_of(request.config)


@pytest.fixture
def fault_seconds(request: pytest.FixtureRequest) -> float:
    return float(request.config.getoption("--fault-seconds"))


@pytest.fixture
def fault_seed(request: pytest.FixtureRequest) -> int:
    """The seed given, else a new one; printed, so that a failing run can be repeated."""
    given = request.config.getoption("--fault-seed")
    seed = secrets.randbelow(1_000_000) if given is None else int(given)
    print(f"--fault-seed {seed}")
    return seed


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two more than there are cores: many tests wait for real time-outs and processes."""
    return (os.cpu_count() or 1) + 2
