"""`paysync serve` as a real process: probes, QRs for applications in other languages, what strangers send."""

from __future__ import annotations

import contextlib
import gzip
import json
import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from paysync_cli.payments.status import PlanState, Priority
from tests.served import ENV, HTTP, SECRET, TOKEN, Served, serving
from tests.shop import Shop, shop
from tests.torment import database_locked

BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def town() -> Iterator[Shop]:
    with shop() as town:
        yield town


@pytest.fixture(scope="module")
def server(town: Shop) -> Iterator[Served]:
    with serving(town, "--notify") as server:
        yield server


def data(answer: httpx.Response, status: int, word: str = "ok") -> Any:
    """The data of the one document, in the envelope of every command."""
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert document.keys() == {"schema", "command", "status", "data", "errors"}
    assert (document["schema"], document["command"], document["status"]) == (1, "serve", word)
    assert bool(document["errors"]) == (word != "ok")
    return document["data"]


def code(answer: httpx.Response, status: int) -> str:
    """The code of the one error."""
    assert data(answer, status, "error") is None
    (error,) = answer.json()["errors"]
    return str(error["code"])


def rows(town: Shop) -> int:
    with town.runtime() as runtime, runtime.store.read() as tx:
        return int(tx.exec_driver_sql("SELECT count(*) FROM paysync_qrs").scalar_one())


# -- probes


def test_live_asks_nobody_and_ready_says_what_is_missing(town: Shop, server: Served) -> None:
    assert data(server.get("/live"), 200) == {"mode": "live", "healthy": True, "findings": []}
    answer = server.get("/ready")
    found = data(answer, 503, "partial")
    assert (found["mode"], found["healthy"], found["workers"]) == ("ready", False, 0)
    assert [error["code"] for error in answer.json()["errors"]] == ["no_worker"]


def test_a_worker_makes_it_ready_and_one_that_hangs_is_found_out() -> None:
    with shop() as town, serving(town) as server:
        worker = town.start("worker")
        town.until(lambda: server.get("/ready").status_code == 200, pause_s=0.2)
        assert data(server.get("/ready?deep"), 200)["mode"] == "deep"
        worker.send_signal(signal.SIGSTOP)
        town.register("QR1")
        town.until(lambda: server.get("/consuming?max_idle=300ms").status_code == 503, pause_s=0.2)
        answer = server.get("/consuming?max_idle=300ms")
        assert [error["code"] for error in answer.json()["errors"]] == ["not_consuming"]
        assert answer.json()["data"]["oldest_due_seconds"] > 0.3
        assert server.get("/consuming").status_code == 200, "ten minutes are not over"
        worker.send_signal(signal.SIGCONT)
        town.until(lambda: server.get("/consuming?max_idle=300ms").status_code == 200, pause_s=0.2)


def test_metrics(server: Served) -> None:
    answer = server.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    assert "\npaysync_database_up 1.0\n" in answer.text


@pytest.mark.parametrize("span", ["x", "0s", "-1s"])
def test_a_span_that_is_none(server: Served, span: str) -> None:
    assert code(server.get(f"/consuming?max_idle={span}"), 400) == "invalid_input"


# -- QRs


def test_register_and_read(town: Shop, server: Served) -> None:
    wanted = {"qr_id": "A-1", "amount": "100.50", "due": "2099-12-31", "account": "till 7"}
    found = data(server.post("/qrs", wanted), 201)
    assert (found["created"], found["bank"], found["items"][0]["outcome"]) == (1, "sim", "created")
    assert data(server.post("/qrs", wanted | {"amount": 100.50}), 200)["items"][0]["outcome"] == "already_planned"
    conflict = server.post("/qrs", wanted | {"amount": "100.51"})
    assert data(conflict, 409, "partial")["items"][0]["detail"] == "amount is 100.50 BOB, not 100.51 BOB"
    assert [error["code"] for error in conflict.json()["errors"]] == ["conflict"]
    seen = data(server.get("/qrs/A-1", headers=BEARER), 200)
    assert seen | {"next_check_at": None} == {
        "qr_id": "A-1", "bank": "sim", "status": "pending", "final": False, "amount": "100.50", "currency": "BOB",
        "paid": "0.00", "account": "till 7", "due_at": "2100-01-01T03:59:59+00:00", "next_check_at": None,
        "plan_state": "planned", "checks": 0,
    }  # fmt: skip
    assert town.json("show", "A-1")["amount"] == "100.50"


def test_an_urgent_one_and_an_id_that_an_address_must_quote(town: Shop, server: Served) -> None:
    issued_at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    hard = "A/1?é#%2F"
    assert data(server.post("/qrs", {"qr_id": hard, "issued_at": issued_at, "multi_use": True}), 201)["created"] == 1
    assert town.qr(hard).plan.priority is Priority.LOW
    data(server.post("/qrs", {"qr_id": hard, "priority": "high", "now": True}), 200)
    assert town.qr(hard).plan.priority is Priority.HIGH
    quoted = "".join(f"%{byte:02X}" for byte in hard.encode())
    assert data(server.get(f"/qrs/{quoted}?bank=sim", headers=BEARER), 200)["qr_id"] == hard


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"qr_id": "B", "amount": "1,5"}, "invalid_amount"),
        ({"qr_id": "B", "typo": 1}, "bad_json"),
        ({"qr_id": "B", "bank": "moon"}, "unknown_bank"),
        ({"qr_id": "B", "now": "soon"}, "invalid_now"),
        ({"qr_id": "B", "priority": "urgent"}, "invalid_priority"),
        ({"amount": "1"}, "invalid_qr_id"),
        ([], "bad_json"),
        (b"", "bad_json"),
        (b'{"qr_id": "B", "qr_id": "C"}', "bad_json"),
        (b'{"qr_id": "\xff"}', "not_utf8"),
        (b'{"qr_id": ' + b"[" * 60_000, "bad_json"),
        (b'{"qr_id": "B", "amount": NaN}', "bad_json"),
        (b'{"qr_id": "B"} {}', "bad_json"),
    ],
)
def test_a_request_that_cannot_be_right(town: Shop, server: Served, body: object, expected: str) -> None:
    before = rows(town)
    answer = server.post("/qrs", body)
    assert code(answer, 400) == expected
    assert answer.json()["errors"][0]["message"]
    assert rows(town) == before


def test_everything_wrong_is_told_at_once(server: Served) -> None:
    answer = server.post("/qrs", {"qr_id": "B C", "amount": "x", "currency": "XXX"})
    assert answer.status_code == 400
    assert {error["code"] for error in answer.json()["errors"]} == {
        "invalid_qr_id", "invalid_amount", "invalid_currency",
    }  # fmt: skip


@pytest.mark.parametrize("shown", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"},
                                   {"authorization": f"Bearer {TOKEN}x"}, {"authorization": "Bearer é"}])  # fmt: skip
def test_a_stranger_learns_nothing(town: Shop, server: Served, shown: dict[str, str]) -> None:
    before, headers = rows(town), {name: value.encode() for name, value in shown.items()}
    for answer in (
        server.post("/qrs", {"qr_id": "STRANGER"}, token=None, headers=headers),
        server.get("/qrs/A-1", headers=headers),
    ):
        assert code(answer, 401) == "unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert rows(town) == before


def test_what_is_not_there(server: Served) -> None:
    assert code(server.get("/qrs/NOBODY", headers=BEARER), 404) == "no_qr"
    assert code(server.get("/nothing"), 404) == "not_found"
    answer = HTTP.delete(server.url + "/qrs", headers=BEARER)
    assert code(answer, 405) == "bad_method"
    assert answer.headers["allow"] == "POST"


def test_without_a_token_there_are_no_qrs_and_it_says_so() -> None:
    with shop() as town, serving(town, PAYSYNC_SERVE_TOKEN="") as server:
        assert code(server.post("/qrs", {"qr_id": "A"}), 404) == "not_found"
        assert code(server.get("/qrs/A", headers=BEARER), 404) == "not_found"
        assert code(server.notice({}), 404) == "not_found"
        assert "No PAYSYNC_SERVE_TOKEN is set" in server.log.read_text()
        assert server.stop() == 0


def test_read_only_refuses() -> None:
    with shop() as town:
        town.register("A")
        with serving(town, PAYSYNC_READ_ONLY="1") as server:
            assert code(server.post("/qrs", {"qr_id": "B"}), 403) == "read_only"
            assert data(server.get("/qrs/A", headers=BEARER), 200)["qr_id"] == "A"
        assert rows(town) == 1
        ended = town.run("serve", "--notify", env=ENV | {"PAYSYNC_READ_ONLY": "1"})
        assert (ended.status, "PAYSYNC_READ_ONLY" in ended.err) == (5, True)


def test_without_redis_the_row_is_written_and_the_client_told() -> None:
    with shop() as town, serving(town, "--notify", REDIS_URL="redis://127.0.0.1:1/0") as server:
        answer = server.post("/qrs", {"qr_id": "A"})
        assert data(answer, 503, "partial")["items"][0]["outcome"] == "created"
        assert ([error["code"] for error in answer.json()["errors"]], answer.headers["retry-after"]) == (
            ["redis_unavailable"], "5",
        )  # fmt: skip
        assert town.qr("A").plan.state is PlanState.PLANNED
        told = {"payment": {"qrId": "A"}}
        assert server.notice(told).json() == {"responseCode": 0, "message": ""}
        assert town.qr("A").plan.free


# -- notices


def test_a_notice_must_prove_where_it_comes_from(town: Shop, server: Served) -> None:
    town.register("N-1")
    told = {"payment": {"qrId": "N-1"}}
    for path, headers in (
        ("/notify/sim", {}),
        ("/notify/sim/wrong", {}),
        (f"/notify/sim/{SECRET}x", {}),
        (f"/notify/sim/x/{SECRET}", {}),
        ("/notify/sim", {"authorization": "Bearer wrong"}),
        ("/notify/sim", {"authorization": "Basic Og=="}),  # no user, no password: as if nobody had set any
    ):
        answer = server.post(path, told, token=None, headers=headers)
        assert code(answer, 401) == "unauthorized", path
    assert not town.qr("N-1").plan.free
    assert code(server.post("/notify/moon", told), 404) == "not_found"
    assert code(server.notice(told, f"/notify/sim/{SECRET}/elsewhere"), 404) == "not_found"
    for path, token in ((f"/notify/sim/{SECRET}/api/qrsimple/notifyPaymentQR", None), ("/notify/sim", SECRET)):
        assert server.post(path, told, token=token).json() == {"responseCode": 0, "message": ""}
    assert (town.qr("N-1").plan.free, town.qr("N-1").plan.priority) == (True, Priority.HIGH)


def test_a_qr_that_is_not_ours_is_answered_like_one_that_is(town: Shop, server: Served) -> None:
    town.register("N-3")
    before = rows(town)
    ours, foreign = (server.notice({"payment": {"qrId": name}}) for name in ("N-3", "NOT-OURS"))
    assert (ours.status_code, ours.json()) == (200, {"responseCode": 0, "message": ""})
    assert (ours.status_code, ours.content) == (foreign.status_code, foreign.content)
    assert rows(town) == before
    assert "notice_unknown_qr" in server.log.read_text()
    assert 'paysync_notices_total{bank="sim",fate="unknown"} 1.0' in server.get("/metrics").text


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"<html>", b'{"payment": "x"}', b'{"payment": {"qrId": ["A"]}}', b'{"payment": {"qrId": ""}}',
     b'{"payment": {"qrId": "\xff"}}', b'{"payment": {"qrId": "\\ud800"}}', b'{"payment": ' * 20_000,
     b'{"payment": {"qrId": "A"}, "payment": {"qrId": "B"}}'],
    ids=range(11),
)  # fmt: skip
def test_garbage_is_answered_in_the_banks_own_form(server: Served, body: bytes) -> None:
    answer = server.notice(body)
    assert (answer.status_code, answer.json()) == (200, {"responseCode": 1, "message": "unreadable notice"})


def test_without_the_database_the_bank_shall_send_it_again(town: Shop, server: Served) -> None:
    town.register("N-2")
    with database_locked(town):
        began = time.monotonic()
        answer = server.notice({"payment": {"qrId": "N-2"}})
        assert time.monotonic() - began < 5, "later than that the bank takes it for no answer"
        assert (answer.status_code, answer.json()["responseCode"]) == (503, 99)
        assert server.get("/live").status_code == 200
    assert server.notice({"payment": {"qrId": "N-2"}}).json()["responseCode"] == 0
    assert town.qr("N-2").plan.free


# -- hostile


HUGE = b'{"qr_id": "' + b"x" * (10 << 20) + b'"}'
BOMB = gzip.compress(b" " * (10 << 20))


def test_bodies_that_are_too_much(town: Shop, server: Served) -> None:
    before = rows(town)
    assert code(server.post("/qrs", HUGE), 413) == "too_large"
    assert code(server.post("/qrs", BOMB, headers={"content-encoding": "gzip"}), 415) == "compressed"
    assert code(server.post("/qrs", BOMB), 400) == "not_utf8"
    assert server.notice(HUGE).status_code == 413
    assert server.notice(HUGE).json() == {"responseCode": 1, "message": "unreadable notice"}
    assert rows(town) == before


def test_a_body_of_unknown_length_is_bounded_too(server: Served) -> None:
    answer = HTTP.post(server.url + "/qrs", content=iter([b"[" * 65_536] * 40), headers=BEARER)
    assert code(answer, 413) == "too_large"


def test_too_many_headers(server: Served) -> None:
    many = {f"x-{n}": "1" for n in range(120)}
    assert code(server.get("/live", headers=many), 431) == "too_many_headers"
    with contextlib.suppress(httpx.TransportError):  # it may hang up while we still speak
        assert server.get("/live", headers={"x-long": "x" * 1_000_000}).status_code == 400
    assert server.get("/live").status_code == 200


def talk(server: Served, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """What a client gets that says this, slowly if need be, and then only listens."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as line:
        for piece in pieces:
            line.sendall(piece)
            time.sleep(pause_s)
        found = b""
        while piece := line.recv(65_536):
            found += piece
        return found


def test_whoever_dawdles_is_cut_off(town: Shop) -> None:
    """A head that never ends, a body that never comes, silence: each connection ends by itself, and disturbs nobody."""
    with serving(town) as server, contextlib.ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 30)) for _ in range(3)]
        began = time.monotonic()
        lines[0].sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        lines[1].sendall(
            f"POST /qrs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        while time.monotonic() - began < 9:
            lines[0].sendall(b"x")
            assert server.get("/live").status_code == 200
            time.sleep(1)
        ends = [line.recv(65_536) for line in lines]
        assert time.monotonic() - began < 20
        assert (ends[0], ends[2]) == (b"", b"")
        assert ends[1].startswith(b"HTTP/1.1 408 ")
        assert server.stop() == 0


def test_no_http_at_all(server: Served) -> None:
    assert talk(server, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert server.get("/live").status_code == 200


# -- the end


def test_term_finishes_what_is_being_answered() -> None:
    with shop() as town, serving(town) as server:
        body = json.dumps({"qr_id": "LAST"}).encode()
        head = f"POST /qrs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 20) as line:
            line.sendall(head.encode() + body[:5])
            town.until(lambda: server.get("/live").status_code == 200)
            server.process.send_signal(signal.SIGTERM)
            town.until(lambda: refuses(server))
            line.sendall(body[5:])
            assert line.recv(65_536).startswith(b"HTTP/1.1 201 ")
        assert server.process.wait(20) == 0
        assert town.qr("LAST").qr_id == "LAST"


def refuses(server: Served) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), 1).close()
    except OSError:
        return True
    return False


def test_int_ends_it_well_too(town: Shop) -> None:
    with serving(town) as server:
        assert server.stop(signal.SIGINT) == 0
