"""A bank described in TOML: what is wrong is told all at once, each with its key path; nothing is asked."""

from __future__ import annotations

import tomllib

import pytest

from paysync_cli.banks.base import ListsPayments, Pings
from paysync_cli.banks.declared.bank import HttpBank
from tests.declared import TOKEN, Scripted, bank_profile, body, described, faults


def told(*args: object, **kwargs: object) -> list[str]:
    return [f"{fault.message} {fault.hint or ''}".strip() for fault in faults(*args, **kwargs)]  # type: ignore[arg-type]


def test_a_right_description_has_no_faults() -> None:
    assert told(described()) == []


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wrong = """
[auth]
kind = "oauth"
client_secret = "canary"
[answer]
okk = "success"
[status]
pth = "/v1/qrs/{qr_id}"
path = "/v1/{qrid}"
value = "data.[["
words = { OPEN = "unpayed" }
payments = "fo(x)"
[payment]
transaction_id = "id"
minor_units = "yes"
[day_list]
path = "/v1/payments"
elements = "items"
[day_list.paging]
kind = "pages"
[statu]
x = 1
"""
    messages = told(tomllib.loads(wrong), {"tokn": "x"})
    starts = [message.split(": ")[0] for message in messages]
    assert sorted(starts) == sorted(
        f"banks.andes.{key}"
        for key in (
            "auth.kind", "auth.client_secret", "answer.okk", "status.pth", "status.path", "status.value",
            "status.words.OPEN", "status.words", "status.payments", "payment.minor_units", "payment.amount",
            "payment.currency", "payment.qr_id", "day_list", "day_list.by", "day_list.paging.kind", "statu", "tokn",
        )
    )  # fmt: skip
    assert not any("canary" in message for message in messages)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"statu": {"x": 1}}, "banks.andes.statu: there is no such key. Did you mean status?"),
        ({"status": {"valeu": "x"}}, "banks.andes.status.valeu: there is no such key. Did you mean value?"),
        ({"zzz": {"x": 1}}, "banks.andes.zzz: there is no such key. Known here: username, password, token"),
        ({"status": {"path": "/{qrid}"}}, "status.path: there is no placeholder {qrid} here; did you mean {qr_id}?"),
        ({"status": {"path": "/{zz}{qr_id}"}}, "no placeholder {zz} here; there are: {account}, {currency}, {qr_id}"),
        ({"status": {"path": "/{qr_id"}}, "status.path: its braces do not match"),
        ({"status": {"path": "/{qr_id!r}"}}, "status.path: there is no placeholder {qr_id} here"),
        ({"status": {"path": "/{qr_id:%Y}"}}, "status.path: {qr_id} takes no form after a colon"),
        ({"status": {"path": "qrs/{qr_id}"}}, "status.path: write a path that starts with /"),
        ({"status": {"path": "/qrs?id={qr_id}"}}, "parameters stand in query"),
        ({"status": {"path": "/qrs/ñ/{qr_id}"}}, "in ASCII"),
        ({"status": {"path": "/qrs"}}, "banks.andes.status: the request does not name the QR: put {qr_id} into path"),
        ({"status": {"path": ...}}, "banks.andes.status.path: is missing: the address behind base_url."),
        ({"status": {"path": 5}}, "banks.andes.status.path: write text."),
        ({"status": {"path": "  "}}, "banks.andes.status.path: is empty."),
        ({"status": {"method": "DELETE"}}, "status.method: 'DELETE' is not one of GET, POST"),
        ({"status": {"json": {"id": "{qr_id}"}, "method": "GET"}}, "status.method: a body goes with POST."),
        ({"status": {"json": {}, "form": {}}}, "status.form: json and form are two bodies: choose one."),
        ({"status": {"json": {"a": {"b": ["{qr}"]}}}}, "status.json.a.b[0]: there is no placeholder {qr} here"),
        ({"status": {"json": {"a": 1.5}}}, "status.json.a: write text, a whole number, true/false, a list or a table"),
        ({"status": {"query": {"a": {"b": 1}}}}, "status.query.a: write text, a number or true/false."),
        ({"status": {"value": ...}}, "banks.andes.status.value: is missing: the JMESPath of the bank's word"),
        ({"status": {"value": "a b"}}, "status.value: 'a b' is no JMESPath: 'b' is not expected at character 3."),
        ({"status": {"value": "a["}}, "status.value: 'a[' is no JMESPath: it ends too early."),
        ({"status": {"value": "uper(a)"}}, "there is no function uper()"),
        ({"status": {"value": "to_strin(a)"}}, "no function to_strin(); did you mean to_string()?"),
        ({"status": {"value": "join(a)"}}, "join() takes 2 arguments, not 1"),
        ({"payment": {"amount": "sum(parts)"}}, "payment.amount: 'sum(parts)' is no JMESPath: sum() computes"),
        ({"payment": {"amount": "abs(amount)"}}, "abs() computes; take the bank's own value"),
        ({"status": {"value": "a[?b == `1.5`]"}}, "a number with a point between ` ` is not exact"),
        ({"status": {"words": ...}}, "banks.andes.status.words: is missing: which of the bank's words means which of"),
        ({"status": {"words": {"A": "payed"}}}, "status.words.A: 'payed' is not one of unpaid, in_process, paid"),
        ({"status": {"words": {"A": "payed"}}}, "; did you mean 'paid'?"),
        ({"status": {"words": {"A": 1, "B": "paid"}}}, "status.words.A: '1' is not one of"),
        ({"status": {"words": {"A": "unpaid"}}}, "banks.andes.status.words: no word means paid."),
        ({"status": {"payments": ...}, "day_list": ...}, "status.payments: is missing, and so is day_list"),
        ({"status": ...}, "banks.andes.status: is missing: it says how one QR is asked about."),
        ({"status": "x"}, "banks.andes.status: write a table."),
        ({"payment": ...}, "banks.andes.payment: is missing: it says where id, amount and currency stand."),
        ({"payment": {"transaction_id": ...}}, "payment.transaction_id: is missing: without the bank's own id"),
        ({"payment": {"amount": ...}}, "payment.amount: is missing"),
        ({"payment": {"books_qr_amount": True}}, "payment.books_qr_amount: the bank tells the amount: leave one of"),
        ({"payment": {"books_qr_amount": True, "amount": ...}}, "books_qr_amount: a day list has to tell amounts"),
        ({"payment": {"qr_id": ...}}, "payment.qr_id: is missing: a list must say whose payment it is."),
        ({"payment": {"currency": ...}}, "payment.currency: say where the currency stands, or fixed_currency"),
        ({"payment": {"fixed_currency": "BOB"}}, "payment.currency: say where the currency stands"),
        ({"payment": {"currency": ..., "fixed_currency": "BOLIVIANO"}}, "'BOLIVIANO' is not a currency"),
        ({"payment": {"currencies": {"Bs": "bob"}}}, "payment.currencies.Bs: 'bob' is not a currency"),
        (
            {"payment": {"currency": ..., "fixed_currency": "BOB", "currencies": {"Bs": "BOB"}}},
            "payment.currencies: it translates what currency finds, which is missing.",
        ),
        ({"payment": {"minor_units": 1}}, "payment.minor_units: write true or false."),
        ({"payment": {"decimal_mark": ";"}}, "payment.decimal_mark: ';' is not one of ., ,"),
        ({"payment": {"paid_at_format": "dd/mm/yyyy"}}, "payment.paid_at_format: write iso, epoch_s, epoch_ms or"),
        ({"payment": {"paid_at": ..., "paid_at_format": "iso"}}, "payment.paid_at: is missing"),
        ({"day_list": {"by": ...}}, 'day_list.by: is missing: write by = "payment_day" once you know'),
        ({"day_list": {"by": "creation_day"}}, "day_list.by: a list by the day of creation does not tell"),
        (
            {"day_list": {"by": "payday"}},
            "'payday' is not one of payment_day, creation_day; did you mean 'payment_day'",
        ),
        ({"day_list": {"query": {}}}, "banks.andes.day_list: the request does not name the day: use {day}, {next_day}"),
        ({"day_list": {"query": {"d": "{day:dd}"}}}, "'dd' is no form of {day}"),
        ({"day_list": {"query": {"d": "{day:epoch_s}"}}}, "'epoch_s' is no form of {day}"),
        ({"day_list": {"missing_is_empty": True}, "answer": ...}, "missing_is_empty: this needs answer.ok"),
        ({"day_list": {"elements": ...}}, "day_list.elements: is missing: the JMESPath of the list of payments."),
        ({"day_list": {"paging": {}}}, "day_list.paging.kind: is missing: one of page, cursor, next_link."),
        ({"day_list": {"paging": {"kind": "page"}}}, "the request does not name the page: use {page}."),
        ({"day_list": {"paging": {"kind": "cursor", "cursor": "c"}}}, "does not name the page: use {cursor}."),
        ({"day_list": {"paging": {"kind": "cursor"}}}, "paging.cursor: is missing: the JMESPath of the next page's"),
        ({"day_list": {"paging": {"kind": "next_link"}}}, "paging.link: is missing: the JMESPath of the next page's"),
        ({"day_list": {"paging": {"kind": "next_link", "link": "l", "pages": "n"}}}, "paging.pages: there is no such"),
        (
            {"day_list": {"json": {"d": "{day}"}, "paging": {"kind": "next_link", "link": "l"}}},
            "paging.kind: next_link goes with GET.",
        ),
        (
            {"day_list": {"query": {"d": "{day}", "p": "{page}", "n": "{page_size}"}, "paging": {"kind": "page"}}},
            "day_list.paging.size: is missing: the request names {page_size}.",
        ),
        (
            {"day_list": {"query": {"d": "{day}", "p": "{page}"}, "paging": {"kind": "page", "first": 7}}},
            "paging.first: 7 is not between 0 and 1.",
        ),
        (
            {"day_list": {"query": {"d": "{day}{page}"}, "paging": {"kind": "page", "pages": "n", "more": "m"}}},
            "paging.more: pages and more say the same: choose one.",
        ),
        ({"answer": {"ok": ..., "ok_is": 0}}, "answer.ok: is missing: ok_is is compared with what it finds."),
        ({"answer": {"ok_is": []}}, "answer.ok_is: write a value, or a list of values"),
        ({"answer": {"ok_is": [0.5]}}, "answer.ok_is: write a value, or a list of values"),
        ({"auth": ...}, "banks.andes.auth: is missing: a table with kind, one of none, basic, bearer, api_key"),
        ({"auth": {"kind": ...}}, "banks.andes.auth.kind: is missing: one of none, basic"),
        ({"auth": {"kind": "barer"}}, "auth.kind: 'barer' is not one of none, basic, bearer, api_key, oauth2, login"),
        ({"auth": {"header": "x"}}, "banks.andes.auth.header: there is no such key."),
        ({"auth": {"refused": 401}}, "auth.refused: write a list of statuses from 400 to 499"),
        ({"auth": {"refused": [429]}}, "auth.refused: write a list of statuses from 400 to 499, without 408 and 429."),
        ({"auth": {"token": "x"}}, "auth.token: this belongs into [banks.andes] itself. Set token or token_file in"),
        ({"headers": {"X-Api-Key": "canary-key"}}, "headers.X-Api-Key: a secret does not stand here"),
        ({"headers": {"Authorization": "x"}}, "headers.Authorization: auth sends this header already."),
        ({"headers": {"Host": "x"}}, "headers.Host: this header is set by paysync."),
        ({"headers": {"X Y": "x"}}, "headers.X Y: a header is made of visible ASCII characters."),
        ({"headers": {"X-Y": "a\nb"}}, "headers.X-Y: a header is made of visible ASCII characters."),
        ({"headers": {"X-Key": "{api_kee}"}}, "headers.X-Key: there is no placeholder {api_kee} here; did you mean"),
        (
            {"headers": {"X-Key": "{api_key}"}},
            "banks.andes.api_key: is missing: the header X-Key needs it. Set api_key or api_key_file in [banks.andes], "
            "or PAYSYNC_BANK_ANDES_API_KEY or PAYSYNC_BANK_ANDES_API_KEY_FILE.",
        ),
        ({"ping": {"query": {"a": "b"}}}, "banks.andes.ping.path: is missing"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:40],
)
def test_a_fault_names_its_key_and_what_to_do(changes: dict[str, object], message: str) -> None:
    messages = told(described(**changes))
    assert any(message in one for one in messages), messages
    assert not any("canary" in one for one in messages)


@pytest.mark.parametrize(
    ("auth", "options", "message"),
    [
        ({"kind": "bearer"}, {}, "banks.andes.token: is missing: auth.kind bearer needs it. Set token or token_file"),
        ({"kind": "bearer"}, {"token": "to\nken"}, "banks.andes.token: it holds characters that cannot be sent."),
        ({"kind": "basic"}, {"username": "u"}, "banks.andes.password: is missing: auth.kind basic needs it."),
        ({"kind": "basic"}, {"username": "a:b", "password": "p"}, "username: basic authentication allows no colon"),
        ({"kind": "api_key", "header": "X-Key"}, {}, "banks.andes.api_key: is missing: auth.kind api_key needs it."),
        ({"kind": "api_key"}, {"api_key": "k"}, "banks.andes.auth: say where the key goes: header or query"),
        ({"kind": "api_key", "header": "a", "query": "b"}, {"api_key": "k"}, "say where the key goes"),
        ({"kind": "api_key", "header": "a b"}, {"api_key": "k"}, "auth.header: this is no header's name."),
        ({"kind": "oauth2", "token_url": "/t"}, {"client_id": "c"}, "client_secret: is missing: auth.kind oauth2"),
        ({"kind": "oauth2"}, {"client_id": "c", "client_secret": "s"}, "auth.token_url: is missing"),
        (
            {"kind": "oauth2", "token_url": "ftp://x/t"},
            {"client_id": "c", "client_secret": "s"},
            "auth.token_url: write a path that starts with /, or https://host/path.",
        ),
        (
            {"kind": "oauth2", "token_url": "https://x:99999/t"},
            {"client_id": "c", "client_secret": "s"},
            "auth.token_url: write a path",
        ),
        (
            {"kind": "oauth2", "token_url": "https://u:p@x/t"},
            {"client_id": "c", "client_secret": "s"},
            "auth.token_url: write a path",
        ),
        (
            {"kind": "oauth2", "token_url": "/t", "lifetime_s": 5},
            {"client_id": "c", "client_secret": "s"},
            "auth.lifetime_s: 5 is not between 30 and 86400.",
        ),
        (
            {"kind": "oauth2", "token_url": "/t", "send": "header"},
            {"client_id": "c", "client_secret": "s"},
            "auth.send: 'header' is not one of basic, body",
        ),
        ({"kind": "login", "path": "/l", "json": {}}, {}, "auth.find: is missing: the JMESPath of the token"),
        (
            {"kind": "login", "path": "/l", "json": {"p": "{password}"}, "find": "t"},
            {},
            "banks.andes.password: is missing: auth.kind login needs it.",
        ),
        (
            {"kind": "login", "path": "/l/{password}", "json": {}, "find": "t"},
            {"password": "p"},
            "auth.path: there is no placeholder {password} here",
        ),
        (
            {"kind": "login", "path": "/l", "query": {"p": "{password}"}, "find": "t"},
            {"password": "p"},
            "auth.query: there is no such key.",
        ),
    ],
)
def test_a_credential_that_is_not_whole(auth: dict[str, object], options: dict[str, str], message: str) -> None:
    messages = told(described(auth={"kind": ...} | auth), options)
    assert any(message in one for one in messages), messages


@pytest.mark.parametrize(
    ("environment", "url", "refused"),
    [
        ("production", "http://elsewhere.test/token", True),
        ("production", "http://localhost/token", False),
        ("production", "https://elsewhere.test/token", False),
        ("certification", "http://elsewhere.test/token", False),
    ],
)
def test_a_token_is_not_fetched_unprotected_in_production(environment: str, url: str, refused: bool) -> None:
    tables = described(auth={"kind": "oauth2", "token_url": url})
    messages = told(tables, {"client_id": "c", "client_secret": "s"}, environment=environment)
    assert [("unprotected" in one) for one in messages] == ([True] if refused else [])


def test_secrets_are_in_no_fault() -> None:
    secrets = {name: f"canary-{name}\n" for name in ("password", "token", "api_key", "client_secret")}
    for kind in ("basic", "bearer", "api_key", "oauth2", "login", "none", "x"):
        for message in told(described(auth={"kind": kind}, status={"value": "["}), secrets):
            assert "canary" not in message


def kinds(tables: dict[str, object]) -> list[bool]:
    async def look(bank: HttpBank) -> list[bool]:
        return [isinstance(bank, kind) for kind in (ListsPayments, Pings)]

    return Scripted(body("{}"), tables).run(look)


@pytest.mark.parametrize(
    ("changes", "lists", "pings"),
    [
        ({}, True, True),
        ({"day_list": ...}, False, False),
        ({"day_list": ..., "ping": {"path": "/ping"}}, False, True),
    ],
)
def test_the_description_decides_what_the_bank_can_do(changes: dict[str, object], lists: bool, pings: bool) -> None:
    tables = described(**changes)
    assert kinds(tables) == [lists, pings]
    assert HttpBank.lists_payments(bank_profile(tables)) is lists


def test_ping_asks_what_is_described_for_it() -> None:
    bank = Scripted(body('{"success": true}'), described(ping={"path": "/up", "query": {"a": "{account}"}}))
    bank.run(lambda bank: bank.ping())
    assert [str(request.url) for request in bank.asked] == ["https://bank.test/api/up?a=main"]


def test_ping_by_the_list_reads_one_page_of_today() -> None:
    paging = {"kind": "page", "more": "more"}
    tables = described(day_list={"query": {"day": "{day}", "page": "{page}"}, "paging": paging})
    bank = Scripted(body('{"success": true, "more": true, "items": []}'), tables)
    bank.run(lambda bank: bank.ping())
    assert [str(request.url) for request in bank.asked] == ["https://bank.test/api/payments?day=2031-06-14&page=1"]


def test_nothing_secret_in_the_repr() -> None:
    async def look(bank: HttpBank) -> str:
        return repr(bank) + repr(bank.profile) + repr(await bank._access.show())

    assert TOKEN not in Scripted(body("{}")).run(look)
