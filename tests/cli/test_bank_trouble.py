"""A bank that cannot be asked: each command names it, its host and what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.home import one_document
from tests.shop import Shop, shop

ASKING = ("check QR1", "sweep", "reconcile", "bank test sim")


@pytest.fixture(scope="module")
def town() -> Iterator[Shop]:
    with shop() as town:
        town.register("QR1")
        yield town


@pytest.mark.parametrize("line", ASKING)
def test_a_bank_that_is_down(town: Shop, line: str) -> None:
    away = {"PAYSYNC_BANK_SIM_BASE_URL": "http://127.0.0.1:9/api"}
    ended = town.run(*line.split(), "--json", env=away)
    (error,) = one_document(ended.out)["errors"]
    assert (ended.status, error["code"]) == (69, "bank_unavailable")
    assert "connection refused" in error["message"]
    assert "127.0.0.1:9" in error["hint"]
    assert "paysync bank test sim" in error["hint"]
    spoken = town.run(*line.split(), env=away).err
    assert [text for text in spoken.splitlines() if text.startswith("error: ")] == [f"error: {error['message']}"]
    assert error["hint"] in spoken


def test_a_refused_credential(town: Shop) -> None:
    ended = town.run("bank", "test", "sim", "--json", env={"PAYSYNC_BANK_SIM_PASSWORD": "an old one"})
    (error,) = one_document(ended.out)["errors"]
    assert (ended.status, error["code"]) == (6, "bank_refused")
    assert town.bank.url.partition("://")[2].rstrip("/") in error["hint"]
    assert "paysync bank unlock sim" in error["hint"]


def test_redis_down_at_enqueue_says_each_thing_once(town: Shop) -> None:
    ended = town.run("enqueue", "QR9", env={"REDIS_URL": "redis://127.0.0.1:1/0"})
    assert ended.status == 69
    sentence, safe, look = ended.err.splitlines()
    assert "Redis at redis://127.0.0.1:1/0 is not available" in sentence
    assert "safe in the database" in safe
    assert look.strip() == "Check that Redis runs and that REDIS_URL is right."
