"""An adapter from a package of its own, installed by pip and used by real processes; and one that is broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examplebank import KEY_ID, PACKAGE, SECRET, ExampleBankServer, example_bank, install
from tests.home import Home, new_home
from tests.process import Ended


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package in it."""
    source, target = tmp_path_factory.mktemp("source") / PACKAGE.name, tmp_path_factory.mktemp("installed")
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    install(source, target)
    return target


@pytest.fixture
def bank() -> Iterator[ExampleBankServer]:
    with example_bank() as server:
        yield server


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as found:
        yield found


def env(installed: Path, url: str, **more: str) -> dict[str, str]:
    keys = {
        "ADAPTER": "examplebank",
        "BASE_URL": url,
        "KEY_ID": KEY_ID,
        "SECRET": SECRET,
        "ENVIRONMENT": "certification",
    }
    return {
        "PYTHONPATH": str(installed),
        "PAYMENT_SYNC_INTERVAL": "1d",
        "PAYSYNC_CLEANUP_AT": "off",
        **{f"PAYSYNC_BANK_SHOPBANK_{key}": value for key, value in (keys | more).items()},
    }


def fine(ended: Ended) -> str:
    assert ended.status == 0, (ended.out, ended.err)
    assert SECRET not in ended.out + ended.err
    return ended.out


def test_its_bank_is_asked_and_its_money_is_booked(home: Home, bank: ExampleBankServer, installed: Path) -> None:
    its = env(installed, bank.url)
    fine(home.run("config", "check", **its))
    fine(home.run("enqueue", "A", "B", "C/1", "--amount", "12.50", **its))
    for charge in ("A", "B", "C/1"):
        bank.issue(charge, "12.50", "BOB")
    number = bank.pay("A", "12.50")
    bank.cancel("B")
    fine(home.run("worker", "--burst", **its))

    paid = home.data("show", "A", **its)
    assert (paid["status"], paid["paid"]) == ("completed", "12.50")
    assert [(one["bank_transaction_id"], one["amount"]) for one in paid["movements"]] == [(number, "12.50")]
    assert home.data("show", "B", **its)["status"] == "cancelled"
    assert home.data("show", "C/1", **its)["status"] == "pending"
    assert "/charges/C%2F1" in bank.asked

    late = bank.pay("C/1", "12.50")  # nobody asks about it: the day list brings it
    fine(home.run("sweep", **its))
    found = home.data("show", "C/1", **its)
    assert (found["status"], found["movements"][0]["bank_transaction_id"]) == ("completed", late)
    fine(home.run("bank", "test", "shopbank", **its))


def test_it_is_in_the_list_with_its_package(home: Home, bank: ExampleBankServer, installed: Path) -> None:
    its = env(installed, bank.url)
    fine(home.run("enqueue", "A", **its))
    listed = home.data("bank", "list", **its)
    assert [(one["name"], one["adapter"], one["adapter_error"]) for one in listed["items"]] == [
        ("shopbank", "examplebank", None)
    ]
    assert {"name": "examplebank", "package": "paysync-examplebank 1.0", "error": None} in listed["adapters"]


def test_a_refused_signature_stops_the_credential(home: Home, bank: ExampleBankServer, installed: Path) -> None:
    its = env(installed, bank.url, SECRET="canary-wrong-secret")
    fine(home.run("enqueue", *(f"Q{n}" for n in range(30)), **its))
    for _again in range(2):
        ended = home.run("worker", "--burst", **its)
        assert ended.status == 69
        assert "30 QRs of bank shopbank are due and were not asked: its credential is stopped." in ended.err
        assert "canary" not in ended.out + ended.err
    assert len(bank.asked) <= 5, "no more than were in flight when the first was refused"
    (found,) = home.data("bank", "list", **its)["items"]
    assert found["state"] == "credential_stopped"
    assert "the signature is not accepted" in found["stop_reason"]


def test_keys_that_are_missing_are_told_all_at_once(home: Home, installed: Path) -> None:
    its = env(installed, "https://bank.test", KEY_ID="", SECRET="")
    document = home.json("config", "check", status=2, **its)
    assert [one["message"] for one in document["errors"]] == [
        "banks.shopbank.key_id: is missing.",
        "banks.shopbank.secret: is missing.",
    ]


BROKEN = {
    "ModuleNotFoundError": ("import no_such_module_anywhere\n", None),
    "SyntaxError": ("def broken(:\n", None),
    "RuntimeError: canary of the module": ("raise RuntimeError('canary of the module')\n", None),
    "SystemExit": ("raise SystemExit(0)\n", None),
    "cannot be set up: KeyError": (None, ("self.profile = profile", "raise KeyError(profile.options['secret'])")),
    "offers no check()": (None, ("async def check(", "async def czech(")),
    "has a ping() that is not async": (
        None,
        ("async def ping(self) -> None:", "ping = 5\n\n    async def _p(self) -> None:"),
    ),
    "speaks version 7 of the protocol, this paysync speaks 1": (None, ("protocol = PROTOCOL", "protocol = 7")),
}


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_one_is_a_line_and_a_sentence(
    home: Home, bank: ExampleBankServer, installed: Path, tmp_path: Path, words: str
) -> None:
    """Never a crash: in the list, in `config check`, for the worker that needs it; other commands go on."""
    broken = tmp_path / "broken"
    shutil.copytree(installed, broken)
    _break(broken / "paysync_examplebank" / "bank.py", *BROKEN[words])
    fine(home.run("enqueue", "A", **env(installed, bank.url)))
    its = env(broken, bank.url)

    listed = home.data("bank", "list", **its)
    (item,) = listed["items"]
    assert item["state"] == "adapter_broken"
    assert words in item["adapter_error"]
    lines = fine(home.run("bank", "list", **its)).splitlines()
    assert "adapter broken" in next(line for line in lines if line.startswith("shopbank "))
    assert any(line.startswith("shopbank: ") and words in line for line in lines)
    assert home.data("bank", "show", "shopbank", **its)["adapter_error"] == item["adapter_error"]

    for command in (("config", "check"), ("worker", "--burst")):
        ended = home.run(*command, **its)
        assert ended.status == 2, (command, ended.out, ended.err)
        assert 'adapter "examplebank" (paysync-examplebank 1.0)' in ended.err
        assert words in ended.err
        assert "Traceback" not in ended.err
        assert SECRET not in ended.out + ended.err


def test_what_does_not_need_it_goes_on(home: Home, bank: ExampleBankServer, installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(installed, broken)
    _break(broken / "paysync_examplebank" / "bank.py", "raise RuntimeError\n", None)
    its = env(broken, bank.url)
    fine(home.run("enqueue", "A", **its))
    assert home.data("show", "A", **its)["status"] == "pending"
    fine(home.run("stats", **its))
    fine(home.run("pause", "shopbank", **its))
    fine(home.run("resume", "shopbank", **its))
    for command in (("check", "A"), ("sweep",), ("bank", "test", "shopbank")):
        ended = home.run(*command, **its)
        assert (ended.status, "Traceback" in ended.err) == (2, False), (command, ended.err)
        assert 'adapter "examplebank" (paysync-examplebank 1.0) cannot be loaded: RuntimeError' in ended.err


def test_its_bug_fails_the_check_and_tells_no_secret(
    home: Home, bank: ExampleBankServer, installed: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(installed, broken)
    bug = "raise ValueError(self.profile.options['secret'])"
    _break(broken / "paysync_examplebank" / "bank.py", None, ("await self._credential.heed_stop()", bug))
    its = env(broken, bank.url) | {"PAYSYNC_BACKOFF": "50ms"}
    fine(home.run("enqueue", "A", **its))
    fine(home.run("worker", "--burst", **its))
    for args in (("show", "A"), ("stats",)):
        fine(home.run(*args, **its))
    error = home.data("show", "A", **its)["checks"][-1]["error"]
    assert error.startswith("ValueError in bank.py, line ")
    ended = home.run("sweep", **its)
    assert "ValueError in bank.py, line " in ended.err
    assert SECRET not in ended.out + ended.err
    assert SECRET.encode() not in (home.folder / "paysync.db").read_bytes()


def test_a_broken_one_that_nobody_uses_is_a_line_too(home: Home, installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(installed, broken)
    _break(broken / "paysync_examplebank" / "bank.py", "import no_such_module_anywhere\n", None)
    its = {
        "PYTHONPATH": str(broken),
        "PAYSYNC_BANK_ANDES_ADAPTER": "baneco",
        "PAYSYNC_BANK_ANDES_BASE_URL": "http://127.0.0.1:9",
        "PAYSYNC_BANK_ANDES_ENVIRONMENT": "certification",
        "PAYSYNC_BANK_ANDES_USERNAME": "shop",
        "PAYSYNC_BANK_ANDES_PASSWORD": "p",
        "PAYSYNC_BANK_ANDES_AES_KEY": "k" * 32,
    }
    fine(home.run("enqueue", "A", **its))
    fine(home.run("config", "check", **its))
    out = fine(home.run("bank", "list", **its))
    assert 'adapter "examplebank" (paysync-examplebank 1.0) cannot be loaded: ModuleNotFoundError' in out
    errors = {one["name"]: one["error"] for one in home.data("bank", "list", **its)["adapters"]}
    assert errors["baneco"] is None
    assert "no_such_module_anywhere" in errors["examplebank"]


def _break(module: Path, whole: str | None, replaced: tuple[str, str] | None) -> None:
    text = module.read_text()
    if replaced is not None:
        assert replaced[0] in text
        text = text.replace(*replaced)
    module.write_text(text if whole is None else whole)
    for compiled in module.parent.glob("__pycache__/*"):
        compiled.unlink()


def test_json_of_the_list_is_one_document(home: Home, bank: ExampleBankServer, installed: Path) -> None:
    fine(home.run("enqueue", "A", **env(installed, bank.url)))
    ended = home.run("bank", "list", "--jsonl", **env(installed, bank.url))
    assert [json.loads(line)["name"] for line in ended.out.splitlines()] == ["shopbank"]
