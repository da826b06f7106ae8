"""`docs/faq.md` answers with commands that answer; `docs/from-bullmq.md` brings a backend's open QRs over."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paysync_cli.store import qrs
from tests.command_lines import Line, in_page
from tests.forked import run_forked
from tests.postgres import private_postgres
from tests.process import clean_environment
from tests.shop import Shop, shop

DOCS = Path(__file__).parents[2] / "docs"
ANSWERS = [line for line in in_page((DOCS / "faq.md").read_text()) if line.whole and "--watch" not in line.arguments]


@pytest.fixture(scope="module")
def town() -> Iterator[Shop]:
    with shop({"qr": [{"id": "QR123", "amount": "10.10", "paid": "+0s"}]}) as found:
        found.register("QR123", "QR124")
        assert found.run("worker", "--burst").status == 0
        yield found


@pytest.mark.parametrize("line", ANSWERS, ids=lambda line: line.text)
def test_each_question_gets_its_answer(town: Shop, line: Line) -> None:
    words = ["sim" if word == "BANK" else word for word in line.arguments]
    ended = run_forked(*words, env=town.env, cwd=town.home)
    # Nobody works just now, which doctor tells; all else is well.
    assert ended.status == (6 if words[0] == "doctor" else 0), ended
    assert ended.out + ended.err


def test_every_question_has_a_command_first() -> None:
    questions = re.split(r"^## ", (DOCS / "faq.md").read_text(), flags=re.MULTILINE)[1:]
    assert len(questions) >= 12
    for question in questions:
        title, _blank, first, *_rest = question.splitlines()
        assert first.startswith("    paysync "), title


BACKEND = """
CREATE TABLE qr_codes (qr_id varchar(64), transaction_id varchar, account_id integer, amount decimal(10,2),
  currency varchar(3), description text, due_date timestamptz, single_use boolean, modify_amount boolean,
  status varchar, created_at timestamptz DEFAULT '2026-01-02 03:04:05-04');
INSERT INTO qr_codes VALUES
  ('A1', 't1', 7, 100.50, 'BOB', 'rent, "May"', '2099-12-31 23:59:59-04', true, false, 'active'),
  ('A2', 't2', 7, 20.00, 'USD', NULL, NULL, false, true, 'active'),
  ('A3', 't3', 8, 1.00, 'BOB', NULL, '2099-12-31 23:59:59-04', true, false, 'used');
"""


def test_open_qrs_come_over_by_the_line_on_the_page(tmp_path: Path) -> None:
    if shutil.which("psql") is None:
        pytest.skip("no psql here")
    (line,) = re.findall(r"^ +(psql -c .*)$", (DOCS / "from-bullmq.md").read_text(), re.MULTILINE)
    paysync = tmp_path / "paysync"
    paysync.write_text(f'#!/bin/sh\nexec {sys.executable} -m paysync_cli "$@"\n')
    paysync.chmod(0o755)
    with private_postgres() as url, shop() as town:
        subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", BACKEND, url], check=True, timeout=60)
        bank = {name.replace("_SIM_", "_BANECO_"): value for name, value in town.env.items() if "_SIM_" in name}
        env = {name: value for name, value in town.env.items() if "_SIM_" not in name} | bank
        env |= {"BACKEND_DATABASE_URL": url, "PATH": f"{tmp_path}:{clean_environment(None)['PATH']}"}

        def paste(text: str) -> str:
            done = subprocess.run(
                text, shell=True, env=clean_environment(town.home, env), cwd=town.home, capture_output=True, text=True,
                timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        assert "2" in paste(line)
        town.env = env
        paste(line.replace(" --dry-run", ""))
        with town.runtime() as runtime, runtime.store.read() as tx:
            found = qrs.known(tx, "baneco", "certification", ["A1", "A2", "A3"])
    assert sorted(found) == ["A1", "A2"]
    first, second = found["A1"], found["A2"]
    assert (first.amount, first.currency, first.account, first.multi_use) == (10050, "BOB", "7", False)
    assert first.due_at == datetime(2100, 1, 1, 3, 59, 59, tzinfo=UTC)
    assert first.issued_at == datetime(2026, 1, 2, 7, 4, 5, tzinfo=UTC)
    assert (second.amount, second.currency, second.due_at, second.multi_use) == (2000, "USD", None, True)
