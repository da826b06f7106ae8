"""The simulated bank as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from paysync_cli.banks.baneco import encrypt
from paysync_cli.banks.simulator import AES_KEY, PASSWORD, USERNAME

COMMAND = [sys.executable, "-W", "error", "-m", "paysync_cli.banks.simulator"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_line_is_the_address_and_a_signal_ends_it_although_a_request_hangs(
    number: signal.Signals, tmp_path: Path
) -> None:
    scenario = tmp_path / "s.toml"
    scenario.write_text('[[fault]]\nkind = "hang"\non = "status"\n', encoding="utf-8")
    with running("--scenario", str(scenario)) as (process, url), httpx.Client(base_url=url, timeout=60) as http:
        body = {"userName": USERNAME, "password": encrypt(PASSWORD, AES_KEY)}
        token = http.post("/api/authentication/authenticate", json=body).json()["token"]
        http.headers["authorization"] = f"Bearer {token}"
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(http.get, "/api/qrsimple/v2/statusQR/Q")
            while http.get("/_simulator/requests").json()["in_flight"] == 0:
                pass
            process.send_signal(number)
            assert process.wait(30) == 0
            assert isinstance(hanging.exception(), httpx.TransportError)
        assert process.communicate()[1] == ""


def test_port_in_use_and_bad_scenario(tmp_path: Path) -> None:
    with running() as (_process, url):
        port = url.rsplit(":", 1)[1]
        second = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60)
    assert second.returncode == 69
    assert second.stderr.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    broken = tmp_path / "s.toml"
    broken.write_text("[[qr]]\n", encoding="utf-8")
    ended = subprocess.run([*COMMAND, "--scenario", str(broken)], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (2, f"{broken}: qr 1: id is missing\n")
