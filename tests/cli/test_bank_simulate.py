"""`paysync bank simulate` as a real process."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from paysync_cli.banks.simulator.scenario import SAMPLE
from tests.process import clean_environment, run_paysync, start_paysync
from tests.simulated import Clock, adapter

DEFAULTS = {
    "adapter": "baneco",
    "environment": "certification",
    "username": "paysync",
    "password": "simulator",
    "aes_key": "0123456789abcdef0123456789abcdef",
}


@contextmanager
def simulating(folder: Path, *arguments: str, lines: int = 36) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `bank simulate` on a free port, and the first lines of its output."""
    process = start_paysync("bank", "simulate", "--port", "0", *arguments, cwd=folder)
    assert process.stdout is not None
    try:
        yield process, "".join(process.stdout.readline() for _ in range(lines))
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_prints_the_block_serves_and_ends_well(tmp_path: Path, number: signal.Signals) -> None:
    with simulating(tmp_path) as (process, shown):
        block = tomllib.loads(shown)["banks"]["sim"]
        url = block.pop("base_url")
        assert block == DEFAULTS
        assert url.startswith("http://127.0.0.1:")
        paid = httpx.post(f"{url}/_simulator/pay/QR123", json={"amount": "100.50"})
        assert paid.json()["qr"] == "QR123"
        assert httpx.get(f"{url}/_simulator/ledger").json()["totals"] == {"BOB": "100.50"}
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert err == f"The simulated bank serves at {url}; Ctrl-C ends it.\n"


def test_the_block_is_a_good_configuration(tmp_path: Path) -> None:
    with simulating(tmp_path, "--quiet") as (_process, shown):
        (tmp_path / "paysync.toml").write_text(shown, encoding="utf-8")
        checked = run_paysync("config", "check", cwd=tmp_path)
    assert (checked.status, checked.err) == (0, ""), checked.out


LINES = {"baneco": 7, "bnb": 6, "sip": 8, "pix": 9}


@pytest.mark.parametrize("dialect", LINES)
def test_each_dialect_is_a_good_configuration(tmp_path: Path, dialect: str) -> None:
    with simulating(tmp_path, "--quiet", "--dialect", dialect, lines=LINES[dialect]) as (_process, shown):
        assert tomllib.loads(shown)["banks"]["sim"]["adapter"] == dialect
        (tmp_path / "paysync.toml").write_text(shown, encoding="utf-8")
        checked = run_paysync("config", "check", cwd=tmp_path)
        assert (checked.status, checked.err) == (0, ""), checked.out
        home = {"PAYSYNC_HOME": str(tmp_path / "home")}
        assert run_paysync("db", "upgrade", "--yes", cwd=tmp_path, env=home).status == 0
        tested = run_paysync("bank", "test", "sim", cwd=tmp_path, env=home)
        assert tested.status == 0, tested


def test_the_other_dialects_are_comments(tmp_path: Path) -> None:
    with simulating(tmp_path) as (_process, shown):
        pass
    said = [part.split("\n", 1) for part in shown.split("\n\n")[1:]]
    assert [title for title, _block in said] == [
        f"# The same bank, asked as {dialect}:" for dialect in ("bnb", "sip", "pix")
    ]
    for _title, block in said:
        parsed = tomllib.loads(block.replace("# ", ""))["banks"]["sim"]
        assert parsed["base_url"].startswith("http://127.0.0.1:")


def test_an_unknown_dialect(tmp_path: Path) -> None:
    ended = run_paysync("bank", "simulate", "--dialect", "swift", cwd=tmp_path)
    assert (ended.status, ended.out) == (2, "")
    assert "--dialect 'swift' is not one of baneco, bnb, sip, pix." in ended.err


def test_env_lines_are_shell(tmp_path: Path) -> None:
    scenario = tmp_path / "s.toml"
    scenario.write_text('[credential]\npassword = "it\'s $HOME"\n', encoding="utf-8")
    with simulating(tmp_path, "--env", "--scenario", str(scenario), lines=32) as (_process, shown):
        script = f"{shown}\nenv -0"
        done = subprocess.run(
            ["sh", "-c", script], env=clean_environment(tmp_path), capture_output=True, text=True, check=True
        )
        variables = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)
        prefix = "PAYSYNC_BANK_SIM_"
        found = {name.removeprefix(prefix): value for name, value in variables.items() if name.startswith(prefix)}
    assert found.pop("BASE_URL").startswith("http://127.0.0.1:")
    assert found == {name.upper(): value for name, value in DEFAULTS.items()} | {"PASSWORD": "it's $HOME"}
    assert shlex.split(shown.splitlines()[0])[0] == "export"


def test_json_is_one_document(tmp_path: Path) -> None:
    with simulating(tmp_path, "--json", lines=0) as (process, _nothing):
        assert process.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            text += process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest, _err = process.communicate(timeout=30)
    found = json.loads(text)
    assert rest == ""
    assert (found["command"], found["status"], found["data"]["bank"]) == ("bank simulate", "ok", "sim")
    assert found["data"]["settings"].keys() == DEFAULTS.keys() | {"base_url"}
    assert found["data"]["dialects"].keys() == {"baneco", "bnb", "sip", "pix"}
    assert found["data"]["dialects"]["baneco"] == found["data"]["settings"]


def test_scenario_plays(tmp_path: Path) -> None:
    with simulating(tmp_path, "--scenario", str(SAMPLE)) as (_process, shown):
        url = tomllib.loads(shown)["banks"]["sim"]["base_url"]
        assert httpx.post(f"{url}/_simulator/pay/SIM-PAID").status_code == 200  # it knows the amount


def test_its_credential_logs_in(tmp_path: Path) -> None:
    import asyncio

    async def ping(url: str) -> None:
        async with adapter(url, {k: DEFAULTS[k] for k in ("username", "password", "aes_key")}, Clock()) as bank:
            await bank.ping()

    with simulating(tmp_path) as (_process, shown):
        asyncio.run(ping(tomllib.loads(shown)["banks"]["sim"]["base_url"]))


def test_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_paysync("bank", "simulate", "--port", port, cwd=tmp_path)
    assert (ended.status, ended.out) == (69, "")
    assert ended.err.startswith(
        f"error: The simulated bank cannot listen on 127.0.0.1, port {port}: the port is in use."
    )
    assert "Traceback" not in ended.err


def test_port_in_use_as_json(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run_paysync("bank", "simulate", "--json", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    found = json.loads(ended.out)
    assert (ended.status, found["status"], found["errors"][0]["code"]) == (69, "error", "cannot_listen")


def test_bad_scenario(tmp_path: Path) -> None:
    broken = tmp_path / "day.toml"
    broken.write_text('[[qr]]\nid = "A"\n[[qr]]\nid = "B"\namount = "1,50"\n', encoding="utf-8")
    ended = run_paysync("bank", "simulate", "--port", "0", "--scenario", str(broken), cwd=tmp_path)
    assert (ended.status, ended.out) == (2, "")
    assert f'{broken}: qr 2 ("B"): amount must be an amount above zero' in ended.err
    assert ended.err.count("\n") == 1
    missing = run_paysync("bank", "simulate", "--scenario", "none.toml", cwd=tmp_path)
    assert (missing.status, missing.err) == (2, "error: none.toml: No such file or directory\n")


def test_needs_no_settings_and_creates_nothing(tmp_path: Path) -> None:
    with simulating(tmp_path):
        assert list(tmp_path.iterdir()) == []
