"""What cron runs, the way cron runs it: no environment, no terminal, closed streams, the root folder, any zone and
locale; and the watcher that is told of each success.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paysync_cli.services.cleanup import LEASE
from paysync_cli.store import leases
from tests.books import add_qr, dump
from tests.home import Home, new_home
from tests.http_server import Incoming, serving
from tests.process import PAYSYNC, TIMEOUT_S, Ended, run_paysync
from tests.register_home import BANK
from tests.shop import shop

CANARY = "canary-4f1c-9be2-77aa"
AT_WORK = ("cleanup", "purge --all", "stats", "cleanup --status", "list")


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        with home.books() as store:
            add_qr(store, "QR1", status="completed")
        yield home


def under_cron(home: Home, line: str, env: dict[str, str] | None = None) -> Ended:
    """The crontab's line in a shell with nothing in its environment but `env`, in the root folder."""
    (home.folder / "paysync.toml").write_text(f'home = "{home.folder}"\n')
    command = f"{' '.join(PAYSYNC)} {line} --config {home.folder / 'paysync.toml'}"
    bare = {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "error"} | (env or {})
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=bare, cwd="/", capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("line", AT_WORK)
def test_nothing_in_the_environment(home: Home, line: str) -> None:
    ended = under_cron(home, f"{line} --json")
    assert (ended.status, ended.err) == (0, ""), ended
    assert json.loads(ended.out)["status"] == "ok"


@pytest.mark.parametrize("streams", ["<&-", "<&- >/dev/null 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(home: Home, streams: str) -> None:
    ended = under_cron(home, f"cleanup --quiet {streams}")
    assert (ended.status, ended.out, ended.err) == (0, "", ""), ended
    assert home.data("cleanup", "--status")["outcome"] == "ok"


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "xx_YY.latin1", "LANG": "xx_YY"},
        {"LANG": "es_BO.UTF-8", "TZ": "Pacific/Kiritimati"},
        {"TZ": "America/La_Paz"},
        {"TZ": "Mars/Olympus"},
        {"TZ": ":/no/such/file"},
    ],
    ids=str,
)
def test_any_zone_and_locale(home: Home, env: dict[str, str]) -> None:
    plain = under_cron(home, "cleanup", env)
    assert (plain.status, plain.err) == (0, ""), plain
    ended = under_cron(home, "cleanup --status --json", env)
    assert ended.status == 0, ended
    at = datetime.fromisoformat(json.loads(ended.out)["data"]["at"])
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
    assert at.utcoffset() == timedelta(0)


@pytest.mark.parametrize("line", [*AT_WORK, "sweep", "reconcile", "health", "doctor"])
def test_never_ok_over_an_empty_world(line: str) -> None:
    with new_home() as empty:
        ended = under_cron(empty, f"{line} --quiet")
        assert ended.status == 4
        assert (ended.out == "") == (line != "doctor"), "only the doctor shows the patient"
        assert f"{empty.folder}/paysync.db" in ended.err
        assert {path.name for path in empty.folder.iterdir()} == {"paysync.toml"}, "nothing was made"


def test_quiet_says_nothing_while_all_is_well_and_everything_when_not(home: Home) -> None:
    for words in (["cleanup"], ["purge", "--all"]):
        ended = home.run(*words, "--quiet")
        assert (ended.status, ended.out, ended.err) == (0, "", ""), words
    down = home.run("cleanup", "--quiet", REDIS_URL="redis://127.0.0.1:1/0")
    assert down.status == 69
    assert "old check records" in down.out
    assert "Redis at redis://127.0.0.1:1/0 is not available" in down.err
    assert home.json("cleanup", "--quiet")["data"]["checks"] == {"matched": 0, "removed": 0}, "a document is asked for"
    assert home.run("list", "--quiet").out != "", "who looks gets what he looks for"


def test_last_runs_and_results_are_shown(home: Home) -> None:
    home.run("cleanup", "--quiet")
    status, stats = home.data("cleanup", "--status"), home.data("stats")
    assert status["outcome"] == stats["last_cleanup"]["outcome"] == "ok"
    assert status["at"] == stats["last_cleanup"]["at"]
    assert status["removed"] == stats["last_cleanup"]["detail"]
    assert "cleanup" in home.run("stats").out


# -- the watcher


@contextmanager
def watcher(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A URL with a secret path, and the calls that came."""
    calls: list[str] = []

    def answer(incoming: Incoming) -> tuple[int, object]:
        calls.append(f"{incoming.method} {incoming.target}")
        return status, "OK"

    with serving(answer) as address:
        yield f"{address}/{CANARY}", calls


@pytest.mark.parametrize("how", ["option", "variable", "file"])
def test_success_is_told_once(home: Home, how: str) -> None:
    with watcher() as (url, calls):
        (home.folder / "ping").touch(mode=0o600)
        (home.folder / "ping").write_text(f"{url}\n")
        words, env = {
            "option": (["--ping-url", url], {}),
            "variable": ([], {"PAYSYNC_PING_URL": url}),
            "file": ([], {"PAYSYNC_PING_URL_FILE": str(home.folder / "ping")}),
        }[how]
        assert home.run("cleanup", *words, "-v", **env).err == ""
        assert calls == [f"GET /{CANARY}"]
        assert home.run("purge", "--all", *words, **env).status == 0
        assert len(calls) == 2


def test_what_did_nothing_or_failed_is_not_told(home: Home) -> None:
    with watcher() as (url, calls):
        to_watcher = {"PAYSYNC_PING_URL": url}
        home.data("cleanup", "--dry-run", **to_watcher)
        home.data("cleanup", "--status", **to_watcher)
        home.data("purge", "--all", "--dry-run", **to_watcher)
        home.json("cleanup", status=69, REDIS_URL="redis://127.0.0.1:1/0", **to_watcher)
        home.json("purge", status=2, **to_watcher)
        home.json("sweep", status=2, **to_watcher)
        with home.books() as store, store.write() as tx:
            leases.take(tx, "cleanup", "bob@there", datetime.now(UTC), datetime.now(UTC) + LEASE)
        home.json("cleanup", status=75, **to_watcher)
        assert home.data("cleanup", "--skip-if-locked", **to_watcher)["skipped"]
        assert calls == []


def test_health_tells_it_only_when_well() -> None:
    with shop() as town, watcher() as (url, calls):
        town.register("QR1")
        for words in ("health", "doctor"):
            ended = town.run(words, "--ping-url", url, "--quiet")
            assert (ended.status, calls) == (6, []), ended
            assert ended.out != "", "what is wrong is said in spite of --quiet"
        town.start("worker")
        town.until(lambda: town.run("health", "--quiet").status == 0)
        ended = town.run("health", "--ping-url", url, "--quiet")
        assert (ended.status, ended.out, ended.err) == (0, "", "")
        assert calls == [f"GET /{CANARY}"]
        assert town.run("health", "--nagios", "--quiet").out.startswith("PAYSYNC OK"), "Nagios wants its line"


def test_commands_that_ask_the_bank_tell_it_too() -> None:
    with shop() as town, watcher() as (url, calls):
        town.register("QR1")
        assert town.run("sweep", "--ping-url", url).status == 0
        assert town.run("reconcile", "--ping-url", url).status == 0
        assert len(calls) == 2
        gone = {"PAYSYNC_BANK_SIM_BASE_URL": "http://127.0.0.1:1"}
        assert town.run("sweep", "--ping-url", url, env=gone).status == 69
        assert len(calls) == 2


@pytest.mark.parametrize("status", [404, 500, 301, None])
def test_a_watcher_that_does_not_answer_is_a_warning_and_its_secret_stays_one(home: Home, status: int | None) -> None:
    with watcher(status or 200) as (url, _calls):
        pass_on = url if status else f"http://127.0.0.1:1/{CANARY}?key={CANARY}"
        ended = home.run("cleanup", "--ping-url", pass_on, "--debug", "-v")
    assert ended.status == 0
    assert "warning: http://127.0.0.1:" in ended.err
    assert "/*** was not told of this success: " in ended.err
    assert CANARY not in ended.err + ended.out
    assert home.run("cleanup", "--ping-url", pass_on, "--quiet").err == ""
    with home.books() as store:
        assert CANARY not in "\n".join(dump(store))


@pytest.mark.parametrize("url", [f"ftp://host/{CANARY}", CANARY, f"http:///{CANARY}", f"http://host/{CANARY} x"])
def test_a_wrong_url_is_told_before_anything_is_done_and_without_its_secret(home: Home, url: str) -> None:
    with home.books() as store:
        before = dump(store)
        ended = home.run("cleanup", "--ping-url", url, "--debug")
        assert ended.status == 2
        assert "--ping-url: a ping URL looks like https://host/path." in ended.err
        assert CANARY not in ended.err.replace(f"--ping-url {url}", "")
        assert dump(store) == before


def test_settings_show_it_masked(tmp_path: Path) -> None:
    env = {"PAYSYNC_PING_URL": f"https://hc-ping.com/{CANARY}", **BANK}
    ended = run_paysync("config", "show", env=env, cwd=tmp_path)
    assert "https://hc-ping.com/***" in ended.out
    assert CANARY not in ended.out
