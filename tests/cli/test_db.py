"""`paysync db` as people and deployment scripts meet it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from tests.home import Home, new_home
from tests.postgres import private_postgres


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        yield home


def test_a_missing_database_has_no_schema_to_tell(home: Home) -> None:
    assert home.json("db", "current", status=4)["errors"][0]["code"] == "no_database"
    assert list(home.folder.iterdir()) == []


def test_upgrade_makes_a_missing_sqlite_database_without_asking(home: Home) -> None:
    made = home.data("db", "upgrade")
    path = str(home.folder / "paysync.db")
    head = made["head"]
    assert made == {"version": head, "head": head, "up_to_date": True, "before": None, "database": path}
    again = home.data("db", "upgrade")
    assert (again["before"], again["version"]) == (head, head)
    assert home.data("db", "current") == again
    assert home.data("list")["items"] == []


def test_an_empty_file_is_not_up_to_date(home: Home) -> None:
    (home.folder / "paysync.db").touch()
    found = home.data("db", "current")
    assert (found["version"], found["up_to_date"]) == (None, False)
    assert "run `paysync db upgrade`" in home.run("db", "current").out


def test_a_newer_schema_is_told_and_never_touched(home: Home) -> None:
    with home.books() as store:
        path = store.where
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE paysync_alembic SET version_num = '9999'")
    connection.close()
    assert home.data("db", "current")["up_to_date"] is False
    assert "written by a newer paysync" in home.run("db", "current").out
    assert home.json("db", "upgrade", status=2)["errors"][0]["code"] == "schema_unknown"


def test_read_only_refuses_to_upgrade(home: Home) -> None:
    assert home.json("db", "upgrade", status=5, PAYSYNC_READ_ONLY="1")["errors"][0]["code"] == "read_only"
    assert list(home.folder.iterdir()) == []


def test_a_file_that_is_no_database_is_one_sentence(home: Home) -> None:
    (home.folder / "paysync.db").write_text("not a database, but long enough to be looked at as one" * 9)
    for words in (("db", "current"), ("db", "upgrade"), ("stats",)):
        ended = home.run(*words)
        assert ended.status == 69, ended.err
        assert "Traceback" not in ended.err


def test_postgresql_names_itself_and_asks(home: Home) -> None:
    with private_postgres() as url:
        at = {"DATABASE_URL": url}
        assert home.data("db", "current", **at)["version"] is None
        refused = home.json("db", "upgrade", status=5, **at)
        assert "Upgrade the schema of database postgres on /tmp/pg" in refused["errors"][0]["message"]
        declined = home.on_terminal("db", "upgrade", typed="n\n", **at)
        assert declined.status == 5
        assert home.data("db", "current", **at)["version"] is None
        assert home.json("stats", status=2, **at)["errors"][0]["code"] == "schema_old"
        agreed = home.on_terminal("db", "upgrade", typed="y\n", **at)
        assert agreed.status == 0, agreed.out
        assert home.data("db", "current", **at)["up_to_date"]
        assert home.data("db", "upgrade", **at)["before"] == home.data("db", "upgrade", "--yes", **at)["version"]
        assert home.data("stats", **at)["jobs"]["waiting"] == 0
        assert home.data("cleanup", "--dry-run", **at)["checks"] == {"matched": 0, "removed": 0}
