"""`paysync redis` as operators meet it: real processes, a real server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.embedded import running_servers, temporary_home, users
from tests.process import Ended, run_on_terminal, run_paysync


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home() as home:
        yield home
        run_paysync("redis", "stop", "--yes", home=home, cwd=home, env=at(home))


def at(home: Path) -> dict[str, str]:
    return {"PAYSYNC_HOME": str(home)}


def paysync(home: Path, *words: str, **env: str) -> Ended:
    return run_paysync("redis", *words, cwd=home, env=at(home) | env)


def document(ended: Ended) -> Any:
    return json.loads(ended.out)


def test_status_of_nothing_is_stopped_and_creates_nothing(home: Path) -> None:
    shown = paysync(home, "status", "--json")
    assert shown.status == 0, shown.err
    data = document(shown)["data"]
    assert (data["state"], data["running"], data["pid"], data["url"]) == ("stopped", False, None, None)
    assert data["folder"] == str(home / "redis")
    assert (data["keep"], data["others_attached"], data["used"]) == (False, False, True)
    assert not (home / "redis").exists()


def test_start_status_stop(home: Path) -> None:
    started = paysync(home, "start", "--json")
    assert started.status == 0, started.err
    data = document(started)["data"]
    assert (data["state"], data["keep"], data["others_attached"]) == ("running", True, False)
    assert running_servers(home) == [data["pid"]], "it outlives the command"
    assert document(paysync(home, "status", "--json"))["data"]["pid"] == data["pid"]
    assert document(paysync(home, "start", "--json"))["data"]["pid"] == data["pid"], "already so"

    stopped = paysync(home, "stop", "--json")
    assert stopped.status == 0, stopped.err
    assert document(stopped)["data"]["state"] == "stopped"
    assert not running_servers(home)
    assert paysync(home, "stop").status == 0, "already so"


def test_people_read_lines(home: Path) -> None:
    assert paysync(home, "start").err == "It stays on until `paysync redis stop`.\n"
    shown = paysync(home, "status")
    lines = dict(line.split("  ", 1) for line in shown.out.splitlines())
    fields = {label.strip(): value.strip() for label, value in lines.items()}
    assert fields["State"] == "running"
    assert fields["Folder"] == str(home / "redis")
    assert fields["URL"] == f"unix://:***@{home}/redis/redis.sock?db=0"
    assert fields["Kept on"] == "yes"
    assert paysync(home).out == shown.out, "the group alone shows the status"
    assert "running" in run_on_terminal("redis", "status", cwd=home, env=at(home)).out


def test_stop_is_refused_while_others_use_it_and_yes_stops_it(home: Path) -> None:
    with users(1, home / "redis") as (worker,):
        worker.attach()
        assert document(paysync(home, "status", "--json"))["data"]["others_attached"] is True
        refused = paysync(home, "stop", "--json")
        assert refused.status == 5
        assert document(refused)["status"] == "error"
        assert document(refused)["errors"][0]["code"] == "refused"
        assert "--yes" in document(refused)["errors"][0]["hint"]
        assert running_servers(home)
        assert paysync(home, "stop", "--yes").status == 0
        assert not running_servers(home)


def test_the_url_is_masked_unless_revealed_and_then_connects(home: Path) -> None:
    import redis

    assert paysync(home, "url").status == 4
    paysync(home, "start")
    masked = paysync(home, "url")
    assert masked.out == f"unix://:***@{home}/redis/redis.sock?db=0\n"
    revealed = paysync(home, "url", "--reveal")
    client = redis.Redis.from_url(revealed.out.strip())
    assert client.ping()
    client.close()
    data = document(paysync(home, "url", "--reveal", "--json"))["data"]
    assert (data["url"], data["revealed"], data["embedded"]) == (revealed.out.strip(), True, True)
    assert running_servers(home), "showing the URL is not using the server"


def test_redis_cli_gets_a_command_line_because_it_knows_no_unix_url(home: Path) -> None:
    """A stand-in for redis-cli shows what it was given: the password in the environment, not among its words."""
    odd = home / "it's odd"
    (home / "redis-cli").write_text('#!/bin/sh\necho "$REDISCLI_AUTH"; for word; do echo "$word"; done\n')
    (home / "redis-cli").chmod(0o755)
    run_paysync("redis", "start", cwd=home, env={"PAYSYNC_HOME": str(odd)})
    try:
        line = run_paysync("redis", "url", "--reveal", "--redis-cli", cwd=home, env={"PAYSYNC_HOME": str(odd)}).out
        shell = {"PATH": f"{home}:/usr/bin:/bin"}
        given = subprocess.run(["sh", "-c", line], env=shell, capture_output=True, text=True, check=True).stdout
        password = json.loads((odd / "redis" / "endpoint.json").read_text())["password"]
        assert given.splitlines() == [password, "-s", f"{odd}/redis/redis.sock"]
        masked = run_paysync("redis", "url", "--redis-cli", cwd=home, env={"PAYSYNC_HOME": str(odd)}).out
        assert masked.startswith("REDISCLI_AUTH='***' redis-cli -s ")
    finally:
        run_paysync("redis", "stop", "--yes", cwd=home, env={"PAYSYNC_HOME": str(odd)})


def test_the_url_of_a_server_that_nobody_keeps_does_not_stop_it(home: Path) -> None:
    with users(1, home / "redis") as (worker,):
        worker.attach()
        shown = paysync(home, "url")
        assert shown.status == 0
        assert "stops with the last paysync process" in shown.err
        assert running_servers(home)
        worker.do("leave")


def test_no_output_but_the_revealed_url_shows_the_password(home: Path) -> None:
    paysync(home, "start")
    password = json.loads((home / "redis" / "endpoint.json").read_text())["password"]
    for words in (["status"], ["status", "--json"], ["start", "--json"], ["url"], ["url", "--json"], ["status", "-v"]):
        shown = paysync(home, *words)
        assert password not in shown.out + shown.err


def test_with_redis_url_the_embedded_one_is_not_used(home: Path) -> None:
    other = {"REDIS_URL": "redis://:hush@redis.example:6379/0"}
    refused = paysync(home, "start", **other)
    assert refused.status == 5
    assert "redis.example" in refused.err
    assert "hush" not in refused.err
    assert document(paysync(home, "status", "--json", **other))["data"]["used"] is False
    assert "hush" not in paysync(home, "url", **other).out
    assert paysync(home, "url", "--reveal", **other).out == "redis://:hush@redis.example:6379/0\n"
    command = paysync(home, "url", "--reveal", "--redis-cli", **other)
    assert command.out == "redis-cli -u redis://:hush@redis.example:6379/0\n"
    sentinel = paysync(home, "url", "--redis-cli", REDIS_URL="redis+sentinel://:hush@one,two/main")
    assert (sentinel.status, sentinel.out) == (2, "")
    assert "hush" not in sentinel.err
    assert not (home / "redis").exists()


def test_read_only_refuses_start_and_stop(home: Path) -> None:
    for words in (["start"], ["stop"]):
        assert paysync(home, *words, PAYSYNC_READ_ONLY="1").status == 5
    assert paysync(home, "status", PAYSYNC_READ_ONLY="1").status == 0


def test_a_binary_that_will_not_do_is_exit_2(home: Path) -> None:
    shown = paysync(home, "start", PAYSYNC_REDIS_SERVER="/bin/true")
    assert shown.status == 2
    assert "PAYSYNC_REDIS_SERVER" in shown.err
    assert "Traceback" not in shown.err


def test_a_folder_of_somebody_else_is_exit_5(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    (home / "redis").mkdir()
    os.chown(home / "redis", 12345, 12345)
    shown = paysync(home, "status", "--json")
    assert shown.status == 5
    assert document(shown)["errors"][0]["code"] == "refused"
    os.chown(home / "redis", 0, 0)
