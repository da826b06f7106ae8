"""Measurements of one thing each: lateness, memory, growth, import, sweep, start-up."""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lab as labs
from contestants import PEERS_KNOWN, Paysync, write_csv
from lab import ENV, Lab, clean_environment

LISTED = 10_000  # payments in the stub bank's list of today
HELP_ROUNDS = 15
MOMENT = "%Y-%m-%dT%H:%M:%S.%f+00:00"


def moment(at: datetime) -> str:
    return at.strftime(MOMENT)


def sql(paysync: Paysync, *statements: str) -> None:
    with sqlite3.connect(paysync.home / "paysync.db", timeout=30) as books:
        for statement in statements:
            books.execute(statement)


# -- how late is a due check? -------------------------------------------------------------------------------------


def lateness(lab: Lab, options: argparse.Namespace) -> dict[str, Any]:
    """400 checks, each due at a moment of its own, on an idle worker: how late was the question sent?"""
    found = {"paysync": [_lateness_of_paysync(lab) for _round in range(options.rounds)]}
    bullmq = next(peer for peer in PEERS_KNOWN if peer.name == "bullmq")
    bullmq.install()
    found["bullmq"] = [_lateness_of_bullmq(lab, bullmq) for _round in range(options.rounds)]
    for name, rounds in found.items():
        print(
            f"  {name}: " + "; ".join(f"p95 {r['p95']:.0f} ms, min {r['min']:.0f}, max {r['max']:.0f}" for r in rounds)
        )
    return found


def _lateness_of_paysync(lab: Lab, n: int = 400, apart_ms: int = 10) -> dict[str, float]:
    lab.redis.flushall()
    paysync = Paysync()
    paysync.prepare(lab, n, 20)
    start = datetime.now(UTC) + timedelta(seconds=4)
    sql(paysync, "UPDATE paysync_qrs SET next_check_at = '2099-01-01T00:00:00.000000+00:00'")
    worker = paysync.worker(lab, 20, 50)
    planned = {row: start + timedelta(milliseconds=apart_ms * row) for row in range(1, n + 1)}
    with sqlite3.connect(paysync.home / "paysync.db", timeout=30) as books:
        books.executemany(
            "UPDATE paysync_qrs SET next_check_at = ? WHERE id = ?", [(moment(at), row) for row, at in planned.items()]
        )
    books.close()
    _until(lambda: paysync.done(lab) >= n)
    asked = paysync.books.execute("SELECT qr, at FROM paysync_checks").fetchall()
    late = [(datetime.fromisoformat(at) - planned[qr]).total_seconds() * 1000 for qr, at in asked]
    labs.kill([worker.pid])
    worker.wait()
    paysync.end()
    return _spread(late)


def _lateness_of_bullmq(lab: Lab, bullmq: Any, qrs: int = 100, checks: int = 4) -> dict[str, float]:
    bullmq.prepare(lab, 0, 20)
    worker = bullmq.worker(lab, 20, 50, checks)
    time.sleep(1.5)
    bullmq_env = bullmq.environment(lab, 20, 50, checks)
    argv = [*bullmq.program(), bullmq.module, "enqueue", "--n", str(qrs)]
    subprocess.run(argv, env=bullmq_env, cwd=labs.HERE / "peers", check=True, capture_output=True)
    _until(lambda: lab.redis.llen("bench:late") >= qrs * checks)
    late = [float(text) for text in lab.redis.lrange("bench:late", qrs, -1)]  # the first of each QR was not planned
    labs.kill([worker.pid])
    worker.wait()
    return _spread(late)


def _spread(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "n": len(ordered), "min": ordered[0], "p50": ordered[len(ordered) // 2],
        "p95": ordered[int(0.95 * len(ordered))], "max": ordered[-1],
    }  # fmt: skip


def _until(look: Any, seconds: float = 60) -> None:
    deadline = time.perf_counter() + seconds
    while not look():
        if time.perf_counter() > deadline:
            raise RuntimeError("it took too long")
        time.sleep(0.05)


# -- what does an open QR cost while nothing is due? --------------------------------------------------------------


def memory(lab: Lab, options: argparse.Namespace) -> dict[str, Any]:
    """Redis memory before and after so many QRs were checked once and wait for their next check."""
    n = 2_000 if options.quick else 20_000
    lab.redis.flushall()
    paysync = Paysync()
    paysync.prepare(lab, 300, 0)
    paysync.run(lab, 0, "worker", "--burst", "--concurrency", "50")
    before = int(lab.redis.info("memory")["used_memory"])  # type: ignore[index]
    lines = write_csv(paysync.home / "more.csv", n)
    paysync.run(lab, 0, "import", str(lines), "--quiet")
    paysync.run(lab, 0, "worker", "--burst", "--concurrency", "50")
    after = int(lab.redis.info("memory")["used_memory"])  # type: ignore[index]
    paysync.end()
    found = {"open_qrs": n * 9 // 10, "bytes_per_open_qr": (after - before) / (n * 0.9)}
    print(f"  {found['bytes_per_open_qr']:.1f} bytes of Redis per open QR that is not due")
    return found


# -- does a check cost more with a million open QRs? --------------------------------------------------------------


def growth(lab: Lab, options: argparse.Namespace) -> dict[str, Any]:
    """Rate and CPU of 10,000 due checks (50 in flight, a bank without latency) among ever more open QRs."""
    sizes = [1_000, 10_000] if options.quick else [1_000, 10_000, 100_000, 1_000_000]
    due = 2_000 if options.quick else 10_000
    found: dict[str, Any] = {}
    for size in sizes:
        lab.redis.flushall()
        paysync = Paysync()
        paysync.prepare(lab, due, 0)
        _add_sleepers(paysync, size)
        dispatch_ms = _dispatch_ms(paysync, lab)
        lab.redis.flushall()
        sql(paysync, "UPDATE paysync_qrs SET plan_state = 'planned' WHERE plan_state = 'queued'")
        started, cpu = time.perf_counter(), labs.cpu_s([os.getpid()])
        paysync.run(lab, 0, "worker", "--burst", "--concurrency", "50")
        span, cpu = time.perf_counter() - started, labs.cpu_s([os.getpid()]) - cpu
        checks = paysync.done(lab)
        paysync.end()
        found[str(size)] = {
            "checks": checks, "per_s": checks / span, "cpu_per_1000": cpu * 1000 / checks, "dispatch_ms": dispatch_ms,
        }  # fmt: skip
        print(f"  {size:9,} open: {checks / span:6.0f}/s with start, {cpu * 1000 / checks:.2f} CPU s/1000, "
              f"dispatch of 500: {dispatch_ms:.1f} ms", flush=True)  # fmt: skip
    return found


def _add_sleepers(paysync: Paysync, n: int) -> None:
    """Open rows like the first one, due over the next days, never in this run."""
    columns = [row[1] for row in paysync.books.execute("PRAGMA table_info(paysync_qrs)") if row[1] != "id"]
    values = {"qr_id": "'OPEN' || n", "next_check_at": "strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', 'now', '+1 day', "
              "(n % 86400) || ' seconds')", "priority": "n % 3"}  # fmt: skip
    chosen = ", ".join(values.get(name, name) for name in columns)
    sql(
        paysync,
        f"WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < {n}) "
        f"INSERT INTO paysync_qrs ({', '.join(columns)}) "
        f"SELECT {chosen} FROM count, (SELECT * FROM paysync_qrs WHERE id = 1)",
        "ANALYZE",
    )


def _dispatch_ms(paysync: Paysync, lab: Lab) -> float:
    """The median of ten rounds of the dispatcher, each of a full batch."""
    from paysync_cli.runtime import Runtime
    from paysync_cli.services.dispatch import Scope, dispatch
    from paysync_cli.settings import load_settings

    runtime = Runtime(load_settings(environ=paysync.settings(lab, 0), cwd=paysync.home))
    scope, spans = Scope("stub", "certification", 1_000_000), []
    for _round in range(10):
        lab.redis.flushall()
        started = time.perf_counter()
        dispatch(runtime.store, runtime.queue, runtime.database_id, [scope], datetime.now(UTC))
        spans.append((time.perf_counter() - started) * 1000)
    runtime.close()
    return statistics.median(spans)


# -- import, sweep ------------------------------------------------------------------------------------------------


def imports(lab: Lab, options: argparse.Namespace) -> dict[str, Any]:
    """Lines a second of `paysync import` as a whole process, and its largest memory, at two sizes."""
    found: dict[str, Any] = {}
    for n in (1_000, 10_000) if options.quick else (10_000, 100_000):
        rates, peak = [], 0.0
        for _round in range(options.rounds):
            paysync = Paysync()
            paysync._home = Path(tempfile.mkdtemp(prefix="psb"))
            lines = write_csv(paysync.home / "qrs.csv", n)
            started = time.perf_counter()
            argv = [sys.executable, "-m", "paysync_cli", "import", str(lines), "--quiet"]
            child = lab.start(argv, paysync.settings(lab, 0), paysync.home, "import")
            watch = labs.Watch([child.pid])
            if child.wait() != 0:
                raise RuntimeError(lab.log_of("import"))
            rates.append(n / (time.perf_counter() - started))
            peak = max(peak, watch.end())
            paysync.end()
        found[str(n)] = {"lines_per_s": statistics.median(rates), "peak_mib": peak}
        print(f"  {n:7,} lines: {statistics.median(rates):7,.0f}/s, at most {peak:.0f} MiB", flush=True)
    return found


def sweeps(lab: Lab, options: argparse.Namespace) -> dict[str, Any]:
    """One `paysync sweep` that books 10,000 payments among 100,000 open QRs, as a whole process."""
    spans = []
    for _round in range(options.rounds):
        paysync = Paysync()
        paysync.prepare(lab, 100_000, 0)
        started = time.perf_counter()
        paysync.run(lab, 0, "sweep", "--quiet")
        spans.append(time.perf_counter() - started)
        booked = paysync.books.execute("SELECT count(*) FROM paysync_movements").fetchone()[0]
        if booked != LISTED:
            raise RuntimeError(f"{booked} booked instead of {LISTED}")
        paysync.end()
    found = {"seconds": statistics.median(spans), "payments_per_s": LISTED / statistics.median(spans)}
    print(f"  {found['seconds']:.2f} s, {found['payments_per_s']:,.0f} payments a second")
    return found


# -- start-up -----------------------------------------------------------------------------------------------------

BARE = (
    "import typer\napp = typer.Typer(add_completion=False)\n@app.command()\ndef sync(qr: str = 'x'): pass\n"
    "@app.command()\ndef status(): pass\napp()\n"
)


def start_up(lab: Lab, _options: argparse.Namespace) -> dict[str, Any]:
    """Whole processes, interleaved: medians in milliseconds."""
    bare = ENV / "bare_typer.py"
    bare.parent.mkdir(parents=True, exist_ok=True)
    bare.write_text(BARE)
    rq_peer = next(peer for peer in PEERS_KNOWN if peer.name == "rq-pool")
    rq_peer.install()
    lab.redis.flushall()
    paysync = Paysync()
    paysync.prepare(lab, 1000, 0)
    own = [str(Path(sys.executable).parent / "paysync")]
    embedded = {k: v for k, v in paysync.settings(lab, 0).items() if k != "REDIS_URL"}
    subprocess.run([*own, "redis", "start"], env=embedded, cwd=paysync.home, check=True, capture_output=True)
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "python -c pass": ([sys.executable, "-c", "pass"], embedded),
        "bare Typer --help": ([sys.executable, str(bare), "--help"], embedded),
        "bare Typer command": ([sys.executable, str(bare), "status"], embedded),
        "paysync --help": ([*own, "--help"], embedded),
        "paysync --version": ([*own, "--version"], embedded),
        "paysync stats": ([*own, "stats"], embedded),
        "rq info": ([str(ENV / "rq-pool/bin/rq"), "info", "-u", lab.redis_url], clean_environment()),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(HELP_ROUNDS + 1):
        for name in random.sample(list(commands), len(commands)):
            argv, env = commands[name]
            started = time.perf_counter()
            subprocess.run(argv, env=env, cwd=paysync.home, check=True, capture_output=True)
            if number:  # the first round warms the caches
                times[name].append((time.perf_counter() - started) * 1000)
    subprocess.run([*own, "redis", "stop", "--yes"], env=embedded, cwd=paysync.home, check=True, capture_output=True)
    paysync.end()
    found = {name: statistics.median(values) for name, values in times.items()}
    for name, value in found.items():
        print(f"  {name:20} {value:6.0f} ms")
    return found
