"""Measure paysync beside its peers: `python bench/run.py`. See README.md.

Rounds are interleaved, each in another order, so that a neighbour's noise falls on all; a figure is the median of its
rounds, a ratio is taken inside one round.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import lab as labs
import report
import singles
from contestants import PEERS_KNOWN, Contestant, Paysync, Peer
from lab import ENV, Lab, lab, redis_figures

CELLS = [(20, 5), (20, 50), (20, 500), (0, 50)]  # bank latency in ms, checks in flight
GUESS = {"paysync": 4000, "paysync, 2 processes": 6000, "bullmq": 4500, "rq-pool": 400}  # checks/s, to size a run
WARM_S = 0.7


@dataclass
class Drained:
    """One worker on a full queue, between two moments at which all its slots were taken."""

    rate: float
    cpu_per_1000: float
    redis_cpu_per_1000: float
    commands: float
    reads: float
    peak_mib: float
    foreign_cores: float


def drain(lab: Lab, contestant: Contestant, latency_ms: int, concurrency: int, seconds: float) -> Drained:
    limit = concurrency / (latency_ms / 1000) if latency_ms else 12_000
    n = int(min(limit, GUESS.get(contestant.name, 2500)) * (seconds + WARM_S + 1) + 3 * concurrency)
    lab.redis.flushall()
    contestant.prepare(lab, n, latency_ms)
    worker = contestant.worker(lab, latency_ms, concurrency)
    watch = labs.Watch([worker.pid])
    try:
        _await_warm(lab, contestant, worker, concurrency)
        before = _look(lab, contestant, worker.pid)
        polls = 0
        while time.perf_counter() - before["t"] < seconds:
            time.sleep(0.05)
            polls += 1
            if contestant.done(lab) > n - 2 * concurrency:
                break
        after = _look(lab, contestant, worker.pid)
    finally:
        peak = watch.end()
        labs.kill([worker.pid])
        worker.wait()
        contestant.end()
    checks, span = after["done"] - before["done"], after["t"] - before["t"]
    redis = after["redis"].since(before["redis"])
    own = (polls + 2) * contestant.own_reads()
    machine = after["machine"] - before["machine"]
    ours = sum(after[k] - before[k] for k in ("cpu", "bank", "self")) + redis.cpu_s
    return Drained(
        rate=checks / span,
        cpu_per_1000=(after["cpu"] - before["cpu"]) * 1000 / checks,
        redis_cpu_per_1000=redis.cpu_s * 1000 / checks,
        commands=(redis.commands - own - 1) / checks,
        reads=(redis.reads - own - 1) / checks,
        peak_mib=peak,
        foreign_cores=max(0.0, (machine - ours) / span),
    )


def _await_warm(lab: Lab, contestant: Contestant, worker: Any, concurrency: int) -> None:
    deadline, first = time.perf_counter() + 40, None
    while True:
        done = contestant.done(lab)
        if done and first is None:
            first = time.perf_counter()
        if first is not None and done >= concurrency and time.perf_counter() - first > WARM_S:
            return
        if worker.poll() is not None or time.perf_counter() > deadline:
            raise RuntimeError(f"{contestant.name} makes no progress: {lab.log_of(contestant.name)}")
        time.sleep(0.02)


def _look(lab: Lab, contestant: Contestant, pid: int) -> dict[str, Any]:
    return {
        "done": contestant.done(lab),
        "t": time.perf_counter(),
        "cpu": labs.cpu_s([pid]),
        "bank": labs.cpu_s([lab.bank_pid]),
        "self": time.process_time(),
        "machine": labs.machine_cpu_s(),
        "redis": redis_figures(lab.redis),
    }


def drain_all(lab: Lab, options: argparse.Namespace) -> dict[str, Any]:
    contestants: list[Contestant] = [Paysync(), Paysync(processes=2)]
    contestants += [peer for peer in PEERS_KNOWN if not options.only or peer.name in options.only]
    for peer in contestants:
        if isinstance(peer, Peer):
            peer.install()
    rounds: list[dict[str, Any]] = []
    for number in range(options.rounds):
        runs = [(c, cell) for c in contestants for cell in CELLS if not (c.name == "rq-pool" and cell[1] == 500)]
        random.shuffle(runs)
        found: dict[str, Any] = defaultdict(dict)
        for contestant, (latency_ms, concurrency) in runs:
            try:
                result = drain(lab, contestant, latency_ms, concurrency, options.seconds)
            except RuntimeError as error:
                print(f"  {contestant.name} {latency_ms} ms x {concurrency}: {error}", file=sys.stderr, flush=True)
                continue
            found[f"{latency_ms}/{concurrency}"][contestant.name] = asdict(result)
            print(
                f"  round {number + 1}: {contestant.name:22} {latency_ms:3} ms x {concurrency:3}: "
                f"{result.rate:7.0f}/s  {result.cpu_per_1000:.2f} CPU s/1000  {result.commands:5.1f} commands  "
                f"{result.reads:.3f} reads  {result.peak_mib:4.0f} MiB  others {result.foreign_cores:.1f} cores",
                flush=True,
            )
        rounds.append(found)
    return {"rounds": rounds}


PARTS: dict[str, Callable[[Lab, argparse.Namespace], dict[str, Any]]] = {
    "drain": drain_all,
    "lateness": singles.lateness,
    "memory": singles.memory,
    "growth": singles.growth,
    "import": singles.imports,
    "sweep": singles.sweeps,
    "start": singles.start_up,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 2 s, a tenth of the rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--only", default="", help="peers to run beside paysync, by name, with commas")
    parser.add_argument("--out", type=Path, default=ENV / "results.json")
    options = parser.parse_args()
    options.only = set(filter(None, options.only.split(",")))
    if options.quick:
        options.rounds, options.seconds = 1, 2.0
    results: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    results["machine"] = report.machine()
    for part in options.parts.split(","):
        print(f"{part}:", flush=True)
        with lab(listed=singles.LISTED if part == "sweep" else 0) as services:
            results[part] = PARTS[part](services, options)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1))
    print(report.render(results))


if __name__ == "__main__":
    main()
