"""Every command in every world and surrounding: with --json exactly one document on standard output, nothing else.

The table is held against the command tree: a new command without a row is a red test.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from inspect import signature
from itertools import product
from typing import Any

import pytest
import redis

from docs.generate.json_page import misfits
from paysync_cli.cli import command as declared
from paysync_cli.cli import commands, main
from tests.books import HOSTILE, add_check, add_qr, book, dump, everything, new_database, open_review, spend
from tests.forked import run_forked
from tests.process import Ended
from tests.shop import Shop, shop

WORLDS = ("empty", "one", "many", "error")
MANY = 60
Surrounding = tuple[str, Mapping[str, str], bool]  # in words, what the environment has, on a terminal
SURROUNDINGS: tuple[Surrounding, ...] = (
    ("pipe", {}, False),
    ("narrow and coloured pipe", {"COLUMNS": "20", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, False),
    ("terminal", {"TERM": "xterm-256color"}, True),
    ("narrow and coloured terminal", {"TERM": "xterm-256color", "COLUMNS": "20", "FORCE_COLOR": "1"}, True),
)


@dataclass(frozen=True)
class Row:
    """One command line: how it ends in each world. `error` is another line, else the same with no database there."""

    words: str
    empty: int | None = 0
    one: int | None = 0
    many: int | None = 0
    error: str | None = None
    fails: int = 4

    def status(self, world: str) -> int | None:
        return {"empty": self.empty, "one": self.one, "many": self.many, "error": self.fails}[world]


# None: the command does not end by itself there; its own tests see to it.
ROWS = {
    "demo": Row("demo", None, None, None, error="demo extra", fails=2),
    "config show": Row("config show", error="config show --config nothing.toml", fails=2),
    "config check": Row("config check", error="config check --config nothing.toml", fails=2),
    "config init": Row("config init new.toml", error="config init /nonexistent/new.toml", fails=2),
    "doctor": Row("doctor", 6, 6, 6, fails=4),
    "enqueue": Row("enqueue NEW --amount 10", error="enqueue NEW --amount x", fails=2),
    "import": Row("import qrs.csv", error="import nothing.csv", fails=4),
    "list": Row("list"),
    "find": Row("find QR"),
    "show": Row("show QR0", empty=4),
    "explain": Row("explain QR0", empty=4),
    "check": Row("check QR0", empty=4),
    "wait": Row("wait QR0 --timeout 200ms", 4, 124, 124),
    "hold": Row("hold QR0 --reason disputed", empty=4),
    "release": Row("release QR0", empty=4),
    "worker": Row("worker --burst", error="worker --burst --concurrency 0", fails=2),
    "dispatch": Row("dispatch --once"),
    "workers": Row("workers"),
    "worker-stop": Row("worker-stop nobody", 4, 4, 4),
    "serve": Row("serve", None, None, None, error="serve --port 99999999", fails=2),
    "pause": Row("pause sim --for 1h"),
    "resume": Row("resume sim"),
    "bank list": Row("bank list"),
    "bank show": Row("bank show sim"),
    "bank test": Row("bank test sim"),
    "bank unlock": Row("bank unlock sim --reason mended"),
    "bank limit": Row("bank limit sim --rate 1000/s"),
    "bank simulate": Row("bank simulate", None, None, None, error="bank simulate --port 99999999", fails=2),
    "redis status": Row("redis status", error="redis status --nonsense", fails=2),
    "redis start": Row("redis start", error="redis start --config nothing.toml", fails=2),
    "redis stop": Row("redis stop --nonsense", 2, 2, 2, error="redis stop extra", fails=2),
    "redis url": Row("redis url"),
    "stats": Row("stats"),
    "top": Row("top", 2, 2, 2, fails=2),
    "health": Row("health", 6, 6, 6, fails=4),
    "audit": Row("audit"),
    "alert test": Row("alert test", 2, 2, 2, fails=2),
    "alert list": Row("alert list"),
    "movements": Row("movements"),
    "accounts": Row("accounts"),
    "sweep": Row("sweep"),
    "reconcile": Row("reconcile"),
    "review list": Row("review list"),
    "review show": Row("review show 1", empty=4),
    "review resolve": Row("review resolve 1 --as keep --reason seen", empty=4),
    "failed": Row("failed"),
    "retry": Row("retry --all --yes"),
    "purge": Row("purge --all"),
    "cleanup": Row("cleanup"),
    "db current": Row("db current"),
    "db upgrade": Row("db upgrade", error="db upgrade extra", fails=2),
    "completion": Row("completion bash", error="completion tcsh", fails=2),
}  # fmt: skip


def leaves() -> list[str]:
    """Every command of the tree by its whole name."""
    tree = main.command_tree()
    context = tree.make_context("paysync", [], resilient_parsing=True)
    found = []
    for name in commands.names():
        one = tree.get_command(context, name)
        members = one.list_commands(context) if hasattr(one, "list_commands") else []
        found += [f"{name} {member}" for member in members] if members else [name]
    return found


ALL = leaves()
LEAVES = [name for name in ALL if name in ROWS]


def test_every_command_has_its_row() -> None:
    assert set(ALL) == set(LEAVES), "a new command needs a row in ROWS"
    assert {name.split()[0] for name in ROWS} <= {name for _title, names in commands.SECTIONS for name in names}


# -- the worlds


@pytest.fixture(scope="module")
def worlds() -> Iterator[dict[str, Shop]]:
    """Three installations with their own Redis and bank, and one that has nothing."""
    with shop() as empty, shop() as one, shop() as many, shop() as error:
        for place, count in ((empty, 0), (one, 1), (many, MANY)):
            fill_world(place, count)
        yield {"empty": empty, "one": one, "many": many, "error": error}


def fill_world(place: Shop, count: int) -> None:
    """QRs with a check, money and a review each, and spent jobs; Redis stays on."""
    now = datetime.now(UTC)
    (place.home / "qrs.csv").write_text("qr_id,amount\n" + "".join(f"I{n},10\n" for n in range(count)))
    store = new_database(place.home)
    for n in range(count):
        qr = add_qr(store, f"QR{n}", at=now + timedelta(days=1), seq=2)
        add_check(store, qr, at=now, outcome="unavailable", error=HOSTILE)
        book(store, qr, 1, transaction=f"t{n}", payer=HOSTILE)
        open_review(store, qr, note=HOSTILE)
    store.close()
    with place.runtime() as runtime:
        runtime.embedded.start()
        runtime.refuse_foreign_redis()
        with redis.Redis.from_url(runtime.embedded.attach().url(reveal=True)) as client:
            for seq, kind in enumerate(("finished", "failed")):
                spend(client, kind, "payment-sync-low", [(f"sync-{n + 1}-{seq}", 9e9 + n) for n in range(count)])


def run(worlds: Mapping[str, Shop], world: str, row: Row, form: str, surrounding: Surrounding) -> Ended:
    _words, env, terminal = surrounding
    line = row.error if world == "error" and row.error else row.words
    place = worlds["empty" if world == "error" and row.error else world]
    (place.home / "new.toml").unlink(missing_ok=True)
    return run_forked(*line.split(), form, env=place.env | dict(env), cwd=place.home, terminal=terminal)


# -- what holds for all of them


@pytest.mark.parametrize("name", LEAVES)
def test_json_is_one_document_and_nothing_else(worlds: dict[str, Shop], name: str) -> None:
    row = ROWS[name]
    for world, surrounding in product(WORLDS, SURROUNDINGS):
        if row.status(world) is None:
            continue
        ended = run(worlds, world, row, "--json", surrounding)
        seen = (name, world, surrounding[0], ended)
        assert ended.status == row.status(world), seen
        document = _one_document(ended.out, seen)
        assert document["command"] == name, seen
        assert (document["status"] == "ok") == (ended.status == 0), seen
        assert bool(document["errors"]) == (ended.status != 0), seen
        assert '"schema"' not in ended.err, seen
        assert document["data"] is None or misfits(name, document["data"]) == [], seen  # docs/json.md lists it


@pytest.mark.parametrize("name", [name for name in LEAVES if declared.COMMANDS[name].rows])
def test_rows_are_rows_and_nothing_else(worlds: dict[str, Shop], name: str) -> None:
    row = ROWS[name]
    for world, surrounding in product(WORLDS, SURROUNDINGS):
        lines = run(worlds, world, row, "--jsonl", surrounding)
        table = run(worlds, world, row, "--csv", surrounding)
        seen = (name, world, surrounding[0], lines, table)
        assert lines.status == table.status == row.status(world), seen
        assert "\x1b" not in table.out + lines.out, seen
        rows = [json.loads(text) for text in lines.out.splitlines()]
        records = list(csv.reader(io.StringIO(table.out)))
        if row.status(world) in (2, 4):
            assert (rows, records) == ([], []), seen
        else:
            assert all(isinstance(one, dict) for one in rows), seen
            assert len(records) == 1 + len(rows), seen
            assert {len(record) for record in records} == {len(records[0])}, seen


# -- what changes and what does not


READ_ONLY = {"PAYSYNC_READ_ONLY": "1"}


def lives(world: Shop) -> tuple[list[str], dict[bytes, bytes]]:
    """Everything that is in the books and in Redis."""
    with world.runtime() as runtime, redis.Redis.from_url(runtime.embedded.attach().url(reveal=True)) as client:
        return dump(runtime.store), everything(client)


@pytest.mark.parametrize("name", [name for name in LEAVES if declared.COMMANDS[name].changes])
def test_read_only_refuses_the_deed_and_allows_its_dry_run(worlds: dict[str, Shop], name: str) -> None:
    many, line = worlds["many"], {"reconcile": "reconcile --fix", "serve": "serve --notify"}.get(name, ROWS[name].words)
    if "--nonsense" in line:
        line = line.replace("--nonsense", "--yes")
    before = lives(many)
    ended = run_forked(*line.split(), "--json", env=many.env | READ_ONLY, cwd=many.home)
    assert ended.status == 5, ended
    (error,) = _one_document(ended.out, ended)["errors"]
    assert error["code"] == "read_only"
    assert f"paysync {name}" in error["message"]
    assert lives(many) == before
    if "dry_run" in signature(declared.COMMANDS[name].body).parameters:
        ended = run_forked(*line.split(), "--dry-run", "--json", env=many.env | READ_ONLY, cwd=many.home)
        assert (ended.status, _one_document(ended.out, ended)["status"]) == (0, "ok"), ended
        assert lives(many) == before


# These ask the bank: they keep the login's token for the next one.
LOG_IN = ("bank test", "reconcile")
LOOK = [name for name in LEAVES if declared.COMMANDS[name].changes is not True and ROWS[name].many is not None]


@pytest.mark.parametrize("name", [name for name in LOOK if name not in LOG_IN])
def test_what_only_looks_changes_not_a_byte(worlds: dict[str, Shop], name: str) -> None:
    row, many = ROWS[name], worlds["many"]
    words = f"{row.words} --dry-run" if name in ("purge", "cleanup") else row.words
    before = lives(many)
    (many.home / "new.toml").unlink(missing_ok=True)
    assert run_forked(*words.split(), "-v", env=many.env, cwd=many.home).status == row.many
    assert lives(many) == before


def _one_document(out: str, seen: object) -> dict[str, Any]:
    assert out.isascii(), seen
    assert "\x1b" not in out, seen
    assert out.endswith("}\n"), seen
    document = json.loads(out)
    assert list(document) == ["schema", "command", "status", "data", "errors"], seen
    assert document["schema"] == 1, seen
    assert document["status"] in ("ok", "partial", "error"), seen
    for error in document["errors"]:
        assert list(error) == ["code", "message", "hint"], seen
        assert error["code"].replace("_", "").isalnum(), seen
        assert error["message"], seen
    return document
