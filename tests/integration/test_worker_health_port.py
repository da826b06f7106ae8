"""`paysync worker --health-port`: the probes of the worker processes, by real ones."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from paysync_cli.queue import stamp
from paysync_cli.services.doctor.finding import Level
from paysync_cli.web.health import of_stamps
from tests.served import HTTP
from tests.shop import Shop, shop


def address(town: Shop) -> str:
    """Where the probes are answered, by the log."""
    found = town.until(lambda: [one["url"] for one in town.logs() if one["event"] == "health_port"])
    return str(found[0])


def get(url: str) -> httpx.Response:
    return HTTP.get(url)


def test_a_worker_answers_for_itself() -> None:
    with shop() as town:
        town.start("worker", "--health-port", "0", "--concurrency", "1")
        url = address(town)
        town.until(lambda: get(f"{url}/ready").status_code == 200)
        live = get(f"{url}/live").json()["data"]
        assert [(one["code"], one["level"]) for one in live["findings"]] == [("stamp", "ok")]
        assert "paysync_build_info" in get(f"{url}/metrics").text
        # A bank that hangs: the one slot is taken, and what is due waits. The loop itself goes on beating.
        town.bank.load({"fault": [{"kind": "hang", "on": "status"}]})
        town.register("A", "B")
        town.until(lambda: get(f"{url}/consuming?max_idle=300ms").status_code == 503, pause_s=0.2)
        assert get(f"{url}/ready").status_code == 200
        assert get(f"{url}/live").status_code == 200


def test_a_parent_answers_for_all_its_processes() -> None:
    with shop() as town:
        parent = town.start("worker", "--processes", "2", "--health-port", "0")
        url = address(town)

        def stamped() -> set[str]:
            found = get(f"{url}/live").json()["data"]["findings"]
            return {one["text"] for one in found if one["code"] == "stamp"}

        town.until(lambda: len(stamped()) == 2)
        pids = {int(found[1]) for text in stamped() if (found := re.search(r"pid (\d+)", text))}
        assert parent.pid not in pids
        assert len(pids) == 2
        town.until(lambda: get(f"{url}/ready").json()["data"]["workers"] == 2)
        town.register(*(f"QR{n}" for n in range(20)))
        town.until(lambda: checks(get(f"{url}/metrics").text) == 20)
        assert town.stop(parent) == 0


def checks(page: str) -> float:
    """What all processes together have counted."""
    found = re.findall(r"^paysync_checks_total\{[^}]*\} ([0-9.e+]+)$", page, re.MULTILINE)
    return sum(map(float, found))


def test_a_port_that_cannot_be_had_ends_the_worker_with_a_sentence() -> None:
    with shop() as town, socket.create_server(("127.0.0.1", 0)) as taken:
        ended = town.run("worker", "--health-port", str(taken.getsockname()[1]), "--json")
        assert (ended.status, json.loads(ended.out)["errors"][0]["code"]) == (69, "cannot_listen")


def looked(home: Path, started: Callable[[], dict[int, float]]) -> list[tuple[str, Level]]:
    return [(one.code, one.level) for one in of_stamps(home, started)()]


def test_liveness_is_judged_by_the_loops_own_sign(tmp_path: Path) -> None:
    pid, now = os.getpid(), time.monotonic()
    long_ago: Any = {pid: now - 2 * stamp.SILENT_S}
    assert looked(tmp_path, lambda: {pid: now}) == [("starting", Level.OK)]
    assert looked(tmp_path, lambda: long_ago) == [("no_stamp", Level.FAULT)]
    mine = stamp.Stamp(tmp_path, "worker-1")
    try:
        mine.touch()
        assert looked(tmp_path, lambda: long_ago) == [("stamp", Level.OK)]
        assert looked(tmp_path, dict) == []
        (path,) = (tmp_path / stamp.FOLDER).glob("*.json")
        os.utime(path, (time.time() - 2 * stamp.SILENT_S,) * 2)
        assert looked(tmp_path, lambda: long_ago) == [("stamp_old", Level.FAULT)]
    finally:
        mine.remove()
