"""The example bank itself, a real HTTP server that checks every signature; and installing the package for it."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from tests.http_server import Incoming, serving

PACKAGE = Path(__file__).parent / "thirdparty" / "paysync-examplebank"
KEY_ID, SECRET = "shop", "canary-signing-secret"
LA_PAZ = ZoneInfo("America/La_Paz")


class ExampleBankServer:
    """Charges that were issued, open unless they were paid or voided; `asked` are the questions."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.payments: list[dict[str, object]] = []
        self.issued: set[str] = set()
        self.void: set[str] = set()
        self.asked: list[str] = []
        self.url = ""

    def issue(self, qr_id: str, amount: str | None, currency: str) -> None:
        self.issued.add(qr_id)

    def pay(self, qr_id: str, amount: str, currency: str = "BOB") -> str:
        """Pay a charge now; the bank's number of the payment."""
        number, cents = f"EX-{len(self.payments) + 1}", int(Decimal(amount) * 100)
        at = int(self._now().timestamp())
        self.payments.append({"charge": qr_id, "ref": number, "cents": cents, "currency": currency, "paid_at": at})
        return number

    def cancel(self, qr_id: str) -> None:
        self.void.add(qr_id)

    def expire(self, qr_id: str) -> None:
        raise NotImplementedError

    def expire_tokens(self) -> None:
        raise NotImplementedError

    def answer(self, target: str) -> tuple[int, object]:
        path, query = urlsplit(target).path, urlsplit(target).query
        if path.startswith("/charges/"):
            return self._charge(unquote(path.removeprefix("/charges/")))
        if path == "/payments" and query.startswith("day="):
            day = query.removeprefix("day=")
            return 200, {"payments": [one for one in self.payments if _day(one) == day]}
        return 404, {"error": "no_such_page"}

    def _charge(self, qr_id: str) -> tuple[int, object]:
        if qr_id not in self.issued:
            return 404, {"error": "no_such_charge"}
        paid = [one for one in self.payments if one["charge"] == qr_id]
        state = "void" if qr_id in self.void else "paid" if paid else "open"
        return 200, {"id": qr_id, "state": state, "payments": paid}


def _day(payment: dict[str, object]) -> str:
    return datetime.fromtimestamp(float(str(payment["paid_at"])), LA_PAZ).date().isoformat()


@contextlib.contextmanager
def example_bank(now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[ExampleBankServer]:
    """The bank, serving on a free port."""
    bank = ExampleBankServer(now)

    def answer(request: Incoming) -> tuple[int, object]:
        bank.asked.append(request.target)
        signed = f"GET\n{request.target}\n{request.headers['x-time']}".encode()
        wanted = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        told = request.headers["x-signature"] or ""
        good = request.headers["x-key"] == KEY_ID and hmac.compare_digest(wanted, told)
        return bank.answer(request.target) if good else (401, {"error": "bad_signature"})

    with serving(answer) as bank.url:
        yield bank


def install(package: Path, target: Path) -> None:
    """Install a package into a folder of its own, as pip does it everywhere; needs no network."""
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
            "--disable-pip-version-check", "--target", str(target), str(package),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip


def adapter_class() -> Any:
    """The package's class, straight from its source."""
    spec = importlib.util.spec_from_file_location(
        "paysync_examplebank.bank", PACKAGE / "paysync_examplebank" / "bank.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ExampleBank
