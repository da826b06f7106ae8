"""What the simulated PIX says fits the standard's own OpenAPI file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import ValidationError

from paysync_cli.banks.simulator import RunningSimulator
from tests.pix_schema import validate
from tests.simulated import Clock

TXID = "aaaaaaaaaaaaaaaaaaaaaaaaaa0001"
OTHER = "aaaaaaaaaaaaaaaaaaaaaaaaaa0002"


@pytest.fixture
def sim() -> Iterator[RunningSimulator]:
    with RunningSimulator({"unknown_qrs": "unknown"}, now=Clock()) as bank:
        yield bank


@pytest.fixture
def http(sim: RunningSimulator) -> Iterator[httpx.Client]:
    keys = sim.settings("pix")
    with httpx.Client(base_url=keys["base_url"]) as client:
        pair = (keys["client_id"], keys["client_secret"])
        token = client.post(keys["token_url"], auth=pair, data={"grant_type": "client_credentials"}).json()
        assert (token["token_type"], token["expires_in"]) == ("Bearer", 1800)
        client.headers["authorization"] = f"Bearer {token['access_token']}"
        yield client


def issue(http: httpx.Client, txid: str = TXID, **changes: object) -> httpx.Response:
    body: dict[str, object] = {
        "calendario": {"expiracao": 3600},
        "valor": {"original": "100.00"},
        "chave": "7d9f0335-8dcc-4054-9bf9-0dbd61d36906",
    }
    return http.put(f"/cob/{txid}", json=body | changes)


def settled(http: httpx.Client, **query: str) -> httpx.Response:
    span = {"inicio": "2031-06-14T03:00:00Z", "fim": "2031-06-15T03:00:00Z"}
    return http.get("/pix", params=span | {key.replace("__", "."): value for key, value in query.items()})


def test_a_charge_through_its_life(sim: RunningSimulator, http: httpx.Client) -> None:
    made = issue(http)
    assert made.status_code == 201
    validate(made.json(), "CobGerada")
    unpaid = http.get(f"/cob/{TXID}").json()
    validate(unpaid, "CobCompleta")
    assert (unpaid["status"], "pix" in unpaid) == ("ATIVA", False)
    sim.pay(TXID, "110.00", "BRL", returned="10.00", description="obrigado")
    paid = http.get(f"/cob/{TXID}").json()
    validate(paid, "CobCompleta")
    assert (paid["status"], paid["pix"][0]["valor"], len(paid["pix"][0]["devolucoes"])) == ("CONCLUIDA", "110.00", 1)


def test_a_removed_charge(http: httpx.Client) -> None:
    issue(http)
    removed = http.patch(f"/cob/{TXID}", json={"status": "REMOVIDA_PELO_USUARIO_RECEBEDOR"})
    assert removed.status_code == 200
    validate(removed.json(), "CobGerada")
    validate(http.get(f"/cob/{TXID}").json(), "CobCompleta")


def test_the_list_of_what_was_settled(sim: RunningSimulator, http: httpx.Client) -> None:
    issue(http)
    issue(http, OTHER)
    empty = settled(http).json()
    validate(empty, "PixConsultados")
    assert empty["pix"] == []
    for txid in (TXID, OTHER):
        sim.pay(txid, "100.00", "BRL")
    page = settled(http, paginacao__itensPorPagina="1", paginacao__paginaAtual="1").json()
    validate(page, "PixConsultados")
    paging = page["parametros"]["paginacao"]
    assert (paging["quantidadeDePaginas"], paging["quantidadeTotalDeItens"], len(page["pix"])) == (2, 2, 1)


@pytest.mark.parametrize(
    ("ask", "status", "name"),
    [
        (lambda http: http.get(f"/cob/{OTHER}"), 404, "CobNaoEncontrado"),
        (lambda http: http.patch(f"/cob/{OTHER}", json={}), 404, "CobNaoEncontrado"),
        (lambda http: issue(http, "short"), 400, "CobOperacaoInvalida"),
        (lambda http: issue(http, valor={"original": "-1"}), 400, "CobOperacaoInvalida"),
        (lambda http: http.get("/pix"), 400, "PixConsultaInvalida"),
        (lambda http: settled(http, paginacao__itensPorPagina="1001"), 400, "PixConsultaInvalida"),
    ],
)
def test_problems(http: httpx.Client, ask: Any, status: int, name: str) -> None:
    answer = ask(http)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    validate(answer.json(), "Problema")
    assert answer.json()["type"].endswith(f"/{name}")


@pytest.mark.parametrize(
    "changes",
    [
        {"txid": "too-short"},
        {"valor": {"original": "1"}},
        {"valor": {"original": "R$ 100.00 only"}},
        {"status": "PAGA"},
        {"calendario": {"criacao": "2031-06-14", "expiracao": 3600}},
        {"calendario": ...},
        {"pix": [{"endToEndId": "short", "valor": "1.00", "horario": "2031-06-14T16:00:00Z"}]},
    ],
)
def test_the_file_refuses_what_is_wrong(http: httpx.Client, changes: dict[str, object]) -> None:
    issue(http)
    spoilt = {key: value for key, value in (http.get(f"/cob/{TXID}").json() | changes).items() if value is not ...}
    with pytest.raises(ValidationError):
        validate(spoilt, "CobCompleta")
