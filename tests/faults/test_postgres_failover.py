"""The PostgreSQL that takes writes dies while groups are written, and its standby is promoted."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.faults.test_postgres_town import postgres_town, stopped, told

psycopg = pytest.importorskip("psycopg")
IDS = [f"QR{n}" for n in range(80)]
PAID = [{"id": one, "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for one in IDS]


class Standby:
    """A synchronous copy of a private server, in a folder of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        first = Path(unquote(url.partition("?host=")[2]))
        self._as = ["runuser", "-u", first.owner(), "--"] if first.owner() != "root" else []
        self.folder, self._data = folder, folder / "data"
        folder.chmod(0o755)
        if self._as:
            subprocess.run(["chown", first.owner(), str(folder)], check=True)
        name = ["-d", f"host={first} user=paysync application_name=second"]
        self._do("pg_basebackup", *name, "-D", str(self._data), "-R", "-X", "stream", "-c", "fast", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        self._control("-l", str(folder / "log"), "-w", "-o", options, "start")

    def promote(self) -> None:
        self._control("-w", "promote")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    def _control(self, *words: str) -> None:
        self._do("pg_ctl", "-D", str(self._data), *words)

    def _do(self, *words: str) -> None:
        done = subprocess.run([*self._as, *words], capture_output=True, text=True, cwd="/", timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def standby_of(url: str) -> Iterator[Standby]:
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        made = Standby(url, Path(folder))
        try:
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                admin.execute("SELECT pg_reload_conf()")
            yield made
        finally:
            made.stop()


def test_the_standby_takes_over_in_the_middle_of_the_work() -> None:
    slow = {"kind": "slow", "on": "status", "delay_ms": 150}
    with postgres_town({"qr": PAID, "fault": [slow]}) as town:
        first = town.env["DATABASE_URL"]
        with standby_of(first) as second:
            town.env["DATABASE_URL"] = f"{first},{second.folder}&target_session_attrs=read-write"
            worker = town.start("worker", "--concurrency", "4")
            town.register(*IDS[:60])
            town.until(lambda: len(town.status_calls()) >= 12)
            with stopped(first):
                town.until(lambda: any("database" in line["message"] for line in told_warnings(town.logs())))
                second.promote()  # only now: a fail-over that no statement meets would have nothing to tell
                town.until_final(IDS[:60])
                town.register(*IDS[60:])
                town.until_final(IDS)
                assert town.books() == town.bank_says() == {"BOB": 80 * 1010}
                assert not told(town, "check_given_up")
                assert town.stop(worker) == 0


def told_warnings(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    return [line for line in lines if line["level"] == "warning"]
