"""`docs/http-adapter.md`: every block on the page is tried, and no key is missing from it."""

from __future__ import annotations

import json
import re
import tomllib
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from paysync_cli.banks.declared import section
from paysync_cli.banks.notices import NOTICE_KEYS
from paysync_cli.payments.status import BankStatus
from tests.declared import DAY, Scripted, described, faults
from tests.process import run_paysync

PAGE = Path(__file__).parents[2] / "docs" / "http-adapter.md"
CREDENTIAL = {"client_id": "shop-17", "client_secret": "x"}


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_every_block_is_of_a_kind_that_is_tried() -> None:
    fences = re.findall(r"^```(.*)$", PAGE.read_text(), re.MULTILINE)
    assert set(fences[::2]) == {"json", "toml", "console"}
    assert (len(blocks("json")), len(blocks("toml")), len(blocks("console"))) == (2, 2, 1)


def tables(toml: str) -> dict[str, Any]:
    found = tomllib.loads(toml)["banks"]["andes"]
    return {name: value for name, value in found.items() if isinstance(value, dict)}


def test_the_example_is_right_and_reads_the_answers_beside_it() -> None:
    charge, listed = blocks("json")
    asked = {"/api/charges/QR-7": charge, "/api/credits": listed}

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/oauth/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 600})
        return httpx.Response(200, content=asked[request.url.path])

    bank = Scripted(respond, tables(blocks("toml")[0]), CREDENTIAL)
    answer, day = bank.check("QR-7"), bank.paid_on(DAY)
    assert (answer.status, answer.bank_status) == (BankStatus.PAID, "SETTLED")
    (payment,) = answer.payments
    assert day.payments == (payment,)
    assert (payment.qr_id, payment.bank_transaction_id, payment.payer) == ("QR-7", "900001", "ANA QUISPE")
    assert (payment.amount, str(payment.amount), payment.currency) == (Decimal("125.50"), "125.50", "BOB")
    assert payment.paid_at is not None
    assert payment.paid_at.isoformat() == "2031-06-15T01:05:11+00:00"
    assert dict(bank.asked[-1].url.params) == {"date": "14/06/2031", "page": "1"}
    assert json.loads(charge)["charge"]["credits"] == json.loads(listed)["credits"]


def test_the_settings_read_the_example(tmp_path: Path) -> None:
    secret = tmp_path / "andes.secret"
    secret.write_text("s3cret-canary\n")
    secret.chmod(0o600)
    text = blocks("toml")[0].replace("/etc/paysync/andes.secret", str(secret))
    (tmp_path / "paysync.toml").write_text(text)
    ended = run_paysync("config", "check", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"read: {tmp_path / 'paysync.toml'}\nThe settings are right. Banks: andes.\n"


def test_config_check_says_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "paysync.toml").write_text(blocks("toml")[1])
    command, _line_end, expected = blocks("console")[0].partition("\n")
    ended = run_paysync(*command.removeprefix("$ paysync ").split(), cwd=tmp_path)
    assert ended.status == 2
    assert ended.err == expected


def test_every_key_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reader asks for, under the heading of its table."""
    seen: list[section.Section] = []
    original = section.Section.__init__

    def remember(self: section.Section, *args: Any) -> None:
        original(self, *args)
        seen.append(self)

    monkeypatch.setattr(section.Section, "__init__", remember)
    for auth in ("api_key", "oauth2", "login"):
        for paging in ("page", "cursor", "next_link"):
            changed = {"paging": {"kind": paging}, "form": {}}
            faults(described(auth={"kind": auth}, day_list=changed, ping={}, notice={}, status={"form": {}}))
    asked: defaultdict[str, set[str]] = defaultdict(set)
    for one in seen:
        asked[one.path.replace("banks.andes", "banks.NAME")] |= set(one._asked)
    secrets = {"username", "password", "token", "api_key", "client_id", "client_secret"}
    asked["banks.NAME.auth"] -= secrets  # asked for only to say that they stand elsewhere
    parts = re.split(r"^(?:## .*?)?`\[(banks\.NAME[a-z_.]*)\]`", PAGE.read_text(), flags=re.MULTILINE)
    page = dict(zip(parts[1::2], parts[2::2], strict=True))
    tables_of_the_bank = {"auth", "headers", "answer", "status", "payment", "day_list", "ping", "notice"}
    assert asked["banks.NAME"] == secrets | set(NOTICE_KEYS) | tables_of_the_bank
    assert {path.removeprefix("banks.NAME.") for path in page} - {"banks.NAME"} == tables_of_the_bank | {
        "day_list.paging"
    }
    asked["banks.NAME"] -= tables_of_the_bank
    asked["banks.NAME.day_list"] -= {"paging"}
    for path, keys in asked.items():
        missing = {key for key in keys if f"`{key}`" not in page[path]}
        assert not missing, (path, missing)
