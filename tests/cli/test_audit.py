"""`paysync audit` as scripts and people meet it."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from paysync_cli.store.history import record_action
from tests.books import HOSTILE, add_qr
from tests.embedded import running_servers
from tests.home import Home, new_home


@pytest.fixture
def home() -> Iterator[Home]:
    now = datetime.now(UTC)
    with new_home() as home:
        with home.books() as store:
            row = add_qr(store, "QR1").id
            add_qr(store, "QR2")
            with store.write() as tx:
                record_action(
                    tx, at=now - timedelta(days=3), who="ana@till", action="pause", what="sim", reason="quake"
                )
                record_action(tx, at=now - timedelta(hours=3), who="eva@till", action="hold", what="sim/QR1", qr=row,
                              reason=HOSTILE, detail={"before": "planned"})  # fmt: skip
                record_action(tx, at=now, who="eva@till", action="purge", what="jobs", detail={"failed": 7})
        yield home


def actions(data: dict[str, object]) -> list[str]:
    return [item["action"] for item in data["items"]]  # type: ignore[attr-defined]


def test_the_last_first_and_whole(home: Home) -> None:
    data = home.data("audit")
    assert (actions(data), data["next"]) == (["purge", "hold", "pause"], None)
    hold = data["items"][1]
    assert hold | {"id": 0, "at": ""} == {
        "id": 0, "at": "", "who": "eva@till", "action": "hold", "object": "sim/QR1", "qr_id": "QR1", "bank": "sim",
        "reason": HOSTILE, "detail": {"before": "planned"},
    }  # fmt: skip
    assert hold["at"].endswith("+00:00")
    assert [item["bank"] for item in data["items"]] == [None, "sim", "sim"]  # what is done to a bank is the bank's


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--since", "1d"], ["purge", "hold"]),
        (["--since", "1h"], ["purge"]),
        (["--qr", "QR1"], ["hold"]),
        (["--qr", "QR2"], []),
        (["--action", "pause"], ["pause"]),
    ],
)
def test_filters(home: Home, filters: list[str], expected: list[str]) -> None:
    assert actions(home.data("audit", *filters)) == expected


def test_pages_and_rows(home: Home) -> None:
    seen: list[str] = []
    words = ["audit", "--since", "9d", "--limit", "1", "--jsonl"]
    while words:
        ended = home.run(*words)
        seen += [json.loads(line)["action"] for line in ended.out.splitlines()]
        words = [*shlex.split(ended.err.removeprefix("more: paysync ")), "--jsonl"] if ended.err else []
    assert seen == ["purge", "hold", "pause"]
    assert [row["who"] for row in csv.DictReader(io.StringIO(home.run("audit", "--csv").out))][2] == "ana@till"
    shown = home.run("audit")
    assert "\x1b" not in shown.out
    assert "failed: 7" in shown.out


def test_nothing_was_done_or_nothing_is_meant(home: Home) -> None:
    assert home.run("audit", "--action", "unlock").out == "No action is recorded like this.\n"
    with new_home() as empty:
        with empty.books():
            pass
        assert empty.run("audit").out == "No action is recorded yet.\n"
        assert empty.run("movements").out == "Nothing is booked yet.\n"


def test_errors_and_no_redis(home: Home) -> None:
    assert home.json("audit", "--qr", "NOBODY", status=4)["errors"][0]["code"] == "no_qr"
    for words in (["--since", "0"], ["--bank", "sim"], ["--after", "x"]):
        assert home.json("audit", *words, status=2)["status"] == "error"
    assert home.run("audit", REDIS_URL="redis://127.0.0.1:1/0").status == 0
    assert running_servers(home.folder) == []
    with new_home() as empty:
        assert empty.json("audit", status=4)["errors"][0]["code"] == "no_database"
