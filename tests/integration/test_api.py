"""PaySync, as the application that issues QRs uses it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from paysync_cli import PaySync
from paysync_cli.errors import InputError, NotFound, RefusedError, UsageError
from paysync_cli.settings import load_settings
from tests.process import clean_environment
from tests.shop import Shop, shop


def _open(town: Shop, **env: str) -> PaySync:
    return PaySync(load_settings(environ=town.env | env, cwd=town.home))


def test_enqueue_and_status() -> None:
    with shop() as town, _open(town) as sync:
        made = sync.enqueue("QR123", amount="100.50", currency="BOB", due="2099-12-31")
        assert (made.outcome, made.queued, made.detail) == ("created", True, None)
        seen = sync.status("QR123")
        assert (seen.status, seen.final, seen.amount, seen.currency, seen.paid) == (
            "pending",
            False,
            "100.50",
            "BOB",
            "0.00",
        )
        # The last second of that day in Bolivia, not in UTC.
        assert seen.due_at == datetime(2100, 1, 1, 3, 59, 59, tzinfo=UTC)
        assert (seen.plan_state, seen.checks, seen.account) == ("planned", 0, "shop")


@pytest.mark.parametrize("amount", ["100.50", Decimal("100.50"), Decimal("100.5")])
def test_the_same_again_is_already_planned(amount: str | Decimal) -> None:
    with shop() as town, _open(town) as sync:
        sync.enqueue("QR123", amount="100.50", due=date(2099, 12, 31))
        assert sync.enqueue("QR123", amount=amount, due="2099-12-31").outcome == "already_planned"
        conflict = sync.enqueue("QR123", amount="100.51")
        assert (conflict.outcome, conflict.detail) == ("conflict", "amount is 100.50 BOB, not 100.51 BOB")
        assert sync.status("QR123").amount == "100.50"


def test_redis_down_is_no_exception(tmp_path: Path) -> None:
    with shop() as town, _open(town, REDIS_URL=f"unix://{tmp_path}/nobody.sock") as sync:
        made = sync.enqueue("QR123")
        assert (made.outcome, made.queued) == ("created", False)


def test_what_cannot_be_right_is_refused() -> None:
    with shop() as town, _open(town) as sync:
        for wrong in ({"amount": 100.5}, {"amount": "0"}, {"currency": "XXX"}, {"due": "31.12.2099"}):
            with pytest.raises(InputError):
                sync.enqueue("QR123", **wrong)  # type: ignore[arg-type]
        with pytest.raises(InputError):
            sync.enqueue("")
        with pytest.raises(NotFound):
            sync.status("QR123")
        with pytest.raises(UsageError):
            sync.enqueue("QR123", bank="nobody")


def test_read_only_changes_nothing() -> None:
    with shop() as town:
        town.register("QR1")
        with _open(town, PAYSYNC_READ_ONLY="1") as sync:
            with pytest.raises(RefusedError):
                sync.enqueue("QR2")
            assert sync.status("QR1").status == "pending"


APPLICATION = """
import sys, time
from paysync_cli import PaySync

with PaySync() as sync:
    sync.enqueue("QR1", amount="10.10")
    with sync.worker(concurrency=2) as child:
        print(child.pid, flush=True)
        while not sync.status("QR1").final:
            time.sleep(0.05)
        if "linger" in sys.argv:
            sys.stdin.read()
    print("exit", child.returncode, sync.status("QR1").paid)
"""


def test_the_worker_as_a_child_of_the_application() -> None:
    with shop({"qr": [{"id": "QR1", "amount": "10.10", "paid": "+0s"}]}) as town:
        program = town.home / "application.py"
        program.write_text(textwrap.dedent(APPLICATION))
        env = clean_environment(town.home, town.env)
        told = subprocess.run(
            [sys.executable, program], env=env, cwd=town.home, capture_output=True, text=True, timeout=120, check=True
        )
        assert told.stdout.splitlines()[1:] == ["exit 0 10.10"]


def test_the_child_ends_when_the_application_is_killed() -> None:
    with shop({"qr": [{"id": "QR1", "amount": "10.10", "paid": "+0s"}]}) as town:
        program = town.home / "application.py"
        program.write_text(textwrap.dedent(APPLICATION))
        env = clean_environment(town.home, town.env)
        with subprocess.Popen(
            [sys.executable, program, "linger"],
            env=env,
            cwd=town.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as application:
            assert application.stdout is not None
            pid = int(application.stdout.readline())
            town.until(lambda: town.qr("QR1").status.final)
            application.kill()
            application.communicate()
        town.until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


def test_a_child_worker_needs_settings_it_can_see() -> None:
    with shop() as town, _open(town) as sync, pytest.raises(RefusedError), sync.worker():
        pass
