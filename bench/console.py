"""The operator's console at size: 1,000,000 QRs, 200,000 failed jobs, and what each command takes.

    python bench/console.py [--home DIR] [--qrs N] [--failed N] [--rounds N] [--purge]

Builds a SQLite home with its embedded Redis (kept in --home and used again), then runs each command as a process and
prints its wall and CPU time, its peak memory and the longest PING of another client meanwhile. On a busy machine
believe the CPU time and the server's own slowest command. `--purge` ends with a purge of all failed jobs, interrupted
once and run again.
"""

from __future__ import annotations

import argparse
import base64
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

PAYSYNC = (sys.executable, "-m", "paysync_cli")
QUEUES = ("payment-sync-high", "payment-sync-medium", "payment-sync-low")
COMMANDS = (
    "stats --json",
    "list --json",
    "list --due --json",
    "list --status processing --limit 200 --json",
    "list --sort next-check --json",
    "find QR-00012 --json",
    "find TX-000777 --json",
    "find 12.34 --json",
    "find acct-3 --json",
    "show QR-0000777 --json",
    "explain QR-0000777 --json",
    "failed --json",
    "failed --group-by error --json",
    "failed --limit 500 --csv",
    "movements --since 1d --json",
    "accounts --json",
    "review list --json",
    "audit --json",
    "workers --json",
    "doctor --json",
    "health --json",
    "cleanup --dry-run --json",
    "purge --all --dry-run --json",
)
REASONS = ("unavailable: HTTP 503, text/html", "unavailable: connection refused", "unreadable: not JSON",
           "worker_lost: the worker that ran it is gone")  # fmt: skip

QR = """id bank environment qr_id status amount_minor currency account multi_use issued_at registered_at due_at
    plan_state next_check_at priority seq checks max_checks attempts free version"""
CHECK = "id qr seq attempt at outcome bank_status duration_ms"
MOVEMENT = "id qr bank bank_transaction_id amount_minor currency account paid_at booked_at payer source"

FAIL = """
local queue, first, count, ends = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
for n = first, first + count - 1 do
  local id = 'sync-' .. n .. '-3'
  redis.call('ZADD', 'rq:failed:' .. queue, ends + n, id)
  redis.call('HSET', 'rq:job:' .. id, 'status', 'failed', 'origin', queue, 'data', ARGV[5], 'description', 'QR-' .. n,
    'created_at', ARGV[6], 'enqueued_at', ARGV[6], 'started_at', ARGV[6], 'ended_at', ARGV[6],
    'paysync_reason', ARGV[7 + n % 4])
  redis.call('XADD', 'rq:results:' .. id, '*', 'type', '2', 'exc_string', ARGV[11 + n % 4], 'created_at', ARGV[6])
end
"""


@dataclass(frozen=True)
class Measured:
    """One command once."""

    line: str
    status: int
    wall_s: float
    cpu_s: float
    peak_mib: float
    ping_ms: float
    server_ms: float
    out_kib: float


def main() -> None:
    args = _arguments()
    home = Path(args.home or tempfile.mkdtemp(prefix="psc", dir="/tmp"))
    home.mkdir(parents=True, exist_ok=True)
    env = {"PATH": os.environ.get("PATH", ""), "PAYSYNC_HOME": str(home), "LC_ALL": "C.UTF-8",
           "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))),
           "PAYSYNC_BANK_SIM_ADAPTER": "baneco", "PAYSYNC_BANK_SIM_BASE_URL": "http://127.0.0.1:9",
           "PAYSYNC_BANK_SIM_ENVIRONMENT": "certification", "PAYSYNC_BANK_SIM_USERNAME": "shop",
           "PAYSYNC_BANK_SIM_PASSWORD": "simulator",
           "PAYSYNC_BANK_SIM_AES_KEY": "0123456789abcdef0123456789abcdef"}  # fmt: skip
    _paysync("db upgrade", env)
    _paysync("redis start", env)
    try:
        # In a process of its own: a child's peak memory counts what its parent had when it was started.
        filling = multiprocessing.Process(target=_fill, args=(home, env, args.qrs, args.failed))
        filling.start()
        filling.join()
        _report([_measure(line, env) for line in COMMANDS for _round in range(args.rounds)])
        if args.purge:
            _purge(env)
    finally:
        _paysync("redis stop --yes", env)
        if args.home is None:
            shutil.rmtree(home)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--home", help="folder to build in and to use again (default: a new one, removed)")
    parser.add_argument("--qrs", type=int, default=1_000_000)
    parser.add_argument("--failed", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--purge", action="store_true", help="end with a purge of all failed jobs")
    return parser.parse_args()


# -- building


def _fill(home: Path, env: dict[str, str], qrs: int, failed: int) -> None:
    _fill_books(home / "paysync.db", qrs)
    with _redis(env) as client:
        _fill_redis(client, failed)


def _fill_books(path: Path, count: int) -> None:
    """Rows as a year of business leaves them: most final, the last ones open; a check each, a movement for the paid."""
    with sqlite3.connect(path) as connection:
        have = connection.execute("SELECT count(*) FROM paysync_qrs").fetchone()[0]
        if have >= count:
            return
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        connection.executemany(_insert("paysync_qrs", QR), _qrs(have, count))
        connection.executemany(_insert("paysync_checks", CHECK), _checks(have, count))
        connection.executemany(_insert("paysync_movements", MOVEMENT), _movements(have, count))
        connection.execute(
            "INSERT OR REPLACE INTO paysync_accounts SELECT bank, 'certification', account, currency,"
            " sum(amount_minor), max(booked_at) FROM paysync_movements GROUP BY 1, 3, 4"
        )
        connection.execute("ANALYZE")
    connection.close()


def _insert(table: str, columns: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns.split())}) VALUES ({', '.join('?' * len(columns.split()))})"


def _at(n: int, count: int) -> str:
    """The last row is of now, the first is a year old."""
    return (datetime.now(UTC) - timedelta(days=365) * (1 - n / count)).isoformat(timespec="microseconds")


def _qrs(have: int, count: int) -> Iterator[tuple[Any, ...]]:
    soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat(timespec="microseconds")
    late = (datetime.now(UTC) - timedelta(minutes=3)).isoformat(timespec="microseconds")
    for n in range(have, count):
        is_open = n >= count * 9 // 10
        status = ("active", "pending", "processing")[n % 3] if is_open else ("completed", "expired")[n % 4 == 0]
        state = ("exhausted" if n % 50 == 0 else "planned") if is_open else "done"
        when = (late if n % 20 == 0 else soon) if is_open else None
        at = _at(n, count)
        yield (n + 1, "sim", "certification", f"QR-{n:07}", status, 100 + n % 100_000, "BOB", f"acct-{n % 50}",
               0, at, at, None, state, when, n % 3, 4, 4, 20, 0, 0, 1)  # fmt: skip


def _checks(have: int, count: int) -> Iterator[tuple[Any, ...]]:
    for n in range(have, count):
        yield (n + 1, n + 1, 3, 1, _at(n, count), "unpaid", "0", 120)


def _movements(have: int, count: int) -> Iterator[tuple[Any, ...]]:
    for n in range(have, count * 9 // 10):
        if n % 4:
            at, account = _at(n, count), f"acct-{n % 50}"
            yield (n + 1, n + 1, "sim", f"TX-{n:07}", 100 + n % 100_000, "BOB", account, at, at, "Ana", "check")


def _fill_redis(client: redis.Redis, count: int) -> None:
    have = sum(client.zcard(f"rq:failed:{queue}") for queue in QUEUES)  # type: ignore[misc]
    script, stamp = client.register_script(FAIL), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    packed = [base64.b64encode(zlib.compress(reason.encode())) for reason in REASONS]
    data = '["paysync_cli.tasks.sync", null, [1, 3], {}]'
    for start in range(have, count, 1_000):
        ends = time.time() + 7 * 86_400 - count
        script(
            args=[
                QUEUES[start // 1_000 % 3],
                start + 1,
                min(1_000, count - start),
                ends,
                data,
                stamp,
                *REASONS,
                *packed,
            ]
        )


def _redis(env: dict[str, str]) -> redis.Redis:
    return redis.Redis.from_url(_paysync("redis url --reveal", env).strip().splitlines()[0])


def _paysync(line: str, env: dict[str, str]) -> str:
    argv = [*PAYSYNC, *line.split()]
    done = subprocess.run(argv, env=env, cwd=env["PAYSYNC_HOME"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"paysync {line}: {done.stderr}")
    return done.stdout


# -- measuring


class Pinger:
    """Another client: PINGs every 2 ms; `longest_ms` is the longest answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._client, self._end = client, threading.Event()
        self.longest_ms = 0.0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Pinger:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        self._client.ping()
        while not self._end.wait(0.002):
            began = time.perf_counter()
            self._client.ping()
            self.longest_ms = max(self.longest_ms, (time.perf_counter() - began) * 1000)


def _measure(line: str, env: dict[str, str], *, cut_after_s: float | None = None) -> Measured:
    with _redis(env) as watch, _redis(env) as client, Pinger(client) as pinger, tempfile.TemporaryFile() as out:
        watch.config_set("slowlog-log-slower-than", 500)
        watch.slowlog_reset()
        began = time.perf_counter()
        child = subprocess.Popen(
            [*PAYSYNC, *line.split()], env=env, cwd=env["PAYSYNC_HOME"], stdout=out, stderr=subprocess.DEVNULL
        )
        if cut_after_s is not None:
            time.sleep(cut_after_s)
            child.send_signal(signal.SIGINT)
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        size = out.seek(0, os.SEEK_END)
        slow: list[dict[str, Any]] = watch.slowlog_get(128)  # type: ignore[assignment]
    cpu, slowest = usage.ru_utime + usage.ru_stime, max((one["duration"] for one in slow), default=0) / 1000
    return Measured(line, child.returncode, wall, cpu, usage.ru_maxrss / 1024, pinger.longest_ms, slowest, size / 1024)


def _purge(env: dict[str, str]) -> None:
    _report([_measure("purge --failed --json", env, cut_after_s=0.8), _measure("purge --failed --json", env)])


def _report(found: list[Measured]) -> None:
    heads = ("exit", "wall s", "CPU s", "peak MiB", "PING ms", "server ms", "out KiB")
    print(f"{'command':<45}" + "".join(f"{head:>10}" for head in heads))
    for one in found:
        figures = (one.wall_s, one.cpu_s, one.peak_mib, one.ping_ms, one.server_ms, one.out_kib)
        print(f"{one.line:<45}{one.status:>10}" + "".join(f"{figure:>10.2f}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
