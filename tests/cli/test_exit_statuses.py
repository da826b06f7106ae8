"""Each exit status of the contract through a process, and the quiet end when the output or the disk is gone."""

from __future__ import annotations

import contextlib
import json
import resource
import shlex
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paysync_cli.services.lock import LEASE
from paysync_cli.store import leases
from tests.books import add_qr, book, dump
from tests.embedded import until
from tests.home import Home, new_home
from tests.process import PAYSYNC, TIMEOUT_S, clean_environment, start_paysync
from tests.register_home import BANK

SILENT = "PAYSYNC_BANK_SIM_BASE_URL"


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with new_home() as home:
        with home.books() as store:
            book(store, add_qr(store, "QR1", amount=100), 5)
            for n in range(2_000):
                add_qr(store, f"MANY{n:05}")
            with store.write() as tx:
                tx.exec_driver_sql("UPDATE paysync_accounts SET balance_minor = balance_minor + 1")
                leases.take(tx, "cleanup", "bob@there", datetime.now(UTC), datetime.now(UTC) + LEASE)
        yield home


@contextlib.contextmanager
def silent_bank() -> Iterator[tuple[str, Callable[[], bool]]]:
    """A bank that takes the question and never answers: its URL, and whether somebody asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        asked: list[socket.socket] = []

        def called() -> bool:
            with contextlib.suppress(TimeoutError):
                asked.append(listener.accept()[0])
            return bool(asked)

        yield f"http://127.0.0.1:{listener.getsockname()[1]}", called
        for one in asked:
            one.close()


@pytest.mark.parametrize(
    ("status", "line", "env"),
    [
        (0, "list", {}),
        (0, "purge --completed", {}),  # nothing to do
        (2, "list --nonsense", {}),
        (2, "list", {"PAYSYNC_ATTEMPTS": "x"}),
        (3, "enqueue QR1 NEW --amount 3", {}),
        (4, "show NOBODY", {}),
        (4, "list", {"PAYSYNC_HOME": "/nonexistent"}),
        (5, "purge --all", {"PAYSYNC_READ_ONLY": "1"}),
        (5, "redis start", {"REDIS_URL": "redis://127.0.0.1:1"}),
        (6, "accounts", {}),
        (69, "purge --all", {"REDIS_URL": "redis://127.0.0.1:1"}),
        (69, "list", {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}),
        (69, "check QR1", {SILENT: "http://127.0.0.1:1"}),
        (75, "cleanup", {}),
    ],
)
def test_the_status_of(home: Home, status: int, line: str, env: dict[str, str]) -> None:
    ended = home.run(*line.split(), **(BANK | env))
    assert ended.status == status, ended
    assert "Traceback" not in ended.err
    assert ended.err.startswith("error: ") == (status != 0 and not ended.err.startswith("no login")), ended
    found = json.loads(home.run(*line.split(), "--json", **(BANK | env)).out)
    assert (found["status"] == "ok") == (status == 0)


def test_paused_is_75(home: Home) -> None:
    assert home.run("pause", "sim", "--for", "1h", **BANK).status == 0
    try:
        assert home.json("sweep", status=75, **BANK)["errors"][0]["code"] == "paused"
    finally:
        assert home.run("resume", "sim", **BANK).status == 0


def test_an_unexpected_error_is_1(home: Home) -> None:
    """A settings folder that cannot be listed, a broken installation: whatever nobody thought of."""
    broken = (
        "import sys; sys.modules['paysync_cli.services.listing'] = None; from paysync_cli.cli.main import run; run()"
    )
    done = subprocess.run(
        [PAYSYNC[0], "-c", broken, "list"],
        env=clean_environment(home.folder, home.env), cwd=home.folder, capture_output=True, text=True, check=False,
        timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 1
    first, hint = done.stderr.splitlines()
    assert first.startswith("error: Unexpected error: ModuleNotFoundError")
    assert "--debug" in hint


def test_the_own_time_out_is_124(home: Home) -> None:
    with silent_bank() as (url, _called):
        found = home.json("check", "QR1", "--timeout", "1s", status=124, **(BANK | {SILENT: url}))
    assert found["errors"][0]["code"] == "timed_out"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_cut_short_while_the_bank_is_asked(home: Home, number: int, status: int) -> None:
    with silent_bank() as (url, called), home.books() as store:
        before = dump(store)
        child = start_paysync("check", "QR1", "--json", env=home.env | BANK | {SILENT: url}, cwd=home.folder)
        until(called)
        child.send_signal(number)
        out, err = child.communicate(timeout=TIMEOUT_S)
        assert (child.returncode, "Traceback" in err) == (status, False), err
        assert json.loads(out)["errors"][0]["code"] in ("interrupted", "terminated")
        movements = [line for line in before if "paysync_movements" in line or "paysync_qrs" in line]
        assert set(movements) <= set(dump(store)), "nothing was booked or decided"


# -- the reader leaves, the output is closed, the disk is full
#
# What the field does, and so do we. A reader that leaves (`| head`) has all it wanted: not a word, and the status of
# the work, so that `set -o pipefail` goes on. Output that is lost (a full disk, a closed descriptor) was wanted by
# somebody: one sentence on standard error and a bad status, as of `ls >/dev/full` and `ls >&-`, never a traceback.
# Who closes standard output and has nothing to be told, as cron with --quiet, lost nothing.


def in_a_shell(home: Home, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {line}"],
        env=clean_environment(home.folder, home.env | BANK),
        cwd=home.folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


LONG = ("list --limit 3000", "list --limit 3000 --csv", "list --limit 3000 --jsonl", "list --limit 3000 --json",
        "config show", "stats", "stats --json", "--help")  # fmt: skip


@pytest.mark.parametrize("line", LONG)
def test_head_is_quiet(home: Home, line: str) -> None:
    done = in_a_shell(home, f"{shlex.join(PAYSYNC)} {line} | head -c 1")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("line", LONG)
def test_a_full_disk_behind_the_output_is_told_in_a_sentence(home: Home, line: str) -> None:
    done = in_a_shell(home, f"{shlex.join(PAYSYNC)} {line} >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "error: The output could not be written: No space left on device.\n"


@pytest.mark.parametrize("line", LONG)
def test_closed_output_is_told_in_a_sentence(home: Home, line: str) -> None:
    done = in_a_shell(home, f"{shlex.join(PAYSYNC)} {line} >&-")
    assert done.returncode == 1
    assert done.stderr == "error: The output could not be written: standard output is closed.\n"
    assert in_a_shell(home, f"{shlex.join(PAYSYNC)} {line} >&- 2>&-").returncode == 1


def test_a_closed_output_that_nothing_was_for_is_no_error(home: Home) -> None:
    done = in_a_shell(home, f"{shlex.join(PAYSYNC)} purge --completed --quiet >&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("end", "status"), [("| head -n 1", 0), (">/dev/full", 1), (">&-", 1)])
def test_what_watches_ends_with_its_reader(home: Home, end: str, status: int) -> None:
    done = in_a_shell(home, f"{shlex.join(PAYSYNC)} stats --watch --interval 500ms {end}")
    assert done.returncode == status, done
    assert len(done.stdout.splitlines()) == (1 - status)
    assert (len(done.stderr.splitlines()), "Traceback" in done.stderr) == (status, False)


@pytest.mark.parametrize("line", ["enqueue LATE --amount 5", "hold QR1 --reason disputed", "purge --failed"])
def test_a_full_disk_under_the_database_is_told_and_leaves_it_whole(line: str) -> None:
    """No file may grow: what the database meets on a full disk."""
    with new_home() as home:
        with home.books() as store:
            add_qr(store, "QR1")
            before = dump(store)

        def nothing_grows() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        done = subprocess.run(
            [*PAYSYNC, *line.split(), "--json"],
            preexec_fn=nothing_grows,
            env=clean_environment(home.folder, home.env | BANK),
            cwd=home.folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 69, done
        assert "Traceback" not in done.stderr
        (error,) = json.loads(done.stdout)["errors"]
        assert error["code"] in ("database_unavailable", "redis_unavailable")
        with home.books() as store:
            assert dump(store) == before
        assert home.run(*line.split(), **BANK).status == 0, "and afterwards it works"
