"""A PAYSYNC_HOME for tests of one command: filled directly, then asked through real processes."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.embedded import EmbeddedRedis
from paysync_cli.store.database import Database
from paysync_cli.store.history import read_meta
from tests.books import link, new_database
from tests.embedded import temporary_home
from tests.process import Ended, run_on_terminal, run_paysync

NARROW = {"COLUMNS": "20", "FORCE_COLOR": "1"}


@dataclass(frozen=True)
class Home:
    """The folder, and paysync on it."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return {"PAYSYNC_HOME": str(self.folder)}

    def run(self, *args: str, **env: str) -> Ended:
        return run_paysync(*args, env=self.env | env, cwd=self.folder)

    def on_terminal(self, *args: str, columns: int = 80, typed: str = "", **env: str) -> Ended:
        return run_on_terminal(*args, env=self.env | env, cwd=self.folder, columns=columns, typed=typed)

    def json(self, *args: str, status: int = 0, **env: str) -> Any:
        """The document of `paysync ARGS --json`, on a narrow page that wants colour, with this exit status."""
        ended = self.run(*args, "--json", **NARROW, **env)
        assert ended.status == status, (ended.status, ended.out, ended.err)
        return one_document(ended.out)

    def data(self, *args: str, **env: str) -> Any:
        found = self.json(*args, **env)
        assert (found["status"], found["errors"]) == ("ok", [])
        return found["data"]

    @contextlib.contextmanager
    def books(self) -> Iterator[Database]:
        """The database, made if need be."""
        store = new_database(self.folder)
        try:
            yield store
        finally:
            store.close()

    @contextlib.contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        """The embedded server, running as long as this lasts."""
        server = EmbeddedRedis(self.folder / "redis")
        endpoint = server.attach()
        try:
            with redis.Redis.from_url(endpoint.url(reveal=True)) as client:
                yield client
        finally:
            server.leave()

    @contextlib.contextmanager
    def queue(self) -> Iterator[QueueClient]:
        """Our client on the running server."""
        server = EmbeddedRedis(self.folder / "redis")
        client = QueueClient(link(server.attach().url(reveal=True)))
        try:
            yield client
        finally:
            client.close()
            server.leave()


@contextlib.contextmanager
def new_home() -> Iterator[Home]:
    """An empty home. At the end no server may be left in it."""
    with temporary_home() as folder:
        yield Home(folder)


def one_document(out: str) -> Any:
    """The document, which is all there is, in the shape that every command promises."""
    assert "\x1b" not in out
    found = json.loads(out)
    assert set(found) == {"schema", "command", "status", "data", "errors"}
    assert found["schema"] == 1
    return found


def lines_seen(out: str) -> list[str]:
    """The lines of a terminal as the eye sees them, without the sequences that style them."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out).splitlines()


def database_id(store: Database) -> str:
    with store.read() as tx:
        found = read_meta(tx, "database_id")
    assert found is not None
    return found
