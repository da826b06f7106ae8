"""What a TAB press asks: `paysync _complete banks|qrs PREFIX WORD...`. Short, bounded, and silent about everything."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paysync_cli.cli.completing import LIMIT, PATIENCE_S
from paysync_cli.store import qr_ids
from paysync_cli.store.database import Database
from tests.books import add_qr, new_database
from tests.postgres import private_postgres
from tests.process import TIMEOUT_S, Ended, clean_environment, run_paysync

BANKS = {
    f"PAYSYNC_BANK_{name}_{key}": value
    for name in ("SIM", "SOL", "OTHER")
    for key, value in {"ADAPTER": "baneco", "BASE_URL": "http://127.0.0.1:9"}.items()
}
HEAVY = {"typer", "rich", "sqlalchemy", "redis", "rq", "httpx", "alembic", "pydantic", "psycopg"}


def ask(folder: Path, *words: str, **env: str) -> list[str]:
    ended = run_paysync("_complete", *words, env={"PAYSYNC_HOME": str(folder)} | env, cwd=folder)
    assert (ended.status, ended.err) == (0, ""), ended
    return ended.out.splitlines()


def filled(folder: Path, *ids: str, bank: str = "sim") -> None:
    store = new_database(folder)
    for qr_id in ids:
        add_qr(store, qr_id, bank=bank)
    store.close()


def test_names_that_begin_so(tmp_path: Path) -> None:
    filled(tmp_path, "QR1", "QR2", "qr3", "QRé", "100%", "-rf", "Q\u202eR", "QR 4")
    assert ask(tmp_path, "qrs", "QR") == ["QR1", "QR2", "QRé"]
    assert ask(tmp_path, "qrs", "100%") == ["100%"]
    assert ask(tmp_path, "qrs", "_") == []
    assert ask(tmp_path, "qrs", "") == ["100%", "QR1", "QR2", "QRé", "qr3"]
    assert ask(tmp_path, "qrs", "", "show", "--")[0] == "-rf"  # before that it would be taken for an option
    assert ask(tmp_path, "banks", "s", **BANKS) == ["sim", "sol"]


def test_the_words_before_say_which(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    filled(here, "QR1")
    filled(there, "QR2")
    (tmp_path / "other.toml").write_text(f'home = "{there}"\n')
    config = str(tmp_path / "other.toml")
    (here / "paysync.toml").write_text(f'home = "{here}"\n')
    assert ask(here, "qrs", "", PAYSYNC_HOME="") == ["QR1"]
    assert ask(here, "qrs", "", "--config", config, "show", PAYSYNC_HOME="") == ["QR2"]
    assert ask(here, "qrs", "", "show", f"--config={config}", PAYSYNC_HOME="") == ["QR2"]
    assert ask(here, "qrs", "", "show", "--", "--config", config, PAYSYNC_HOME="") == ["QR1"]
    assert ask(here, "qrs", "", "show", "--bank", "sim") == ["QR1"]
    assert ask(here, "qrs", "", "show", "--bank=sol") == []


def test_many_are_cut_and_never_mislead(tmp_path: Path) -> None:
    """What all offers have in common is what all ids have in common: a shell inserts it."""
    ids = [f"{letter}1{n:03}" for letter in ("A", "AA", "B") for n in range(LIMIT + 3)]
    filled(tmp_path, *ids)
    for prefix in ("", "A", "A1"):
        meant = [qr_id for qr_id in ids if qr_id.startswith(prefix)]
        offered = ask(tmp_path, "qrs", prefix)
        assert set(offered) <= set(meant)
        assert LIMIT <= len(offered) <= LIMIT + 2
        assert {min(meant), max(meant)} <= set(offered)
        assert prefix or set(ids[-LIMIT:]) <= set(offered)


def test_nothing_is_made_and_nothing_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    before = sorted(tmp_path.rglob("*"))
    assert ask(tmp_path, "qrs", "", PAYSYNC_HOME=str(home)) == []
    home.mkdir()
    (home / "paysync.db").write_bytes(b"this is no database" * 100)
    assert ask(tmp_path, "qrs", "", PAYSYNC_HOME=str(home)) == []
    (home / "paysync.db").write_bytes(b"")
    assert ask(tmp_path, "qrs", "", PAYSYNC_HOME=str(home)) == []
    assert ask(tmp_path, "qrs") == ask(tmp_path, "nonsense", "") == ask(tmp_path) == []
    assert ask(tmp_path, "qrs", "", PAYSYNC_CONCURRENCY="many") == []
    assert ask(tmp_path, "banks", "", PAYSYNC_CONCURRENCY="many", **BANKS) == ["other", "sim", "sol"]
    assert sorted(tmp_path.rglob("*")) == sorted([*before, home, home / "paysync.db"])


def test_a_database_in_use_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path, "QR1")
    with contextlib.closing(sqlite3.connect(tmp_path / "paysync.db")) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        there = sorted(tmp_path.iterdir())
        assert ask(tmp_path, "qrs", "Q") == ["QR1"]
        other.execute("UPDATE paysync_qrs SET qr_id = 'QR2'")
        other.commit()
        assert ask(tmp_path, "qrs", "Q") == ["QR2"]
        assert sorted(tmp_path.iterdir()) == there
    assert ask(tmp_path, "qrs", "Q") == ["QR2"]
    assert [path.name for path in tmp_path.iterdir()] == ["paysync.db"]


@pytest.fixture
def deaf_server() -> Iterator[str]:
    """An address where nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://user:secret@127.0.0.1:{server.getsockname()[1]}/shop"


def test_a_database_that_is_away_costs_a_moment(tmp_path: Path, deaf_server: str) -> None:
    started = time.monotonic()
    assert ask(tmp_path, "qrs", "", DATABASE_URL=deaf_server) == []
    assert time.monotonic() - started < PATIENCE_S + 5  # it would wait for ever
    assert ask(tmp_path, "qrs", "", DATABASE_URL="postgresql://user:secret@127.0.0.1:1/shop") == []


def test_postgresql_is_asked_alike(tmp_path: Path) -> None:
    with private_postgres() as url:
        store = Database(url.replace("postgresql://", "postgresql+psycopg://", 1))
        store.upgrade()
        for qr_id in ("QR1", "QR2", "qr3"):
            add_qr(store, qr_id)
        store.close()
        assert ask(tmp_path, "qrs", "QR", DATABASE_URL=url) == ["QR1", "QR2"]
        assert ask(tmp_path, "qrs", "", DATABASE_URL=url) == ["QR1", "QR2", "qr3"]
        assert ask(tmp_path, "qrs", "Q", "--bank", "nobody", DATABASE_URL=url) == []


def test_several_hosts_as_libpq_reads_them() -> None:
    ours = "postgresql+psycopg://user:a%40b@/shop?host=one:5432&host=two:5433&sslmode=require"
    assert qr_ids.libpq_url(ours) == "postgresql://user:a%40b@one:5432,two:5433/shop?sslmode=require"
    socket_url = "postgresql+psycopg://user@/shop?host=%2Frun%2Fpg"
    assert qr_ids.libpq_url(socket_url) == "postgresql://user@/shop?host=%2Frun%2Fpg"


def test_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    filled(tmp_path, "QR1")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "paysync_cli", "_complete", "qrs", ""],
        capture_output=True, text=True, env=clean_environment(tmp_path, {"PAYSYNC_HOME": str(tmp_path)}),
        cwd=tmp_path, timeout=TIMEOUT_S, check=True,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert done.stdout == "QR1\n"
    assert "sqlite3" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_the_committed_one(tmp_path: Path, shell: str) -> None:
    from paysync_cli.cli.completion import FILES, FOLDERS

    committed = (FOLDERS[1] / FILES[shell]).read_text()
    ended = run_paysync("completion", shell, cwd=tmp_path)
    assert ended == Ended(0, committed, "")
