"""Databases for the tests of recording: the same tests on SQLite and, where there is a server, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paysync_cli.store.database import Database
from tests.books import new_database
from tests.postgres import private_postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with private_postgres() as url:
        yield url.replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Database]:
    store = new_database(tmp_path)
    yield store
    store.close()


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[Database]:
    """An empty schema, brought up to date."""
    store = Database(postgres_url)
    with store.write() as tx:
        tx.exec_driver_sql("DROP SCHEMA public CASCADE")
        tx.exec_driver_sql("CREATE SCHEMA public")
    store.upgrade()
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def any_store(request: pytest.FixtureRequest) -> Database:
    store: Database = request.getfixturevalue(f"{request.param}_store")
    return store
