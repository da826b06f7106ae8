"""The simulated bank itself: its ledger is the truth others are compared with, so it is tested on its own."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from paysync_cli.banks.baneco import encrypt
from paysync_cli.banks.simulator import AES_KEY, PASSWORD, USERNAME, RunningSimulator
from paysync_cli.banks.simulator.fields import ScenarioError
from paysync_cli.banks.simulator.scenario import KINDS, SAMPLE, load_scenario, read_scenario
from tests.simulated import START, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sim(clock: Clock) -> Iterator[RunningSimulator]:
    with RunningSimulator(now=clock) as simulator:
        yield simulator


@pytest.fixture
def http(sim: RunningSimulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sim.url) as client:
        yield client


def log_in(http: httpx.Client, password: str = PASSWORD, username: str = USERNAME) -> httpx.Response:
    body = {"userName": username, "password": encrypt(password, AES_KEY)}
    response = http.post("/api/authentication/authenticate", json=body)
    if token := response.json()["token"]:
        http.headers["authorization"] = f"Bearer {token}"
    return response


def status(http: httpx.Client, qr_id: str) -> dict[str, object]:
    return http.get(f"/api/qrsimple/v2/statusQR/{qr_id}").json()  # type: ignore[no-any-return]


def test_ledger_adds_up_to_the_cent(sim: RunningSimulator, clock: Clock) -> None:
    for amount in ("0.10", "0.10", "0.10", "599.80"):
        sim.pay("Q", amount)
    sim.pay("R", "7", "USD", id="chosen")
    sim.pay("R", "1000", at="+1h")
    sim.pay("S", "3.00", without=["amount"])
    ledger = sim.ledger()
    assert ledger["totals"] == {"BOB": "603.10", "USD": "7.00"}
    assert ledger["readable_totals"] == {"BOB": "600.10", "USD": "7.00"}
    assert len(ledger["payments"]) == 6
    assert ledger["payments"][0] == {
        "id": "900001",
        "qr": "Q",
        "amount": "0.10",
        "currency": "BOB",
        "paid_at": "2031-06-14T16:00:00+00:00",
        "readable": True,
    }
    clock.forward(hours=1)
    assert sim.ledger()["totals"] == {"BOB": "1603.10", "USD": "7.00"}


def test_transaction_numbers_never_repeat(sim: RunningSimulator) -> None:
    sim.pay("Q", "1", id="900001")
    sim.pay("Q", "1", id="900003")
    numbers = [sim.pay("Q", "1") for _ in range(5)]
    assert numbers == ["900002", "900004", "900005", "900006", "900007"]


def test_what_happens_follows_the_clock(sim: RunningSimulator, clock: Clock, http: httpx.Client) -> None:
    log_in(http)
    sim.load(
        {
            "qr": [
                {"id": "paid", "amount": "5", "paid": "+10s"},
                {"id": "twice", "amount": "5", "paid": ["+10s", "+20s"]},
                {"id": "cancelled", "cancelled": "+10s"},
                {"id": "late", "amount": "5", "cancelled": "+10s", "paid": "+20s"},
                {"id": "till", "multi_use": True, "amount": "5", "paid": "+10s", "cancelled": "+20s"},
                {"id": "odd", "codes": [{"at": "+10s", "code": 7}, {"at": "+20s", "code": "x"}]},
            ]
        }
    )
    told = {}
    for second in (9, 10, 20):
        clock.at = START.replace(second=second)
        told[second] = [
            (status(http, qr)["statusQrCode"], len(status(http, qr)["payment"]))  # type: ignore[arg-type]
            for qr in ("paid", "twice", "cancelled", "late", "till", "odd")
        ]
    assert told == {
        9: [(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
        10: [(1, 1), (1, 1), (9, 0), (9, 0), (1, 1), (7, 0)],
        20: [(1, 1), (1, 2), (9, 0), (1, 1), (9, 1), ("x", 0)],
    }


def test_both_versions_of_the_paths(sim: RunningSimulator, http: httpx.Client) -> None:
    log_in(http)
    sim.pay("Q", "5.5")
    assert http.get("/api/qrsimple/statusQR/Q").json() == status(http, "Q")
    assert http.get("/api/qrsimple/paidQR/20310614").json() == http.get("/api/qrsimple/v2/paidQR/20310614").json()
    assert http.get("/ApiGateway/api/qrsimple/v2/statusQR/Q").json() == status(http, "Q")


def test_amounts_are_sent_as_they_are(sim: RunningSimulator, http: httpx.Client) -> None:
    log_in(http)
    sim.pay("Q", "12.50")
    assert '"amount":12.50,' in http.get("/api/qrsimple/v2/statusQR/Q").text


def test_an_application_can_issue_pay_and_cancel(sim: RunningSimulator, http: httpx.Client) -> None:
    log_in(http)
    asked = {
        "transactionId": "m-1",
        "accountCredit": encrypt("1051234567", AES_KEY),
        "currency": "BOB",
        "amount": 25.5,
        "dueDate": "2031-06-20",
        "singleUse": True,
        "modifyAmount": False,
    }
    made = [http.post("/api/qrsimple/generateQR", json=asked).json() for _ in range(2)]
    one, other = (m["qrId"] for m in made)
    assert one != other
    assert (len(one), one[:6], made[0]["responseCode"]) == (20, "310614", 0)
    assert base64.b64decode(made[0]["qrImage"]).startswith(b"\x89PNG")

    def cancel(qr_id: str) -> int:
        return http.request("DELETE", "/api/qrsimple/cancelQR", json={"qrId": qr_id}).json()["responseCode"]  # type: ignore[no-any-return]

    sim.pay(one)  # its own amount
    assert sim.ledger()["totals"] == {"BOB": "25.50"}
    assert (cancel(one), cancel(other), cancel(other), cancel("nobody")) == (403, 0, 403, 403)
    assert (status(http, one)["statusQrCode"], status(http, other)["statusQrCode"]) == (1, 9)
    for wrong in ({"amount": -1}, {"currency": "XX"}, {"transactionId": ""}, {"accountCredit": "plain"}):
        assert http.post("/api/qrsimple/generateQR", json=asked | wrong).json()["responseCode"] == 1


def test_encryption_helper(http: httpx.Client) -> None:
    query = {"text": "contraseña", "aesKey": AES_KEY}
    secret = http.get("/api/authentication/encrypt", params=query).json()
    assert http.get("/api/authentication/decrypt", params=query | {"text": secret}).json() == "contraseña"
    assert http.get("/api/authentication/decrypt", params=query).json()["responseCode"] == 1
    assert http.get("/api/authentication/encrypt", params={"text": "x", "aesKey": "short"}).json()["responseCode"] == 1


def test_login_is_judged(sim: RunningSimulator, http: httpx.Client) -> None:
    good = log_in(http)
    claims = json.loads(base64.urlsafe_b64decode(good.json()["token"].split(".")[1] + "=="))
    assert (claims["exp"] - claims["iat"], claims["usr"], good.json()["responseCode"]) == (1800, USERNAME, 0)
    assert http.get("/api/qrsimple/v2/statusQR/Q").status_code == 200
    for wrong in (log_in(http, password="x"), log_in(http, username="x")):
        assert (wrong.status_code, wrong.json()["responseCode"], wrong.json()["token"]) == (200, 1, "")
    for bearer in ("", "Bearer x", "Basic x"):
        refused = http.get("/api/qrsimple/v2/statusQR/Q", headers={"authorization": bearer})
        assert (refused.status_code, refused.content) == (401, b"")


def test_tokens_end(sim: RunningSimulator, clock: Clock, http: httpx.Client) -> None:
    log_in(http)
    clock.forward(seconds=1799)
    assert http.get("/api/qrsimple/v2/statusQR/Q").status_code == 200
    clock.forward(seconds=1)
    assert http.get("/api/qrsimple/v2/statusQR/Q").status_code == 401


def test_refused_logins_lock_the_user(sim: RunningSimulator, http: httpx.Client) -> None:
    for _ in range(5):
        log_in(http, password="x")
    locked = log_in(http).json()
    assert (locked["message"], locked["token"]) == ("Usuario bloqueado", "")
    assert http.post("/_simulator/unlock").json() == {"ok": True}
    assert log_in(http).json()["responseCode"] == 0


def test_faults_have_windows_counts_rhythms_and_targets(
    sim: RunningSimulator, clock: Clock, http: httpx.Client
) -> None:
    log_in(http)

    def codes(qr_id: str, times: int) -> list[int]:
        return [http.get(f"/api/qrsimple/v2/statusQR/{qr_id}").status_code for _ in range(times)]

    sim.load({"fault": [{"kind": "server_error", "on": "status", "count": 2}]})
    assert codes("Q", 4) == [500, 500, 200, 200]
    sim.load({"fault": [{"kind": "server_error", "status": 503, "qr": "Q", "every": 3}]})
    assert codes("Q", 6) == [200, 200, 503, 200, 200, 503]
    assert codes("R", 3) == [200, 200, 200]
    sim.load({"fault": [{"kind": "unauthorized", "on": "paid"}]})
    assert codes("Q", 1) == [200]
    assert http.get("/api/qrsimple/v2/paidQR/20310614").status_code == 401
    sim.load({"fault": [{"kind": "server_error", "from": "+10s", "until": "+20s"}]})
    seen = []
    for _ in range(4):
        seen += codes("Q", 1)
        clock.forward(seconds=9)
    assert seen == [200, 200, 500, 200]
    sim.load({"fault": []})
    assert codes("Q", 1) == [200]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_fault_leaves_the_server_serving(sim: RunningSimulator, http: httpx.Client, kind: str) -> None:
    log_in(http)
    sim.load({"fault": [{"kind": kind, "on": "status", "count": 1}]})
    try:
        http.get("/api/qrsimple/v2/statusQR/Q", timeout=0.2 if kind == "hang" else 20)
    except (httpx.TransportError, httpx.DecodingError):
        assert kind in ("hang", "down", "truncated")
    assert status(http, "Q")["responseCode"] == 0


def test_requests_are_counted(sim: RunningSimulator, http: httpx.Client) -> None:
    log_in(http)
    for qr_id in ("Q", "Q", "R"):
        status(http, qr_id)
    sim.load({"fault": [{"kind": "html", "on": "paid"}]})
    http.get("/api/qrsimple/v2/paidQR/20310614")
    http.get("/nothing")
    found = sim.requests()
    assert found["calls"] == {"login": 1, "status": 3, "paid": 1}
    assert found["qrs"] == {"Q": 2, "R": 1}
    assert found["outcomes"]["status"] == {"200": 3}
    assert (found["total"], found["in_flight"], found["max_in_flight"]) == (5, 0, 1)
    assert [(r["call"], r["subject"]) for r in found["recent"]][-1] == ("paid", "20310614")
    assert http.get("/_simulator/requests").json() == found


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("never came true")


def test_most_in_flight_is_told(sim: RunningSimulator, http: httpx.Client) -> None:
    log_in(http)
    sim.load({"fault": [{"kind": "hang", "on": "status", "count": 4}]})
    with ThreadPoolExecutor(4) as pool:
        hanging = [pool.submit(_ask, http, f"/api/qrsimple/v2/statusQR/{n}") for n in range(4)]
        until(lambda: sim.requests()["in_flight"] == 4)
        assert status(http, "Q")["responseCode"] == 0
        assert sim.requests()["max_in_flight"] == 5
        sim.__exit__()
        assert {future.result() for future in hanging} <= {"RemoteProtocolError", "ReadError"}


def _ask(http: httpx.Client, path: str) -> str:
    try:
        return str(http.get(path, timeout=60).status_code)
    except httpx.TransportError as error:
        return type(error).__name__


def test_control_interface(sim: RunningSimulator, http: httpx.Client) -> None:
    log_in(http)
    assert http.post("/_simulator/pay/Q", json={"amount": "100.50"}).json() == {
        "id": "900001",
        "qr": "Q",
        "paid_at": START.isoformat(),
    }
    assert http.post("/_simulator/pay/a%2Fb", json={"amount": "1", "currency": "USD"}).status_code == 200
    assert http.post("/_simulator/cancel/R").json() == {"ok": True}
    assert http.post("/_simulator/scenario", json={"qr": [{"id": "S", "amount": 8.25}]}).json() == {"ok": True}
    assert http.post("/_simulator/pay/S").status_code == 200
    ledger = http.get("/_simulator/ledger").json()
    assert (ledger["totals"], ledger["cancelled"]) == ({"BOB": "108.75", "USD": "1.00"}, ["R"])
    assert ledger == sim.ledger()
    for path, body, words in (
        ("/_simulator/pay/T", b"{}", "the amount is not known"),
        ("/_simulator/pay/T", b"{", "not JSON"),
        ("/_simulator/pay/T", b'{"amount":"-1"}', "above zero"),
        ("/_simulator/pay/T", b'{"amount":"1","colour":"red"}', "unknown key 'colour'"),
        ("/_simulator/scenario", b'{"qr":[{"id":"S"},{}]}', "qr 2: id is missing"),
        ("/_simulator/dance", b"", "nothing this simulator does"),
    ):
        refused = http.post(path, content=body)
        assert (refused.status_code, words in refused.json()["error"]) == (400, True), refused.text
    assert http.post("/_simulator/reset").json() == {"ok": True}
    assert http.get("/_simulator/ledger").json()["payments"] == []
    assert sim.requests()["total"] == 0


def test_sample_scenario_plays(clock: Clock) -> None:
    with RunningSimulator(SAMPLE, now=clock) as sim:
        clock.forward(minutes=2)
        ledger = sim.ledger()
    assert ledger["totals"] == {"BOB": "654.99", "USD": "10.00"}
    assert ledger["readable_totals"] == {"BOB": "634.99", "USD": "10.00"}


def test_every_key_of_the_documentation_is_understood(tmp_path: Path) -> None:
    from paysync_cli.banks.simulator import scenario

    assert scenario.__doc__ is not None
    lines = [line for line in scenario.__doc__.splitlines() if line.startswith("    ")]
    path = tmp_path / "documented.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    found = load_scenario(path, START)
    assert (len(found.qrs), len(found.faults or ())) == (1, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[qr]]\nid = = 5", "line 2"),
        ("[[qr]]\n", "qr 1: id is missing"),
        ('[[qr]]\nid = "Q"\namount = "abc"', 'qr 1 ("Q"): amount must be an amount'),
        ('[[qr]]\nid = "Q"\npaid = "+1s"', 'qr 1 ("Q"): paid: the amount is not known'),
        ('[[qr]]\nid = "Q"\namount = "1"\npaid = "soon"', "paid: at 'soon' is neither a span"),
        ('[[qr]]\nid = "Q"\ncolour = "red"', "unknown key 'colour'"),
        ('[[qr]]\nid = "Q"\ncurrency = "Bs"', "is not an ISO 4217 code"),
        ('[[qr]]\nid = "Q"\n[[qr.payment]]\namount = "1"\nat = "+1s"\n[[qr.payment]]\nat = 5', "payment 2: the amount"),
        ('[[fault]]\nkind = "explode"', "fault 1: kind must be one of html"),
        ("[[fault]]\n", "fault 1: kind is missing"),
        ('[[fault]]\nkind = "html"\non = "moon"', "fault 1 (html): on must be one of"),
        ('[[fault]]\nkind = "html"\nevery = 0', "every must be at least 1"),
        ('[[fault]]\nkind = "html"\ncount = "x"', "count must be a whole number"),
        ('token_lifetime = "long"', "token_lifetime: 'long' is not a time span"),
        ('unknown_qrs = "maybe"', "unknown_qrs must be one of unpaid, unknown"),
        ('[credential]\naes_key = "short"', "aes_key must be 32 ASCII characters"),
        ('[wire]\ndate = "roman"', "wire: date must be one of"),
        ("qr = 5", "qr must be a list of tables"),
        ("qr = [5]", "qr 1: must be a table"),
    ],
)
def test_faulty_scenario_is_a_sentence_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, START)
    assert caught.value.message.startswith(f"{path}: ")
    assert words in caught.value.message


def test_scenario_as_json_and_missing(tmp_path: Path) -> None:
    path = tmp_path / "scenario.json"
    path.write_text('{"qr": [{"id": "Q", "amount": 0.10}]}', encoding="utf-8")
    assert str(load_scenario(path, START).qrs[0].amount) == "0.10"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ScenarioError, match="line 1"):
        load_scenario(path, START)
    with pytest.raises(ScenarioError, match="No such file"):
        load_scenario(tmp_path / "none.toml", START)
    path.write_bytes(b"\xff")
    with pytest.raises(ScenarioError):
        load_scenario(path, START)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("+1m30s", datetime(2031, 6, 14, 16, 1, 30, tzinfo=UTC)),
        ("-1h", datetime(2031, 6, 14, 15, tzinfo=UTC)),
        (2.5, datetime(2031, 6, 14, 16, 0, 2, 500000, tzinfo=UTC)),
        ("2031-06-14T21:05:11", datetime(2031, 6, 15, 1, 5, 11, tzinfo=UTC)),
        ("2031-06-14T21:05:11Z", datetime(2031, 6, 14, 21, 5, 11, tzinfo=UTC)),
        (datetime(2031, 6, 14, 21, 5, 11), datetime(2031, 6, 15, 1, 5, 11, tzinfo=UTC)),  # noqa: DTZ001 - TOML's own
    ],
)
def test_moments(moment: object, expected: datetime) -> None:
    found = read_scenario({"qr": [{"id": "Q", "cancelled": moment}]}, START)
    assert found.qrs[0].cancelled_at == expected


def test_port_in_use_is_an_os_error(sim: RunningSimulator) -> None:
    port = int(sim.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="in use"), RunningSimulator(port=port):
        pass


def test_only_this_machine_is_served(sim: RunningSimulator) -> None:
    assert sim.url.startswith("http://127.0.0.1:")


def test_errors_reach_the_thread_that_asked(sim: RunningSimulator) -> None:
    with pytest.raises(ScenarioError):
        sim.pay("Q")
    with pytest.raises(ScenarioError):
        sim.load({"qr": "x"})
    assert sim.ledger()["payments"] == []
