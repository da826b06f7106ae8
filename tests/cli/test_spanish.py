"""paysync in Spanish as people meet it, and in English wherever a program reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.books import add_check, add_qr, book, open_review
from tests.embedded import private_server
from tests.forked import run_forked
from tests.home import Home, lines_seen, new_home
from tests.process import Ended, run_paysync
from tests.register_home import BANK
from tests.screen import on_screen
from tests.shop import shop

ES = {"PAYSYNC_LANG": "es"}


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A QR in every state, money, a review, a failed check."""
    now = datetime.now(UTC)
    with new_home() as home:
        with home.books() as store:
            paid = add_qr(store, "PAID-1", status="completed", due_at=now, registered_at=now - timedelta(days=3))
            book(store, paid, 10050, payer="ANA QUISPE MAMANI")
            open_review(store, paid, "late_payment", transaction="t1", amount="100.50", currency="BOB")
            late = add_qr(store, "LATE-1", status="pending", at=now - timedelta(minutes=7), registered_at=now)
            add_check(store, late, outcome="unavailable", error="GET /qr: timed out", at=now - timedelta(minutes=9))
            add_qr(store, "HELD-1", state="held", at=now)
            add_qr(store, "SPENT-1", amount=None, at=now + timedelta(hours=20), state="exhausted", checks=20)
        yield home


def forked(home: Home, line: str, *, terminal: bool = False, **env: str) -> Ended:
    return run_forked(*line.split(), env=home.env | BANK | env, cwd=home.folder, terminal=terminal)


# -- where it says so, everything is Spanish: help, errors, the complaints about the command line


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (None, None),
        (".env", "PAYSYNC_LANG=es\n"),
        ("paysync.toml", 'lang = "es"\n'),
        (".config/paysync/paysync.toml", 'lang = "es"\n'),
    ],
)
def test_help_and_errors_are_spanish_wherever_the_language_was_chosen(
    name: str | None, text: str | None, tmp_path: Path
) -> None:
    env = {} if name else ES
    if name and text:
        write(tmp_path, name, text)
    page = run_paysync("purge", "--help", cwd=tmp_path, env=env)
    assert page.out.startswith("Uso: paysync purge [OPCIONES]\n\nEjemplos:\n")
    for words in ("Quitar de Redis los jobs terminados", "Opciones:", "En todos los comandos:", "--timeout TIEMPO"):
        assert words in page.out
    assert "the" not in re.findall(r"\w+", page.out)
    for arguments, status, said in (
        (["purg"], 2, "error: paysync no tiene el comando 'purg'.\n  ¿Quiso decir `paysync purge`?\n"),
        (["purge", "--nada"], 2, "error: No existe la opción --nada.\n"),
        (["show"], 2, "error: Falta QR.\n  Vea `paysync show --help`.\n"),
        (["purge", "--keep", "x", "--all"], 2, "error: --keep: 'x' no es un número entero.\n"),
        (["stats"], 4, "error: no hay base de datos de paysync en"),
    ):
        ended = run_paysync(*arguments, cwd=tmp_path, env=env)
        assert (ended.status, ended.out) == (status, "")
        assert said in ended.err


def test_another_language_is_answered_in_english(home: Home) -> None:
    assert home.run("show", "NOBODY", PAYSYNC_LANG="fr").err.startswith("error: No QR NOBODY is known")
    assert home.run("--help", LANG="qu_BO.UTF-8").out.startswith("Usage: paysync [OPTIONS] COMMAND ...\n")


# -- what programs read


LINES = [
    "list", "list --status expired", "find PAID", "show PAID-1", "show LATE-1", "explain HELD-1", "review list",
    "review show 1", "movements", "accounts", "audit", "bank list", "config show", "config check", "db current",
    "redis status", "workers", "purge --all --dry-run", "cleanup --dry-run", "stats", "doctor", "health",
    # and what goes wrong
    "show NOBODY", "list --due --after nonsense", "enqueue Q --amount 1,5", "review resolve 1 --as keep", "nonsense",
    "list --nonsense", "wait HELD-1 --timeout 100ms", "movements --date tomorrow", "check LATE-1 --nothing",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_the_json_document_and_the_exit_status_are_the_same(home: Home, line: str) -> None:
    english, spanish = (forked(home, f"{line} --json", PAYSYNC_LANG=code) for code in ("en", "es"))
    assert spanish.status == english.status
    assert _timeless(spanish.out) == _timeless(english.out) != ""
    assert _timeless(spanish.err) == _timeless(english.err)


def _timeless(out: str) -> str:
    """Without ages, speeds and process ids; and `config show` may say which language was asked for."""
    return (
        re.sub(r"[0-9]+", "#", out).replace('"shown": "es"', '"shown": "en"').replace('"value": "es"', '"value": "en"')
    )


@pytest.mark.parametrize("form", ["--csv", "--jsonl"])
def test_rows_are_the_same(home: Home, form: str) -> None:
    english, spanish = (forked(home, f"list {form}", PAYSYNC_LANG=code) for code in ("en", "es"))
    assert (spanish.status, spanish.out) == (0, english.out)
    assert "PAID-1" in spanish.out


def test_exit_statuses_are_the_same_for_people(home: Home) -> None:
    for line in ("list", "show NOBODY", "wait HELD-1 --timeout 100ms", "list --nonsense", "health", "purge"):
        english, spanish = (forked(home, line, PAYSYNC_LANG=code) for code in ("en", "es"))
        assert spanish.status == english.status, line
        assert (spanish.out, spanish.err) != (english.out, english.err), line


def test_a_worker_logs_in_english_and_talks_to_people_in_spanish(home: Home) -> None:
    """What its loops meet goes to the log; what keeps it from starting goes to a person."""
    with shop(env=ES) as place:
        with private_server() as endpoint:
            place.start("worker", env={"REDIS_URL": endpoint.url(reveal=True)})
            place.until(lambda: any(line["event"] == "worker_registered" for line in place.logs()))
        place.until(lambda: any(" is not available: " in line["message"] for line in place.logs()))
        assert [line for line in place.logs() if not line["message"].isascii() or "Redis en" in line["message"]] == []
    ended = home.run("worker", "--burst", REDIS_URL="redis://127.0.0.1:9/0", **BANK, **ES)
    assert ended.status == 69
    assert "error: Redis en redis://127.0.0.1:9/0 no está disponible" in ended.err


# -- how it looks


@pytest.mark.parametrize(
    ("line", "heads"),
    [
        ("list --status pending", ["QR", "Estado", "Monto", "Pagado", "Próxima consulta", "Consultas"]),
        ("find LATE", ["QR", "Estado", "Monto", "Pagado", "Próxima consulta", "Hallado por"]),
        ("movements", ["Pagado", "QR", "Transacción", "Monto", "Cuenta"]),
        ("accounts", ["Banco", "Cuenta", "Moneda", "Saldo", "Movimientos"]),
        ("bank list", ["Banco", "Estado", "Abiertos", "A consultar", "Límites", "Ambiente"]),
        ("review list", ["ID", "QR", "Motivo", "Monto", "Estado", "Abierta"]),
        ("show LATE-1", ["Seq", "Cuándo", "Resultado", "ms", "Respuesta"]),
        ("stats", ["Pendientes", "En proceso", "Activos", "Completados", "Anulados", "Vencidos"]),
        ("config show", ["Parámetro", "Valor", "Origen"]),
        ("purge --all --dry-run", ["Jobs", "Coinciden", "Quitados", "Conservados"]),
    ],
)
def test_heads_stand_whole_on_one_line_of_80_columns(home: Home, line: str, heads: list[str]) -> None:
    ended = forked(home, line, terminal=True, COLUMNS="80", TERM="xterm-256color", **ES)
    lines = lines_seen(ended.out)
    pattern = r"\s+".join(map(re.escape, heads))
    assert any(re.fullmatch(rf"\s*{pattern}\s*", one) for one in lines), ended.out
    shown = [one for one in lines if not one.startswith(("ALARMA", "ATENCIÓN", "error", "más:", "base de datos"))]
    assert max(map(len, shown)) <= 80, ended.out


def test_relative_times_and_what_is_typed_back(home: Home) -> None:
    wide = {"COLUMNS": "120", "TERM": "xterm-256color", **ES}
    page = forked(home, "show LATE-1", terminal=True, **wide).out
    assert re.search(r"\(hace [0-9]+ minutos\)", page)
    assert "pending" in page  # `list --status pending` takes no other word
    assert re.search(r"\(en [0-9]+ horas\)", forked(home, "show SPENT-1", terminal=True, **wide).out)


def test_top_is_spanish_down_to_its_keys(home: Home) -> None:
    with on_screen("top", env=home.env | ES, cwd=home.folder) as screen:
        for words in ("Resumen", "Fallos", "La consulta más atrasada espera", "En espera", "Ver un QR"):
            screen.until(words)
        screen.type("5")
        for words in ("ATRASADO", "RETENIDO", "R Reintentar"):
            screen.until(words)
        screen.type("q")
        assert screen.end() == 0
