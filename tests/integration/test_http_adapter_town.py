"""The bank of `docs/http-adapter.md`, described in paysync.toml and asked by real processes over HTTP: every fate of a
QR, whole lists in pages, and no secret anywhere."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from tests import described_banks
from tests.described_banks import DOCS, Andes, Credit, Told, exact
from tests.home import Home, new_home
from tests.http_server import Incoming, serving
from tests.process import Ended

CLIENT_SECRET = Andes.options["client_secret"]


class Town(Andes):
    """The documented bank with a few ways of its own; `asked` are the paths of all requests."""

    def __init__(self) -> None:
        super().__init__(lambda: datetime.now(UTC))
        self.hidden: set[str] = set()  # QRs whose credits only the list tells
        self.garbled: set[str] = set()  # QRs whose credits lack the bank's number
        self.asked: list[str] = []

    def answer(self, request: Incoming) -> Told:
        self.asked.append(urlsplit(request.target).path)
        return super().answer(request)

    def of(self, qr_id: str) -> list[Credit]:
        return [] if qr_id in self.hidden else super().of(qr_id)

    def element(self, credit: Credit) -> dict[str, object]:
        found = super().element(credit)
        return {key: value for key, value in found.items() if credit.qr_id not in self.garbled or key != "operation"}


@pytest.fixture
def andes() -> Town:
    return Town()


@pytest.fixture
def home(andes: Town) -> Iterator[Home]:
    """A home whose paysync.toml is the page's, with the address of our bank."""
    with new_home() as found, serving(lambda request: exact(andes.answer(request))) as url:
        secret = found.folder / "andes.secret"
        secret.write_text(CLIENT_SECRET + "\n")
        secret.chmod(0o600)
        toml = re.findall(r"^```toml\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)[0]
        text = toml.replace("https://api.andes.example/v2", url).replace("/etc/paysync/andes.secret", str(secret))
        general = 'payment_sync_interval = "1d"\ncleanup_at = "off"\nbackoff = "100ms"\n'
        (found.folder / "paysync.toml").write_text(f"{general}{text}")
        yield found


def fine(ended: Ended) -> str:
    assert ended.status == 0, (ended.out, ended.err)
    assert "canary" not in ended.out + ended.err
    return ended.out


def status(home: Home, qr_id: str) -> tuple[str, str]:
    found = home.data("show", qr_id)
    return found["status"], found["paid"]


def test_every_fate(home: Home, andes: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(described_banks, "PAGE_SIZE", 3)
    fine(home.run("config", "check"))
    names = ("open", "paid", "over", "under", "void", "busy", "only/listed", "strange", "unknown", "two", "garbled")
    fine(home.run("enqueue", *names, "--amount", "10.10"))
    for name in names:
        if name != "unknown":
            andes.issue(name, "10.10", "BOB")
    paid = andes.pay("paid", "10.10")
    andes.pay("over", "10.20")
    andes.pay("under", "10.00")
    andes.pay("two", "0.10")
    andes.pay("two", "10.00")
    andes.pay("garbled", "10.10")
    andes.garbled.add("garbled")
    andes.pay("only/listed", "10.10")
    andes.hidden.add("only/listed")
    andes.pay("nobody's", "7.00")
    andes.states |= {"void": "cancelled", "busy": "busy", "strange": "FROZEN"}
    with home.redis():
        fine(home.run("worker", "--burst"))
        fine(home.run("sweep"))
        assert home.run("reconcile", "--date", "today").status == 6  # the foreign QR and the garbled payment
        assert andes.given == 1, "one login for all processes"

    assert status(home, "open") == ("pending", "0.00")
    assert status(home, "paid") == ("completed", "10.10")
    assert home.data("show", "paid")["movements"][0]["bank_transaction_id"] == paid
    assert status(home, "over") == ("completed", "10.20")
    assert status(home, "under") == ("processing", "10.00")
    assert status(home, "two") == ("completed", "10.10")
    assert status(home, "void") == ("cancelled", "0.00")
    assert status(home, "busy") == ("processing", "0.00")
    assert status(home, "garbled") == ("processing", "0.00")
    strange = home.data("show", "strange")
    assert (strange["status"], strange["paid"]) == ("pending", "0.00"), "an unknown word is no state"
    assert 'unknown status "FROZEN"; banks.andes.status.words lacks it' in strange["checks"][-1]["error"]
    unknown = home.data("show", "unknown")
    assert (unknown["status"], unknown["checks"][-1]["outcome"]) == ("pending", "unknown")

    assert status(home, "only/listed") == ("completed", "10.10")
    reasons = sorted((one["reason"], one["qr_id"]) for one in home.data("review", "list")["items"])
    assert reasons == [
        ("amount_mismatch", "under"),
        ("overpaid", "over"),
        ("unknown_qr", "nobody's"),
        ("unreadable_payment", "garbled"),
    ]
    assert andes.asked.count("/credits") >= 3, "every page was read"


def test_no_secret_in_job_log_table_or_error(home: Home, andes: Town) -> None:
    """The client secret and the token, through the good days and the bad ones."""
    log = home.folder / "paysync.log"
    env = {"PAYSYNC_LOG_LEVEL": "debug", "PAYSYNC_LOG_FILE": str(log)}
    fine(home.run("enqueue", *(f"Q{n}" for n in range(5)), "--amount", "1.00", **env))
    andes.states |= {"Q0": "open", "Q2": f"FROZEN {CLIENT_SECRET}", "Q3": "open"}
    andes.pay("Q1", "1.00")
    seen = []
    with home.redis() as redis:
        home.run("worker", "--burst", **env)
        andes.expire_tokens()  # the next call meets 401 and logs in again
        home.run("check", "Q0", "--debug", **env)
        seen += [redis.dump(key) or b"" for key in redis.scan_iter()]
    for args in (("config", "show"), ("bank", "show", "andes"), ("show", "Q2"), ("list",), ("stats",)):
        for form in ((), ("--json",)):
            ended = home.run(*args, *form, "-v", **env)
            seen.append((ended.out + ended.err).encode())
    seen.append(log.read_bytes())
    with sqlite3.connect(home.folder / "paysync.db") as books:
        seen += [line.encode() for line in books.iterdump()]
    assert andes.given == 2
    assert sum(len(one) for one in seen) > 10_000
    text = b"\n".join(seen)
    for secret in (CLIENT_SECRET, "canary-token"):
        assert secret.encode() not in text, secret


def test_a_secret_file_that_all_may_read_is_warned_of(home: Home) -> None:
    (home.folder / "andes.secret").chmod(0o644)
    document = home.json("config", "check")
    (warning,) = document["data"]["warnings"]
    assert warning["code"] == "readable_secrets"
    assert str(home.folder / "andes.secret") in warning["message"]


def test_a_description_that_is_wrong_stops_the_worker_with_its_faults(home: Home) -> None:
    fine(home.run("enqueue", "A"))
    file = home.folder / "paysync.toml"
    file.write_text(file.read_text().replace('SETTLED = "paid"', 'SETTLED = "payed"').replace("charge.state", "["))
    ended = home.run("worker", "--burst")
    assert ended.status == 2
    assert "banks.andes.status.words.SETTLED: 'payed' is not one of" in ended.err
    assert "banks.andes.status.value: '[' is no JMESPath: it ends too early." in ended.err
    assert "Traceback" not in ended.err
    (item,) = home.data("bank", "list")["items"]
    assert (item["state"], "status.value" in item["adapter_error"]) == ("adapter_broken", True)


def test_unlock_after_a_refused_client(home: Home, andes: Town) -> None:
    secret = home.folder / "andes.secret"
    secret.write_text("canary-wrong-secret")
    fine(home.run("enqueue", "A", "B", "C"))
    for _again in range(2):
        ended = home.run("worker", "--burst")
        assert ended.status == 69, ended.err
        assert "canary" not in ended.out + ended.err
    assert andes.asked == ["/oauth/token"], "a refused login is never retried"
    reason = home.data("bank", "list")["items"][0]["stop_reason"]
    assert reason.endswith('login refused ("invalid_client")')
    secret.write_text(CLIENT_SECRET)
    assert home.run("worker", "--burst").status == 69, "a better secret alone does not let it in"
    fine(home.run("bank", "unlock", "andes", "--reason", "new secret"))
    for name in "ABC":
        andes.issue(name, None, "BOB")
    andes.pay("A", "5.00")
    fine(home.run("worker", "--burst"))
    assert status(home, "A") == ("completed", "5.00")


def test_moments_are_the_banks(home: Home, andes: Town) -> None:
    fine(home.run("enqueue", "A"))
    andes.pay("A", "5.00")
    fine(home.run("worker", "--burst"))
    at = datetime.fromisoformat(home.data("show", "A")["movements"][0]["paid_at"])
    assert abs((datetime.now(UTC) - at).total_seconds()) < 120
