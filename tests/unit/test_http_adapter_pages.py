"""The day list of a described bank, page by page: whole or told to be incomplete, never in a circle or elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from paysync_cli.banks.base import BankError, Refused, Throttled, Unavailable, Unreadable
from paysync_cli.banks.declared import bank as declared_bank
from paysync_cli.payments.qr import PaidDay
from tests.declared import QR, TOKEN, Scripted, described
from tests.simulated import Clock

Answering = Callable[[httpx.Request], httpx.Response]


def element(number: int) -> dict[str, object]:
    return {"qr": QR, "id": f"T-{number}", "amount": "1.00", "currency": "BOB"}


def page(*numbers: int, **more: object) -> httpx.Response:
    return httpx.Response(200, json={"success": True, "items": [element(number) for number in numbers], **more})


def listed(paging: Mapping[str, object] | None, respond: Answering, **day_list: object) -> Scripted:
    wanted: dict[str, object] = dict(day_list)
    if paging is not None:
        wanted |= {"paging": dict(paging)}
        name = {"page": "{page}", "cursor": "{cursor}"}.get(str(paging["kind"]))
        wanted = {"query": {"day": "{day}"} | ({"p": name} if name else {})} | wanted
    return Scripted(respond, described(day_list=wanted))


def ids(day: PaidDay) -> list[str]:
    return [payment.bank_transaction_id for payment in day.payments]


def queries(bank: Scripted) -> list[str | None]:
    return [request.url.params.get("p") for request in bank.asked]


def numbered(pages: list[list[int]], first: int = 1, **more: Any) -> Answering:
    """A bank that heeds the page number."""

    def respond(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["p"]) - first
        numbers = pages[number] if number < len(pages) else []
        return page(*numbers, **{name: one(number) for name, one in more.items()})

    return respond


def test_in_one_piece() -> None:
    bank = listed(None, lambda _: page(1, 2))
    day = bank.paid_on()
    assert (ids(day), day.complete, len(bank.asked)) == (["T-1", "T-2"], True, 1)


@pytest.mark.parametrize("first", [0, 1])
def test_page_numbers_to_the_last(first: int) -> None:
    respond = numbered([[1, 2], [3, 4], [5]], first, meta=lambda _: {"pages": 3})
    bank = listed({"kind": "page", "first": first, "pages": "meta.pages"}, respond)
    assert ids(bank.paid_on()) == ["T-1", "T-2", "T-3", "T-4", "T-5"]
    assert queries(bank) == [str(first + n) for n in range(3)]


def test_page_numbers_as_long_as_more_follows() -> None:
    bank = listed({"kind": "page", "more": "more"}, numbered([[1], [2], [3]], more=lambda n: n < 2))
    assert ids(bank.paid_on()) == ["T-1", "T-2", "T-3"]


def test_page_numbers_until_an_empty_page() -> None:
    """A short page need not be the last one: banks cap sizes."""
    bank = listed({"kind": "page"}, numbered([[1, 2], [3], [4, 5]]))
    assert ids(bank.paid_on()) == [f"T-{n}" for n in range(1, 6)]
    assert queries(bank) == ["1", "2", "3", "4"]


def test_an_empty_day_of_no_pages() -> None:
    bank = listed({"kind": "page", "pages": "n"}, numbered([[]], n=lambda _: 0))
    day = bank.paid_on()
    assert (day.payments, day.complete, len(bank.asked)) == ((), True, 1)


def test_the_page_number_is_a_number_in_a_body() -> None:
    body = {"day": "{day}", "page": "{page}", "text": "p{page}", "size": "{page_size}"}
    paging = {"kind": "page", "size": 50, "pages": "n"}
    bank = Scripted(lambda _: page(1, n=1), described(day_list={"query": ..., "json": body, "paging": paging}))
    bank.paid_on()
    assert json.loads(bank.asked[0].content) == {"day": "2031-06-14", "page": 1, "text": "p1", "size": 50}


def test_cursors_to_the_last() -> None:
    follow = {None: (page(1, next="a"), 1), "a": (page(2, next=7), 2), "7": (page(3, next=None), 3)}
    bank = listed({"kind": "cursor", "cursor": "next"}, lambda r: follow[r.url.params.get("p")][0])
    assert ids(bank.paid_on()) == ["T-1", "T-2", "T-3"]
    assert queries(bank) == [None, "a", "7"], "the first request carries no cursor at all"


def test_a_cursor_in_a_body_is_left_out_at_first() -> None:
    body = {"day": "{day}", "after": "{cursor}"}
    paging = {"kind": "cursor", "cursor": "next"}
    answers = iter([page(1, next="x y"), page(2)])
    bank = Scripted(lambda _: next(answers), described(day_list={"query": ..., "json": body, "paging": paging}))
    bank.paid_on()
    assert [json.loads(request.content).get("after") for request in bank.asked] == [None, "x y"]


def test_cursor_with_its_own_word_for_more() -> None:
    answers = iter([page(1, next="a", more=True), page(2, next="a", more=False)])
    bank = listed({"kind": "cursor", "cursor": "next", "more": "more"}, lambda _: next(answers))
    assert ids(bank.paid_on()) == ["T-1", "T-2"]


@pytest.mark.parametrize("link", ["/api/payments?after=2", "https://bank.test/api/payments?after=2", "?after=2"])
def test_links_at_the_bank_are_followed(link: str) -> None:
    answers = iter([page(1, next=link), page(2, next="")])
    bank = listed({"kind": "next_link", "link": "next"}, lambda _: next(answers))
    assert ids(bank.paid_on()) == ["T-1", "T-2"]
    assert str(bank.asked[1].url) == "https://bank.test/api/payments?after=2"
    assert bank.asked[1].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.test/api/payments", "//evil.test/x", "http://bank.test/api/payments", "https://bank.test:444/x",
        "https://bank.test@evil.test/x", "https://u:p@bank.test/x", "https://bank.test.evil.test/", "file:///etc/passwd",
        "javascript:1", "https://[::1", "https://bank.test:99999/", "https://bank.test/\r\nX: y", "/a b", "/ñ", 5, True,
        ["/x"], "/" + "x" * 5000,
    ],
)  # fmt: skip
def test_links_to_anywhere_else_are_not(link: object) -> None:
    bank = listed({"kind": "next_link", "link": "next"}, lambda _: page(1, next=link))
    day = bank.paid_on()
    assert (ids(day), day.complete) == (["T-1"], False), "what is read is told; the day counts as not read"
    assert len(bank.asked) == 1


CIRCLES = [
    ({"kind": "next_link", "link": "next"}, lambda _: page(1, next="/api/payments?again=1"), 2),
    ({"kind": "cursor", "cursor": "next"}, lambda _: page(1, next="same"), 2),
    ({"kind": "page"}, lambda _: page(1), 2),
    ({"kind": "page", "pages": "n"}, lambda _: page(1, n=10**9), 2),
    ({"kind": "page", "more": "m"}, lambda _: page(1, m=True), 2),
]


@pytest.mark.parametrize(("paging", "respond", "calls"), CIRCLES)
def test_a_circle_ends(paging: dict[str, object], respond: Answering, calls: int) -> None:
    bank = listed(paging, respond)
    day = bank.paid_on()
    assert (day.complete, len(bank.asked)) == (False, calls)
    assert set(ids(day)) == {"T-1"}


@pytest.mark.parametrize("kind", ["page", "cursor", "next_link"])
def test_a_list_without_end_ends(kind: str) -> None:
    numbers = iter(range(10**6))

    def respond(_request: httpx.Request) -> httpx.Response:
        n = next(numbers)
        return page(n, next=f"/api/payments?n={n}", more=True, pages=10**12)

    paging: dict[str, object] = {"kind": kind, "max_pages": 5}
    paging |= {"page": {"more": "more"}, "cursor": {"cursor": "next"}, "next_link": {"link": "next"}}[kind]
    bank = listed(paging, respond)
    day = bank.paid_on()
    assert (len(day.payments), day.complete, len(bank.asked)) == (5, False, 5)


@pytest.mark.parametrize(
    ("second", "calls"),
    [
        (httpx.Response(500), 2),
        (httpx.Response(429, headers={"retry-after": "9"}), 2),
        (httpx.Response(200, content="<html>"), 2),
        (httpx.Response(200, json={"success": False}), 2),
        (httpx.Response(200, json={"success": True}), 2),
        (httpx.Response(302, headers={"location": "https://evil.test/"}), 2),
    ],
)
def test_a_page_that_is_missing_makes_the_day_incomplete(second: httpx.Response, calls: int) -> None:
    answers = iter([page(1, more=True), second])
    bank = listed({"kind": "page", "more": "more"}, lambda _: next(answers))
    day = bank.paid_on()
    assert (ids(day), day.complete, len(bank.asked)) == (["T-1"], False, calls)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(500), Unavailable),
        (httpx.Response(429, headers={"retry-after": "9"}), Throttled),
        (httpx.Response(200, content="<html>"), Unreadable),
        (httpx.Response(200, json={"success": False, "items": []}), Unreadable),
    ],
)
def test_without_its_first_page_there_is_no_list(answer: httpx.Response, error: type[BankError]) -> None:
    with pytest.raises(error):
        listed({"kind": "page"}, lambda _: answer).paid_on()


def test_a_refusal_on_a_later_page_is_a_refusal() -> None:
    answers = iter([page(1, more=True), httpx.Response(401)])
    with pytest.raises(Refused):
        listed({"kind": "page", "more": "more"}, lambda _: next(answers)).paid_on()


@pytest.mark.parametrize("items", [..., None, "", {}, "x", 5, False])
def test_a_list_that_is_not_there_is_no_empty_day(items: object) -> None:
    """A renamed key must not make a day count as read."""
    answer = {"success": True} | ({} if items is ... else {"items": items})
    with pytest.raises(Unreadable):
        listed(None, lambda _: httpx.Response(200, json=answer)).paid_on()


def test_unless_the_bank_is_known_to_leave_it_out() -> None:
    tables = described(day_list={"missing_is_empty": True})
    for answer in ({"success": True}, {"success": True, "items": None}):
        day = Scripted(lambda _, answer=answer: httpx.Response(200, json=answer), tables).paid_on()  # type: ignore[misc]
        assert (day.payments, day.complete) == ((), True)
    with pytest.raises(Unreadable):
        Scripted(lambda _: httpx.Response(200, json={"success": True, "items": "x"}), tables).paid_on()


@pytest.mark.parametrize("told", [..., None, "x", -1.5, True, []])
@pytest.mark.parametrize("kind", ["pages", "more"])
def test_a_bank_that_does_not_say_what_follows_is_not_guessed(kind: str, told: object) -> None:
    if (kind, told) == ("more", True):
        return
    respond = (lambda _: page(1)) if told is ... else (lambda _: page(1, n=told))
    bank = listed({"kind": "page", kind: "n"}, respond)
    day = bank.paid_on()
    assert (ids(day), day.complete, len(bank.asked)) == (["T-1"], False, 1)


def test_more_without_a_cursor_is_not_the_end() -> None:
    day = listed({"kind": "cursor", "cursor": "next", "more": "more"}, lambda _: page(1, more=True)).paid_on()
    assert (ids(day), day.complete) == (["T-1"], False)


def test_the_bytes_of_all_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared_bank, "MAX_LIST_BODY", 2000)
    numbers = iter(range(1000))
    bank = listed({"kind": "page", "more": "m"}, lambda _: page(next(numbers), m=True, pad="x" * 500))
    day = bank.paid_on()
    assert (day.complete, len(bank.asked)) == (False, 4)


def test_the_list_counts_from_when_its_first_page_was_asked_for() -> None:
    clock = Clock()
    started = clock.at

    def respond(request: httpx.Request) -> httpx.Response:
        clock.forward(hours=9)
        return page(int(request.url.params["p"]), more=request.url.params["p"] == "1")

    tables = described(day_list={"query": {"d": "{day}", "p": "{page}"}, "paging": {"kind": "page", "more": "more"}})
    day = Scripted(respond, tables, clock=clock).paid_on()
    assert (day.sent_at, len(day.payments)) == (started, 2)
    assert clock.at > datetime(2031, 6, 15, 4, tzinfo=UTC), "the day ended meanwhile: the list must not count as whole"


def test_elements_that_cannot_be_read_are_kept_with_the_others() -> None:
    broken = element(2) | {"amount": None}
    nobodys = {key: value for key, value in element(3).items() if key != "qr"}
    answer = {"success": True, "items": [element(1), broken, nobodys, None]}
    day = listed(None, lambda _: httpx.Response(200, json=answer)).paid_on()
    assert ids(day) == ["T-1"]
    assert [one.problem for one in day.unreadable] == ["no_amount", "no_qr_id", "not_an_object"]


def test_many_payments() -> None:
    bank = listed(None, lambda _: page(*range(20_000)))
    assert len(set(ids(bank.paid_on()))) == 20_000
