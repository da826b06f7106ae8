"""What every measurement needs: private services, processes and their CPU and memory from /proc, Redis' own counts.

Linux only. Everything stays on loopback; the Redis is private and keeps nothing.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

HERE = Path(__file__).resolve().parent
ENV = Path(os.environ.get("BENCH_ENV", Path(tempfile.gettempdir()) / "paysync-bench"))
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Lab:
    """A running bank (a port per latency in ms) and a running Redis."""

    redis: redis.Redis
    redis_url: str
    ports: Mapping[int, int]
    bank_pid: int
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def bank_url(self, latency_ms: int) -> str:
        return f"http://127.0.0.1:{self.ports[latency_ms]}"

    def start(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: Path | None = None, log: str = "process"
    ) -> subprocess.Popen[bytes]:
        """A process of its own session, ended with the lab; what it says goes to a log."""
        ENV.mkdir(parents=True, exist_ok=True)
        with (ENV / f"{log}.log").open("wb") as out:
            child = subprocess.Popen(
                list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        self.children.append(child)
        return child

    def log_of(self, log: str) -> str:
        return (ENV / f"{log}.log").read_text(errors="replace")[-800:]


@contextmanager
def lab(latencies: Sequence[int] = (0, 20), *, listed: int = 0) -> Iterator[Lab]:
    """Start the services; at the end every process of the lab is gone."""
    ports = {latency: free_port() for latency in latencies}
    redis_port = free_port()
    server = subprocess.Popen(
        [redis_binary(), "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
         "--maxclients", "4000"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tempfile.gettempdir(),
    )  # fmt: skip
    pairs = ",".join(f"{latency}:{port}" for latency, port in ports.items())
    bank = subprocess.Popen(
        [sys.executable, str(HERE / "bank.py"), "--ports", pairs, "--listed", str(listed)], stdout=subprocess.PIPE
    )
    client = redis.Redis(port=redis_port)
    found = Lab(client, f"redis://127.0.0.1:{redis_port}/0", ports, bank.pid)
    try:
        if bank.stdout is None or bank.stdout.readline() != b"ready\n":
            raise SystemExit("the stub bank did not start")
        _await_redis(client)
        yield found
    finally:
        kill([child.pid for child in found.children])
        for process in (*found.children, bank, server):
            process.kill()
            process.wait()


def _await_redis(client: redis.Redis) -> None:
    for _attempt in range(200):
        try:
            client.ping()
            return
        except redis.ConnectionError:
            time.sleep(0.05)
    raise SystemExit("the private Redis did not start")


def redis_binary() -> str:
    """The server that paysync brings along: the same one for all."""
    from paysync_cli.queue.embedded.binary import find_server

    return str(find_server(None).path)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without anything that paysync reads.

    Python may keep what it compiled, as pip does for all the peers.
    """
    ours = ("PAYSYNC_", "PAYMENT_", "REDIS_", "DATABASE_", "PYTHONDONTWRITEBYTECODE")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return env | more


# -- processes ----------------------------------------------------------------------------------------------------


def _stats() -> dict[int, tuple[int, float]]:
    """pid -> (parent, CPU seconds of the process and its reaped children)."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(process.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / TICK)
    return found


def tree(roots: Sequence[int], stats: Mapping[int, tuple[int, float]] | None = None) -> list[int]:
    stats = stats or _stats()
    found, frontier = set(roots) & set(stats), set(roots)
    while frontier:
        frontier = {pid for pid, (parent, _cpu) in stats.items() if parent in frontier} - found
        found |= frontier
    return sorted(found)


def cpu_s(roots: Sequence[int]) -> float:
    """CPU seconds of these processes and all their children."""
    stats = _stats()
    return sum(stats[pid][1] for pid in tree(roots, stats))


def machine_cpu_s() -> float:
    """Busy CPU seconds of the whole machine."""
    fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / TICK


def rss_mib(roots: Sequence[int]) -> float:
    total = 0
    for pid in tree(roots):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return total / 1024


class Watch(threading.Thread):
    """The largest memory of a process tree while it is watched."""

    def __init__(self, roots: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self._roots, self._done, self.peak_mib = roots, threading.Event(), 0.0
        self.start()

    def run(self) -> None:
        while not self._done.wait(0.2):
            self.peak_mib = max(self.peak_mib, rss_mib(self._roots))

    def end(self) -> float:
        self._done.set()
        self.join()
        return self.peak_mib


def kill(roots: Sequence[int]) -> None:
    for _attempt in range(20):
        alive = tree(roots)
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not alive or all(_is_zombie(pid) for pid in alive):
            return
        time.sleep(0.05)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# -- Redis --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RedisFigures:
    """Commands (those inside scripts included), socket reads and CPU of a Redis since it started."""

    commands: int
    reads: int
    cpu_s: float
    by_name: Mapping[str, int]

    def since(self, before: RedisFigures) -> RedisFigures:
        names = {name: calls - before.by_name.get(name, 0) for name, calls in self.by_name.items()}
        return RedisFigures(
            self.commands - before.commands, self.reads - before.reads, self.cpu_s - before.cpu_s, names
        )


def redis_figures(client: redis.Redis) -> RedisFigures:
    info: dict[str, Any] = client.info("all")  # type: ignore[assignment]
    names = {key[8:]: value["calls"] for key, value in info.items() if key.startswith("cmdstat_")}
    cpu = info["used_cpu_sys"] + info["used_cpu_user"]
    return RedisFigures(sum(names.values()), info["total_reads_processed"], cpu, names)
