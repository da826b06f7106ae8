"""`paysync serve` at the terminal: how it starts, how it refuses to, what it says."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from paysync_cli.cli import listening
from tests.forked import run_forked
from tests.process import Ended, clean_environment, run_paysync, start_paysync
from tests.register_home import BANK, SECOND_BANK

TOKEN = "a-token-for-tests"
NOTICE = {"PAYSYNC_BANK_SIM_NOTICE_SECRET": "a-secret-of-the-bank"}


def run(folder: Path, *args: str, **env: str) -> Ended:
    return run_paysync("serve", "--port", "0", *args, env={"PAYSYNC_HOME": str(folder), **env}, cwd=folder)


@contextmanager
def started(folder: Path, *args: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    process = start_paysync("serve", "--port", "0", *args, env={"PAYSYNC_HOME": str(folder), **env}, cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_says_what_it_answers_and_makes_the_database(tmp_path: Path) -> None:
    with started(tmp_path, "--notify", PAYSYNC_SERVE_TOKEN=TOKEN, **BANK, **NOTICE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(8)]
        assert lines[1:] == [
            "GET /live", "GET /ready", "GET /consuming", "GET /metrics", "POST /qrs", "GET /qrs/{id}",
            "POST /notify/sim",
        ]  # fmt: skip
        assert httpx.get(f"{lines[0].rpartition(' ')[2]}/live", trust_env=False).status_code == 200
        assert (tmp_path / "paysync.db").exists()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_json_is_one_document(tmp_path: Path) -> None:
    with started(tmp_path, "--json") as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            text += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, _err = process.communicate(timeout=30)
    found = json.loads(text)
    assert (process.returncode, out, found["command"], found["status"]) == (0, "", "serve", "ok")
    assert found["data"] == {
        "url": found["data"]["url"], "qrs": False, "notices": [],
        "routes": ["GET /live", "GET /ready", "GET /consuming", "GET /metrics"],
    }  # fmt: skip


def test_notices_need_a_bank_that_can_prove_itself(tmp_path: Path) -> None:
    ended = run(tmp_path, "--notify", **BANK)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "error: No bank can prove that a notice is its own, so none would be believed.\n"
        "  Set notice_secret, or notice_username and notice_password, in [banks.sim].\n"
    )
    assert run(tmp_path, "--notify").err.startswith("error: No bank is configured.")
    ended = run(tmp_path, "--notify", **BANK, PAYSYNC_BANK_SIM_NOTICE_SECRET="short-canary")
    assert (ended.status, "shorter than 16" in ended.err, "canary" in ended.err) == (2, True, False)


def test_banks_without_notices_and_an_open_address_are_said(tmp_path: Path) -> None:
    with started(tmp_path, "--notify", "--host", "0.0.0.0", **BANK, **NOTICE, **SECOND_BANK) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Serving at http://0.0.0.0:")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, "POST /notify/other" in out) == (0, False)
    assert "warning: bank other sends no notices here. Set notice_secret," in err
    assert "warning: tokens and notices travel in plain HTTP to 0.0.0.0" in err


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_paysync("serve", "--port", port, env={"PAYSYNC_HOME": str(tmp_path)}, cwd=tmp_path)
    assert (ended.status, ended.out) == (69, "")
    assert ended.err.startswith(f"error: Cannot listen on 127.0.0.1, port {port}: the port is in use.")


def test_a_missing_extra_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "find_spec", lambda name: None if name == "starlette" else name)
    for words in ("serve", "worker --burst --health-port 0"):
        ended = run_forked(*words.split(), env={**BANK, "PAYSYNC_HOME": str(tmp_path)}, cwd=tmp_path)
        assert (ended.status, ended.out) == (2, "")
        assert ended.err.endswith("needs starlette, which is not installed; run: pip install 'paysync-cli[serve]'\n")


def test_it_starts_while_the_database_is_away(tmp_path: Path) -> None:
    """Probes are for exactly that: a server that would not start could not say what is wrong."""
    away = {"DATABASE_URL": "postgresql://u:canary@127.0.0.1:1/x"}
    with started(tmp_path, PAYSYNC_SERVE_TOKEN=TOKEN, **away) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip().rpartition(" ")[2]
        assert httpx.get(f"{url}/live", trust_env=False).status_code == 200
        ready = httpx.get(f"{url}/ready", timeout=20, trust_env=False)
        assert (ready.status_code, "canary" in ready.text) == (503, False)
        headers = {"authorization": f"Bearer {TOKEN}"}
        seen = httpx.get(f"{url}/qrs/A", headers=headers, timeout=20, trust_env=False)
        assert (seen.status_code, seen.json()["errors"][0]["code"]) == (503, "database_unavailable")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_the_own_time_out_ends_it(tmp_path: Path) -> None:
    assert run(tmp_path, "--timeout", "1s").status == 124


def test_a_probe_is_cheap_to_start(tmp_path: Path) -> None:
    """A container asks every few seconds: nothing that knows databases, Redis or HTTP may be loaded for it."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "paysync_cli", "health", "--live"],
        capture_output=True, text=True, env=clean_environment(tmp_path), cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 6
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "typer" in loaded
    assert not loaded & {"sqlalchemy", "redis", "rq", "httpx", "starlette", "uvicorn", "prometheus_client", "asyncio"}


def test_the_simulator_gives_notice(tmp_path: Path) -> None:
    with started(tmp_path, "--notify", **BANK, **NOTICE) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip().rpartition(" ")[2]
        notify = f"{url}/notify/sim/{NOTICE['PAYSYNC_BANK_SIM_NOTICE_SECRET']}"
        simulator = start_paysync("bank", "simulate", "--port", "0", "--json", "--notify-url", notify, cwd=tmp_path)
        try:
            assert simulator.stdout is not None
            text = ""
            while not text.endswith("\n}\n"):
                text += simulator.stdout.readline()
            bank = json.loads(text)["data"]["settings"]["base_url"]
            httpx.post(f"{bank}/_simulator/pay/QR1", json={"amount": "5"}, trust_env=False)
            for _ in range(200):
                told = httpx.get(f"{bank}/_simulator/notices", trust_env=False).json()
                if told["taken"]:
                    break
            assert [one["qr"] for one in told["answers"]] == ["QR1"]
        finally:
            simulator.kill()
            simulator.communicate()
    ended = run_paysync("bank", "simulate", "--notify-url", "ftp://x", cwd=tmp_path)
    assert (ended.status, ended.err) == (2, "error: --notify-url must be an http or https address.\n")
