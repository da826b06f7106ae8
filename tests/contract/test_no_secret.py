"""A canary in every secret setting and every error that can be provoked: it appears nowhere.

Not on the streams, not in a --debug traceback, not in the worker's log, not in Redis and not in the books.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from tests.books import dump, everything
from tests.contract.test_every_document import LEAVES, ROWS
from tests.forked import run_forked
from tests.process import Ended
from tests.shop import Shop, shop

CANARY = "canary/5up3r+s3cr3t"  # percent-encoding and base64 change it
KEY = "ca11ab1e0ddba11facade5cab1edf00d"  # an AES key has to be hexadecimal
FORMS = (
    CANARY, quote(CANARY, safe=""), "5up3r", CANARY.encode().hex(), base64.b64encode(CANARY.encode()).decode(),
    repr(CANARY.encode())[2:-1], KEY, bytes.fromhex(KEY).hex(" "), base64.b64encode(bytes.fromhex(KEY)).decode(),
)  # fmt: skip
ENCODED = quote(CANARY, safe="")

# Right in form, and nothing answers: every store and bank is away.
AWAY = {
    "REDIS_URL": f"redis://canary:{ENCODED}@127.0.0.1:1/0",
    "DATABASE_URL": f"postgresql://canary:{ENCODED}@127.0.0.1:1/books?connect_timeout=2",
    "PAYSYNC_BANK_SIM_BASE_URL": "http://127.0.0.1:1",
}
SECRETS = {
    "PAYSYNC_BANK_SIM_PASSWORD": CANARY,
    "PAYSYNC_BANK_SIM_AES_KEY": KEY,
    "PAYSYNC_BANK_SIM_NOTICE_SECRET": "5up3r.secret-of-notices",  # a part of an address: no other characters
    "PAYSYNC_BANK_SIM_NOTICE_USERNAME": "ana",
    "PAYSYNC_BANK_SIM_NOTICE_PASSWORD": CANARY,
    "PAYSYNC_SERVE_TOKEN": CANARY,
    "PAYSYNC_PING_URL": f"http://127.0.0.1:1/{ENCODED}/{ENCODED}?key={ENCODED}",
    "PAYSYNC_ALERT_URLS": f"slack://{ENCODED}/{ENCODED} mailto://ana:{ENCODED}@127.0.0.1:1",
}
# Wrong in form, each in another way.
WRONG = {
    "REDIS_URL": f"redis://canary:{CANARY}@127.0.0.1:port/0",
    "DATABASE_URL": f"postgresql://canary:{CANARY}@127.0.0.1:x/books?unheard=of",
    "PAYSYNC_BANK_SIM_BASE_URL": f"https://ana:{CANARY}@bank.example",
    "PAYSYNC_BANK_SIM_AES_KEY": f"{KEY}{KEY}00",
    "PAYSYNC_BANK_SIM_NOTICE_SECRET": CANARY,
    "PAYSYNC_PING_URL": f"ftp://{CANARY}",
    "PAYSYNC_ALERT_URLS": f"{CANARY} {CANARY}",
}
WORLDS: dict[str, Mapping[str, str]] = {
    "a bank that refuses": {},
    "redis away": {"REDIS_URL": AWAY["REDIS_URL"]},
    "database away": {"DATABASE_URL": AWAY["DATABASE_URL"]},
    "all away": AWAY,
    **{f"wrong {name}": {name: value} for name, value in WRONG.items()},
    "all wrong": WRONG,
}
LIVE = ("bank test", "check", "sweep", "reconcile", "worker", "cleanup", "enqueue", "stats", "purge", "config show")
ENDING = [name for name in LEAVES if ROWS[name].one is not None]


@pytest.fixture(scope="module")
def town() -> Iterator[Shop]:
    """A bank to which our password is wrong, a Redis and books that are there."""
    with shop(env=SECRETS) as town:
        town.register("QR0", "QR1")
        with town.runtime() as runtime:
            runtime.embedded.start()
        yield town


def clean(text: str, seen: object) -> None:
    for form in FORMS:
        assert form not in text, (form, seen)


def run(town: Shop, name: str, world: Mapping[str, str], *more: str) -> Ended:
    (town.home / "new.toml").unlink(missing_ok=True)
    ended = run_forked(*ROWS[name].words.split(), *more, env=town.env | SECRETS | dict(world), cwd=town.home)
    assert ended.out + ended.err != "", "it says something to look at"
    clean(ended.out + ended.err, (name, world, ended))
    return ended


@pytest.mark.parametrize("name", ENDING)
def test_no_command_shows_it(town: Shop, name: str) -> None:
    """Every command where everything is away and where everything is wrong, with its traceback."""
    for world in ("all away", "all wrong"):
        run(town, name, WORLDS[world], "--debug", "-v")
        run(town, name, WORLDS[world], "--json", "--debug")


@pytest.mark.parametrize("world", WORLDS)
def test_no_trouble_shows_it(town: Shop, world: str) -> None:
    """Each trouble by itself, for the commands that meet it."""
    for name in LIVE:
        run(town, name, WORLDS[world], "--debug", "-v")
        run(town, name, WORLDS[world], "--json")


def test_neither_log_nor_redis_nor_books_keep_it(town: Shop) -> None:
    log = town.home / "worker.log"
    env = {"PAYSYNC_LOG_FILE": str(log), "PAYSYNC_LOG_LEVEL": "debug"}
    for name in ("worker", "check", "sweep", "bank test", "cleanup", "hold"):
        run(town, name, env, "--debug", "-v")
    assert "credential" in log.read_text(), "the refused login was met"
    clean(log.read_text(), log)
    with town.runtime() as runtime:
        clean("\n".join(dump(runtime.store)), "SQL")
        with redis.Redis.from_url(runtime.embedded.attach().url(reveal=True)) as client:
            told = everything(client)
            assert told
            clean("\n".join(f"{key!r} {value!r}" for key, value in told.items()), "Redis")


def test_the_masked_settings_say_where_they_come_from(town: Shop) -> None:
    shown = run(town, "config show", WORLDS["all away"]).out
    for name in ("redis_url", "database_url", "ping_url", "alert_urls", "serve_token", "banks.sim.password",
                 "banks.sim.aes_key", "banks.sim.notice_secret", "banks.sim.notice_password"):  # fmt: skip
        (line,) = [text for text in shown.splitlines() if text.startswith(f"{name} ")]
        assert "***" in line, line


def test_the_embedded_servers_password_is_only_for_whoever_asks(town: Shop) -> None:
    with town.runtime() as runtime:
        password = runtime.embedded.attach().password
    for name in ("stats", "redis status", "redis url", "config show", "list"):
        shown = run(town, name, {}, "--debug", "-v")
        assert password not in shown.out + shown.err
    revealed = run_forked("redis", "url", "--reveal", env=town.env, cwd=town.home)
    assert password in revealed.out


def test_a_secret_file_is_not_shown_either(town: Shop, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text(CANARY)
    env = {**town.env, "PAYSYNC_BANK_SIM_PASSWORD_FILE": str(secret)}
    del env["PAYSYNC_BANK_SIM_PASSWORD"]
    for words in ("config show", "bank test sim", "bank show sim --json"):
        ended = run_forked(*words.split(), "--debug", env=env, cwd=town.home)
        clean(ended.out + ended.err, ended)
