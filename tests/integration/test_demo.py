"""`paysync demo`, the first thing a newcomer sees."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from decimal import Decimal
from pathlib import Path

from paysync_cli.queue.embedded import EmbeddedRedis
from tests.embedded import running_servers
from tests.process import clean_environment, run_on_terminal, run_paysync, start_paysync


def test_the_demo_adds_up_and_leaves_a_home_to_look_at(tmp_path: Path) -> None:
    # Settings of a real installation lie around: the demo must not touch them.
    traps = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/real.db",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "TMPDIR": str(tmp_path),
    }
    (tmp_path / "paysync.toml").write_text('database_url = "sqlite:////nowhere/real.db"\n')
    ended = run_paysync("demo", "--json", env=traps, cwd=tmp_path)
    assert ended.status == 0, ended
    told = json.loads(ended.out)
    assert told["status"] == "ok"
    data = told["data"]
    assert data["agrees"] is True
    assert data["bank"] == data["books"] == data["balances"]
    sums: dict[str, Decimal] = {}
    for item in data["items"]:
        for currency, paid in item["paid"].items():
            sums[currency] = sums.get(currency, Decimal()) + Decimal(paid)
    assert {currency: str(total) for currency, total in sums.items()} == data["books"]
    assert len(data["items"]) == 20
    assert {item["status"] for item in data["items"]} == {"completed", "processing", "expired", "cancelled"}
    assert not (tmp_path / "real.db").exists()
    home = Path(data["home"])
    assert not running_servers(home)
    _every_next_step_works(data["next_steps"], traps, tmp_path)
    EmbeddedRedis(home / "redis").stop(force=True)
    shutil.rmtree(home)


def _every_next_step_works(steps: list[str], traps: dict[str, str], cwd: Path) -> None:
    for step in steps:
        environment = clean_environment(cwd, traps)
        ended = subprocess.run(
            ["/bin/sh", "-c", step], env=environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, ended
    assert "late_payment" in ended.stdout


def test_on_a_terminal_it_is_a_live_table(tmp_path: Path) -> None:
    ended = run_on_terminal("demo", env={"TMPDIR": str(tmp_path)}, cwd=tmp_path, columns=100)
    assert ended.status == 0, ended
    assert "minute 1 of 40" in ended.out or "minute 2 of 40" in ended.out
    assert "Every amount adds up, to the cent." in ended.out
    assert list(tmp_path.iterdir())


def test_cut_short_it_says_what_is_left_and_stops_everything(tmp_path: Path) -> None:
    child = start_paysync("demo", env={"TMPDIR": str(tmp_path)}, cwd=tmp_path)
    assert child.stderr is not None
    assert child.stderr.readline().startswith("demo: ")
    assert child.stderr.readline().startswith("minute "), "the play is on"
    child.send_signal(signal.SIGINT)
    _out, err = child.communicate(timeout=60)
    assert (child.returncode, "Traceback" in err) == (130, False)
    (home,) = tmp_path.glob("paysync-demo-*")
    *_played, said, step, end = err.splitlines()
    assert said == (f"The demo was cut short; its worker, Redis and bank are stopped. Look at {home}, or delete it:")
    assert step.strip().startswith(f"(cd {home} && ")
    assert end == "error: Interrupted."
    assert not running_servers(home)
    looked = subprocess.run(
        ["/bin/sh", "-c", step],
        env=clean_environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert looked.returncode == 0, looked
