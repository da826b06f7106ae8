"""Who may send notices, and how each bank's are read and answered."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from paysync_cli.banks import registry
from paysync_cli.banks.base import BankProfile, BankTools, Unreadable
from paysync_cli.banks.declared.bank import HttpBank
from paysync_cli.banks.http import make_client
from paysync_cli.banks.notices import (
    MAX_QRS,
    Notice,
    NoticeFate,
    Notices,
    authenticated,
    belongs,
    takes_notices,
)
from paysync_cli.banks.seal import Seal
from tests.declared import OPTIONS as DECLARED
from tests.declared import described
from tests.simulated import profile

SECRET = "s3cret-part_of.a~path"
USER, PASSWORD = "the bank", "pá55:word"
TABLES = described(notice={"qr_ids": "items[].code", "path": "/paid", "taken": {"code": 0}, "refused": {"code": 1}})
OPTIONS: Mapping[str, dict[str, str]] = {
    "baneco": {"username": "u", "password": "p", "aes_key": "k" * 32},
    "bnb": {"account_id": "a", "authorization_id": "b"},
    "sip": {"username": "u", "password": "p", "api_key": "k", "service_key": "s"},
    "pix": {"client_id": "c", "client_secret": "s", "token_url": "https://bank.test/oauth"},
    "http": DECLARED,
}


def profile_of(adapter: str, **more: str) -> BankProfile:
    changes: dict[str, Any] = {"name": adapter, "adapter": adapter, "environment": "certification"}
    if adapter == "pix":
        changes |= {"currency": "BRL", "timezone": ZoneInfo("America/Sao_Paulo")}
    if adapter == "http":
        changes |= {"tables": TABLES}
    return profile("https://bank.test", OPTIONS[adapter] | more, **changes)


def bank_of(adapter: str, **more: str) -> Notices:
    found = registry.build(profile_of(adapter, **more), BankTools(make_client(), lambda: datetime.now(UTC)))
    assert isinstance(found, Notices)
    return found


def notice(body: object, path: str = "", **headers: str) -> Notice:
    return Notice(path, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


# -- who


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("path", "headers", "rest"),
    [
        (f"/{SECRET}", {}, ""),
        (f"/{SECRET}/pix", {}, "/pix"),
        ("", {"authorization": f"Bearer {SECRET}"}, ""),
        ("/pix", {"authorization": f"bearer  {SECRET}"}, "/pix"),
        ("/pix", {"authorization": basic(USER, PASSWORD)}, "/pix"),
    ],
)
def test_the_bank_is_believed(path: str, headers: dict[str, str], rest: str) -> None:
    one = profile_of("pix", notice_secret=SECRET, notice_username=USER, notice_password=PASSWORD)
    found = authenticated(one, notice({}, path, **headers))
    assert found is not None
    assert found.path == rest
    assert belongs(bank_of("pix"), found)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("", {}),
        ("/", {}),
        ("/pix", {}),
        (f"/{SECRET}x", {}),
        (f"/pix/{SECRET}", {}),
        (f"/{SECRET.upper()}", {}),
        ("/ñandú", {}),
        ("/\udcff", {}),
        ("", {"authorization": "Bearer "}),
        ("", {"authorization": "Bearer é"}),
        ("", {"authorization": f"Basic {SECRET}"}),
        ("", {"authorization": basic(USER, "wrong")}),
        ("", {"authorization": basic(USER, "")}),
        ("", {"authorization": basic("", "")}),
        ("", {"authorization": "Basic ***"}),
        ("", {"authorization": "Basic /w=="}),
    ],
)
def test_nobody_else_is(path: str, headers: dict[str, str]) -> None:
    for keys in (
        {"notice_secret": SECRET},
        {"notice_username": USER, "notice_password": PASSWORD},
        {"notice_secret": SECRET, "notice_username": USER, "notice_password": PASSWORD},
        {},
    ):
        assert authenticated(profile_of("pix", **keys), notice({}, path, **headers)) is None, keys


def test_without_a_secret_no_notices_are_taken() -> None:
    assert not takes_notices(profile_of("pix"))
    assert takes_notices(profile_of("pix", notice_secret=SECRET))
    assert takes_notices(profile_of("pix", notice_username=USER, notice_password=PASSWORD))


@pytest.mark.parametrize("adapter", OPTIONS)
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"notice_secret": "xyzzy"}, "notice_secret is shorter than 16 characters"),
        ({"notice_secret": "a/secret/with/slashes"}, "notice_secret is part of an address"),
        ({"notice_username": "u"}, "notice_username and notice_password go together"),
        ({"notice_password": "p"}, "notice_username and notice_password go together"),
        ({"notice_username": "u:v", "notice_password": "p"}, "notice_username must hold no colon"),
        ({"notice_secert": SECRET}, "notice_secert"),
    ],
)
def test_wrong_settings_are_told_without_their_values(adapter: str, keys: dict[str, str], said: str) -> None:
    tools = BankTools(make_client(), lambda: datetime.now(UTC))
    messages = [fault.message for fault in registry.faults(profile_of(adapter, **keys), tools)]
    (message,) = messages
    assert said in message
    assert not any(value in message for value in keys.values() if len(value) > 3)


@pytest.mark.parametrize("adapter", ["bnb", "sip", "pix"])
def test_a_key_that_nobody_reads_is_a_fault(adapter: str) -> None:
    tools = BankTools(make_client(), lambda: datetime.now(UTC))
    wrong = next(iter(OPTIONS[adapter])) + "s"
    (fault,) = registry.faults(profile_of(adapter, **{wrong: "x"}), tools)
    assert f"there is no key {wrong}; did you mean {wrong[:-1]}?" in fault.message


def test_the_credential_at_the_bank_is_the_same_with_and_without_notices() -> None:
    """A worker on another machine knows no notice_secret, and shares the token all the same."""
    with_, without = (Seal(profile_of("pix", **more), b"salt") for more in ({"notice_secret": SECRET}, {}))
    assert with_.fingerprint == without.fingerprint


# -- what

GOOD: Mapping[str, tuple[str, object, tuple[str, ...]]] = {
    "baneco": ("/api/qrsimple/notifyPaymentQR", {"payment": {"qrId": "A", "amount": 12.5}}, ("A",)),
    "bnb": ("", {"QRId": 31061400000000000001, "VoucherId": "7"}, ("31061400000000000001",)),
    "sip": ("", {"alias": "A", "monto": 5, "idQr": "B"}, ("A",)),
    "pix": ("/pix", {"pix": [{"txid": "A"}, {"txid": "B"}, {"txid": "A"}, {"endToEndId": "E1"}]}, ("A", "B")),
    "http": ("/paid", {"items": [{"code": "A"}, {"code": 7}]}, ("A", "7")),
}


@pytest.mark.parametrize("adapter", GOOD)
def test_a_notice_names_its_qrs(adapter: str) -> None:
    path, body, ids = GOOD[adapter]
    bank = bank_of(adapter)
    assert belongs(bank, notice(body, path))
    assert belongs(bank, notice(body, path + "/"))
    assert not belongs(bank, notice(body, path + "/more"))
    assert tuple(bank.noticed(notice(body, path))) == ids


def test_a_transfer_without_a_charge_is_nobodys() -> None:
    assert bank_of("pix").noticed(notice({"pix": [{"endToEndId": "E1", "valor": "1.00"}]})) == ()


ID_OF = {
    "baneco": lambda value: {"payment": {"qrId": value}},
    "bnb": lambda value: {"QRId": value},
    "sip": lambda value: {"alias": value},
    "pix": lambda value: {"pix": [{"txid": "A"}, {"txid": value}]},
    "http": lambda value: {"items": [{"code": "A"}, {"code": value}]},
}


@pytest.mark.parametrize("adapter", GOOD)
def test_garbage_is_unreadable_whatever_it_is(adapter: str) -> None:
    bank = bank_of(adapter)
    values: tuple[object, ...] = (True, 1.5, [], {}, "a b", "x" * 200, "\u202e", "\x00", "\ud800")
    bodies: list[object] = [ID_OF[adapter](value) for value in values]
    bodies += [{}, [], "A", None, 5, {"pix": {}}, {"pix": [1]}, {"payment": [{"qrId": "A"}]}, {"items": None}]
    bodies += [b"", b"\xff", b"<html>", b"[" * 100_000, b'{"a":' * 50_000, b'{"a": 1, "a": 2}', b'{"a": NaN}']
    for body in bodies:
        with pytest.raises(Unreadable) as caught:
            bank.noticed(notice(body))
        assert len(caught.value.message) < 200


@pytest.mark.parametrize("adapter", ["pix", "http"])
def test_too_many_at_once_are_refused(adapter: str) -> None:
    body = {"pix": [{"txid": f"A{n}"} for n in range(MAX_QRS + 1)]}
    with pytest.raises(Unreadable):
        bank_of(adapter).noticed(notice(body | {"items": [{"code": one["txid"]} for one in body["pix"]]}))


REPLIES: Mapping[str, tuple[tuple[int, object], ...]] = {
    "baneco": (
        (200, {"responseCode": 0, "message": ""}),
        (200, {"responseCode": 1, "message": "unreadable notice"}),
        (503, {"responseCode": 99, "message": "try again"}),
    ),
    "bnb": (
        (200, {"success": True, "message": "OK"}),
        (200, {"success": False, "message": "unreadable notice"}),
        (503, {"success": False, "message": "try again"}),
    ),
    "sip": (
        (200, {"codigo": "0000", "mensaje": "OK"}),
        (200, {"codigo": "9999", "mensaje": "unreadable notice"}),
        (503, {"codigo": "9999", "mensaje": "try again"}),
    ),
    "http": ((200, {"code": 0}), (400, {"code": 1}), (503, {"code": 1})),
}


@pytest.mark.parametrize("adapter", REPLIES)
def test_the_answer_is_the_banks_own(adapter: str) -> None:
    replies = [bank_of(adapter).notice_reply(fate) for fate in NoticeFate]
    assert [(one.status, json.loads(one.body)) for one in replies] == list(REPLIES[adapter])
    assert {one.content_type for one in replies} == {"application/json"}


def test_pix_answers_with_problems() -> None:
    taken, unreadable, again = (bank_of("pix").notice_reply(fate) for fate in NoticeFate)
    assert taken.status == 200
    for reply, status, name in ((unreadable, 400, "RequisicaoInvalida"), (again, 503, "ServicoIndisponivel")):
        assert (reply.status, reply.content_type) == (status, "application/problem+json")
        problem = json.loads(reply.body)
        assert problem == {"type": f"https://pix.bcb.gov.br/api/v2/error/{name}", "title": name, "status": status}


def test_a_description_must_say_how_a_notice_is_read() -> None:
    tools = BankTools(make_client(), lambda: datetime.now(UTC))
    without = profile_of("http", notice_secret=SECRET)
    tables = {name: table for name, table in TABLES.items() if name != "notice"}
    (fault,) = registry.faults(BankProfile(**{**vars(without), "tables": tables}), tools)
    assert fault.message == "banks.http.notice: is missing: it says how a notice is read."
    assert not isinstance(HttpBank(BankProfile(**{**vars(profile_of("http")), "tables": tables}), tools), Notices)
