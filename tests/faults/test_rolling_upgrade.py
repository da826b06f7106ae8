"""Hosts are upgraded one after the other: the next paysync, with a schema that has grown, beside the one of today."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import paysync_cli
from tests.faults.test_postgres_town import postgres_town, told
from tests.shop import Shop

# What the next version would bring: it adds, and says so.
MIGRATION = '''
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None
def upgrade():
    op.add_column("paysync_qrs", sa.Column("told_at", sa.BigInteger, nullable=True))
    op.create_table("paysync_tellings", sa.Column("id", sa.BigInteger, primary_key=True))
'''  # fmt: skip
NEXT = (
    ('HEAD = "0001"', 'HEAD = "0002"'),
    ('KNOWN = ("0001",)', 'KNOWN = ("0001", "0002")'),
    ("SERVES_TOO: tuple[str, ...] = ()", 'SERVES_TOO = ("0001",)'),
)
IDS = [f"QR{n}" for n in range(60)]
PAID = [{"id": one, "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for one in IDS]


def make_next(folder: Path) -> dict[str, str]:
    """A copy of this paysync, one schema ahead; what a process of it finds in its environment."""
    package = folder / "next" / "paysync_cli"
    shutil.copytree(Path(paysync_cli.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    schema = package / "store" / "schema.py"
    text = schema.read_text()
    for today, tomorrow in NEXT:
        assert text.count(today) == 1
        text = text.replace(today, tomorrow)
    schema.write_text(text)
    (package / "store" / "migrations" / "versions" / "0002_next.py").write_text(MIGRATION)
    return {"PYTHONPATH": str(package.parent)}


@pytest.fixture
def town() -> Iterator[Shop]:
    slow = {"kind": "slow", "on": "status", "delay_ms": 150}
    with postgres_town({"qr": PAID, "fault": [slow]}) as found:
        yield found


def test_old_and_new_workers_side_by_side(town: Shop) -> None:
    ahead = make_next(town.home)
    old = town.start("worker", "--concurrency", "3")
    town.register(*IDS[:20])
    town.until(lambda: len(town.status_calls()) >= 3)
    assert town.run("db", "upgrade", "--yes", env=ahead).status == 0  # while the old one works
    town.until_final(IDS[:20])

    found = town.run("db", "current")
    assert found.status == 0, found
    assert "0002" in found.out
    assert "works on it too" in found.out
    again = town.start("worker", "--concurrency", "3")  # an old host that was started anew meanwhile
    new = town.start("worker", "--concurrency", "3", env=ahead)
    town.until(lambda: len(told(town, "worker_registered")) == 3)
    town.register(*IDS[20:])
    town.until(lambda: len(town.status_calls()) >= 30)
    assert [town.stop(one) for one in (old, again)] == [0, 0]
    town.until_final(IDS)
    assert town.stop(new) == 0

    assert town.books() == town.bank_says() == {"BOB": 60 * 1010}
    assert set(town.status_calls().values()) == {1}
    assert all('"check_attempt"' in log.read_text() for log in town.home.glob("worker-*.log"))
