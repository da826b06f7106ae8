"""The simulated bank gives notice of what is paid: when it happens, in each bank's form, again until it is taken."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from paysync_cli.banks.simulator import RunningSimulator, notifier
from paysync_cli.banks.simulator.fields import ScenarioError
from tests.embedded import until
from tests.http_server import Incoming, serving
from tests.simulated import START, Clock

QR = "QRQRQRQRQRQRQRQRQRQRQRQRQRQR"
TAKEN: dict[str, object] = {
    "baneco": {"responseCode": 0, "message": ""},
    "bnb": {"success": True, "message": "OK"},
    "sip": {"codigo": "0000"},
    "pix": {},
}
TOLD: dict[str, tuple[str, dict[str, Any]]] = {
    "baneco": ("/api/qrsimple/notifyPaymentQR", {"payment": {
        "qrId": QR, "transactionId": "T1", "paymentDate": "2031-06-14T00:00:00", "paymentTime": "12:00:00",
        "currency": "BOB", "amount": 12.5, "senderBankCode": "1016", "senderName": "ANA QUISPE",
        "senderDocumentId": "0", "senderAccount": "******1234", "description": "", "branchCode": ""}}),
    "bnb": ("", {
        "QRId": QR, "Gloss": "", "sourceBankId": 1016, "originName": "ANA QUISPE", "VoucherId": "T1",
        "TransactionDateTime": "2031-06-14T12:00:00", "additionalData": "", "amount": 12.5, "currencyId": 1}),
    "sip": ("", {"alias": QR, "numeroOrdenOriginante": "T1", "monto": 12.5, "moneda": "BOB", "idQr": QR}),
    "pix": ("/pix", {"pix": [{
        "endToEndId": "E99999999203106141600000000000T1", "txid": QR,
        "valor": "12.50", "horario": "2031-06-14T16:00:00.000Z", "chave": "7d9f0335-8dcc-4054-9bf9-0dbd61d36906",
        "infoPagador": ""}]}),
}  # fmt: skip


@pytest.mark.parametrize("dialect", TOLD)
def test_it_tells_in_the_banks_own_form(dialect: str) -> None:
    heard: list[Incoming] = []

    def answer(asked: Incoming) -> tuple[int, object]:
        heard.append(asked)
        return 200, TAKEN[dialect]

    with serving(answer) as url, RunningSimulator(now=Clock()) as bank:
        bank.load({"notify": {"url": url.replace("://", "://ana:secret@") + "/notify/x/", "dialect": dialect}})
        bank.pay(QR, "12.5", id="T1")
        until(lambda: bank.notices()["taken"] == 1)
    (asked,) = heard
    suffix, told = TOLD[dialect]
    assert (asked.method, asked.target, json.loads(asked.body)) == ("POST", f"/notify/x{suffix}", told)
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"ana:secret").decode()


def test_a_notice_that_is_not_taken_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "AGAIN_AFTER_S", 0.01)
    answers: list[tuple[int, object]] = [(503, {}), (200, {"responseCode": 1}), (200, "<html>"), (200, TAKEN["baneco"])]
    with serving(lambda _asked: answers.pop(0)) as url, RunningSimulator() as bank:
        bank.load({"notify": {"url": url}})
        bank.pay(QR, "5")
        until(lambda: bank.notices()["taken"] == 1)
        told = bank.notices()
        assert (told["sent"], told["given_up"]) == (4, 0)
        assert [one["outcome"] for one in told["answers"]] == ["503", "200", "200", "200"]
    with RunningSimulator({"notify": {"url": "http://127.0.0.1:1"}}) as bank:
        bank.pay(QR, "5")
        until(lambda: bank.notices()["given_up"] == 1)
        assert {one["outcome"] for one in bank.notices()["answers"]} == {"ConnectError"}
        assert bank.notices()["sent"] == notifier.TRIES


def test_nothing_is_told_before_it_happens_nor_of_what_was_taken_back() -> None:
    clock, heard = Clock(), []

    def answer(asked: Incoming) -> tuple[int, object]:
        heard.append(json.loads(asked.body)["payment"]["qrId"])
        return 200, TAKEN["baneco"]

    with serving(answer) as url, RunningSimulator(now=clock) as bank:
        later = {"at": (START + timedelta(minutes=1)).isoformat(), "amount": "5"}
        bank.load({"notify": {"url": url}, "qr": [{"id": name, "payment": [later]} for name in ("A", "B")]})
        bank.pay("NOW", "5")
        until(lambda: bank.notices()["taken"] == 1)
        bank.load({"qr": [{"id": "B"}]})
        clock.forward(minutes=2)
        until(lambda: bank.notices()["taken"] == 2)
    assert heard == ["NOW", "A"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "url is missing"),
        ({"url": "ftp://x"}, "url must be an http or https address"),
        ({"url": "http://x", "dialect": "swift"}, "dialect must be one of baneco, bnb, sip, pix"),
        ({"url": "http://x", "more": 1}, "unknown key 'more'"),
    ],
)
def test_a_table_that_cannot_be_played(table: dict[str, object], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        RunningSimulator({"notify": table})
