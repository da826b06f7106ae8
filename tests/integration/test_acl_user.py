"""Everything under a Redis user that may not KEYS, FLUSH*, CONFIG or anything @dangerous, on our own keys alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import redis

from paysync_cli.payments.status import Status
from tests.contract.test_every_document import LEAVES, MANY, ROWS, fill_world
from tests.embedded import Plain
from tests.forked import run_forked
from tests.shop import Shop, shop

RULES = ("reset", "on", ">limited", "~rq:*", "~paysync:*", "resetchannels", "&rq:*", "&paysync:*", "+@all",
         "-@dangerous", "-keys", "-flushall", "-flushdb", "-config")  # fmt: skip
# The embedded server's own commands have nothing to do with a Redis that REDIS_URL names.
HERE = [name for name in LEAVES if ROWS[name].many is not None and not name.startswith("redis ")]


@pytest.fixture(scope="module")
def town() -> Iterator[Shop]:
    """A full installation whose every command is the limited user."""
    with shop() as town:
        fill_world(town, MANY)
        with town.runtime() as runtime:
            endpoint = runtime.embedded.attach()
            with Plain(endpoint) as admin:
                admin.call("ACL", "SETUSER", "limited", *RULES)
            assert endpoint.socket is not None
            town.env["REDIS_URL"] = f"unix://limited:limited@{quote(endpoint.socket)}?db=0"
            yield town
            del town.env["REDIS_URL"]


def test_the_user_is_limited_indeed(town: Shop) -> None:
    with redis.Redis.from_url(town.env["REDIS_URL"]) as client:
        for words in (("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "maxmemory"), ("INFO",), ("GET", "elsewhere")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*words)


@pytest.mark.parametrize("name", HERE)
def test_every_command_works_as_ever(town: Shop, name: str) -> None:
    (town.home / "new.toml").unlink(missing_ok=True)
    ended = run_forked(*ROWS[name].words.split(), "--json", env=town.env, cwd=town.home)
    assert ended.status == ROWS[name].many, ended
    found = json.loads(ended.out)
    assert "redis_unavailable" not in [error["code"] for error in found["errors"]], found["errors"]
    assert "NOPERM" not in ended.out + ended.err


def test_a_check_goes_all_the_way(town: Shop) -> None:
    town.register("PAID")
    town.bank.pay("PAID", "10.10")
    ended = run_forked("worker", "--burst", "--json", env=town.env, cwd=town.home)
    assert ended.status == 0, ended
    assert town.qr("PAID").status is Status.COMPLETED
    assert "NOPERM" not in ended.err


def test_what_it_may_not_see_is_said_and_not_guessed(town: Shop) -> None:
    stats = run_forked("stats", "--json", env=town.env, cwd=town.home)
    data = json.loads(stats.out)["data"]
    assert data["redis"] is None
    assert data["jobs"]["failed"] >= 0
    shown = run_forked("stats", env=town.env, cwd=town.home).out
    assert "its figures are not for this user" in shown
    doctor = run_forked("doctor", "--json", env=town.env, cwd=town.home)
    (unseen,) = [one for one in json.loads(doctor.out)["data"]["findings"] if one["code"] == "not_seen"]
    assert "INFO" in unseen["text"].upper()
    assert "CONFIG" in unseen["text"].upper()
