"""Who runs: paysync, and what its users would take instead. Each puts jobs in, starts a worker, tells how far it is."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import ENV, HERE, Lab, clean_environment

PEERS = HERE / "peers"
BANK = {
    "adapter": "baneco", "username": "bench", "password": "bench", "aes_key": "0123456789abcdef0123456789abcdef",
    "environment": "certification", "account": "shop", "rate": "1000000/s", "concurrency": "10000",
}  # fmt: skip


class Contestant:
    """One way to do the checks."""

    name: str

    def prepare(self, lab: Lab, n: int, latency_ms: int) -> None:
        """Put `n` checks in, all due now."""
        raise NotImplementedError

    def worker(self, lab: Lab, latency_ms: int, concurrency: int) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def done(self, lab: Lab) -> int:
        """How many checks are done. Must cost nothing."""
        return int(lab.redis.get("bench:done") or 0)

    def own_reads(self) -> int:
        """Socket reads of Redis that one call of `done` causes: they are not the contestant's."""
        return 1

    def end(self) -> None:
        """Leave nothing behind."""


class Paysync(Contestant):
    """paysync as its users run it: a SQLite file with synchronous FULL, each check written before its job ends.

    One check in ten books a payment. Its log says warnings only, like the peers'.
    """

    def __init__(self, processes: int = 1) -> None:
        self.name = "paysync" if processes == 1 else f"paysync, {processes} processes"
        self._processes = processes
        self._home: Path | None = None
        self._books: sqlite3.Connection | None = None

    def settings(self, lab: Lab, latency_ms: int) -> dict[str, str]:
        bank = BANK | {"base_url": lab.bank_url(latency_ms)}
        return clean_environment(
            PAYSYNC_HOME=str(self._home), REDIS_URL=lab.redis_url, PAYSYNC_LOG_LEVEL="warning", PAYSYNC_TZ="UTC",
            PAYMENT_SYNC_INTERVAL="1d", PAYSYNC_CLEANUP_AT="off",
            **{f"PAYSYNC_BANK_STUB_{key.upper()}": value for key, value in bank.items()},
        )  # fmt: skip

    def run(self, lab: Lab, latency_ms: int, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "paysync_cli", *args], env=self.settings(lab, latency_ms), cwd=self._home,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"paysync {' '.join(args)}: exit {done.returncode}: {done.stderr[-600:]}")
        return done.stdout

    def prepare(self, lab: Lab, n: int, latency_ms: int) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="psb"))
        lines = write_csv(self._home / "qrs.csv", n)
        self.run(lab, latency_ms, "import", str(lines), "--quiet")
        self._books = sqlite3.connect(f"file:{self._home / 'paysync.db'}?mode=ro", uri=True)

    def worker(self, lab: Lab, latency_ms: int, concurrency: int) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "paysync_cli", "worker", "--concurrency", str(concurrency)]
        argv += ["--processes", str(self._processes)]
        return lab.start(argv, self.settings(lab, latency_ms), self._home, "paysync")

    def done(self, lab: Lab) -> int:  # noqa: ARG002 - its own books say it, not Redis
        return int(self.books.execute("SELECT max(id) FROM paysync_checks").fetchone()[0] or 0)

    def own_reads(self) -> int:
        return 0

    @property
    def books(self) -> sqlite3.Connection:
        if self._books is None:
            raise RuntimeError("nothing was prepared")
        return self._books

    @property
    def home(self) -> Path:
        if self._home is None:
            raise RuntimeError("nothing was prepared")
        return self._home

    def end(self) -> None:
        if self._books is not None:
            self._books.close()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
        self._books = self._home = None


def write_csv(path: Path, n: int) -> Path:
    """`n` QRs as the shop's export would be."""
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["qr_id", "amount", "currency", "account"])
        writer.writerows([f"QR{i:08d}", "120.50", "BOB", "shop"] for i in range(n))
    return path


@dataclass
class Peer(Contestant):
    """A queue engine of others, in an environment of its own: their requirements conflict."""

    name: str
    packages: Sequence[str]
    module: str
    argv: Sequence[str]

    def environment(self, lab: Lab, latency_ms: int, concurrency: int = 5, checks: int = 1) -> dict[str, str]:
        return clean_environment(
            REDIS_URL=lab.redis_url, BANK_URL=lab.bank_url(latency_ms), CONC=str(concurrency), CHECKS=str(checks),
            PYTHONPATH=str(PEERS), PEERS_NODE=str(ENV / "node"), NODE_ENV="production",
        )  # fmt: skip

    @property
    def is_node(self) -> bool:
        return self.module.endswith(".mjs")

    def program(self) -> list[str]:
        return ["node"] if self.is_node else [str(ENV / self.name / "bin/python")]

    def install(self) -> None:
        """Once; kept beside the results of earlier runs."""
        folder = ENV / ("node" if self.is_node else self.name)
        mark = folder / "installed"
        wanted = " ".join(self.packages)
        if mark.exists() and mark.read_text() == wanted:
            return
        print(f"installing {self.name}: {wanted}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        if self.is_node:
            (folder / "package.json").write_text('{"private": true}')
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund", *self.packages]
        else:
            venv.create(folder, with_pip=True)
            command = [str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", *self.packages]
        subprocess.run(command, cwd=folder, check=True)
        mark.write_text(wanted)

    def prepare(self, lab: Lab, n: int, latency_ms: int) -> None:
        lab.redis.flushall()
        done = subprocess.run(
            [*self.program(), self.module, "enqueue", "--n", str(n)], env=self.environment(lab, latency_ms),
            cwd=PEERS, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr[-600:]}")

    def worker(self, lab: Lab, latency_ms: int, concurrency: int, checks: int = 1) -> subprocess.Popen[bytes]:
        bin_ = ENV / self.name / "bin"
        argv = [part.format(bin=bin_, url=lab.redis_url, c=concurrency) for part in self.argv]
        return lab.start(argv, self.environment(lab, latency_ms, concurrency, checks), PEERS, self.name)


PEERS_KNOWN = [
    Peer("bullmq", ["bullmq@6.7.0", "ioredis@6.0.0"], "bullmq_peer.mjs", ["node", "bullmq_peer.mjs", "worker"]),
    Peer("bullmq-py", ["bullmq==3.4.4", "aiohttp==3.14.5", "hiredis==3.5.0"], "bullmqpy_peer.py",
         ["{bin}/python", "bullmqpy_peer.py", "worker"]),
    Peer("saq", ["saq[redis]==0.26.4", "aiohttp==3.14.5", "hiredis==3.5.0"], "saq_peer.py",
         ["{bin}/saq", "-q", "saq_peer.settings"]),
    Peer("taskiq", ["taskiq==0.13.0", "taskiq-redis==1.2.4", "aiohttp==3.14.5", "hiredis==3.5.0"], "taskiq_peer.py",
         ["{bin}/taskiq", "worker", "--workers", "1", "--max-async-tasks", "{c}", "--log-level", "WARNING",
          "taskiq_peer:broker"]),
    Peer("rq-pool", ["rq==2.12.0", "redis==8.1.0", "requests==2.34.2", "hiredis==3.5.0"], "rq_peer.py",
         ["{bin}/rq", "worker-pool", "-q", "-u", "{url}", "-w", "rq.SimpleWorker", "-n", "{c}", "bench"]),
]  # fmt: skip


def versions() -> dict[str, object]:
    """What was installed for whom."""
    return {peer.name: json.dumps(list(peer.packages)) for peer in PEERS_KNOWN}
