"""Which language is spoken, and by whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from paysync_cli import language
from paysync_cli.cli import entry
from paysync_cli.cli.session import _agrees
from paysync_cli.errors import SettingsError
from paysync_cli.language import _, ngettext, pgettext
from paysync_cli.settings import load_settings
from paysync_cli.tasks import CheckFailed, check

VARIABLES = ("PAYSYNC_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    language.use(None)
    yield
    language.use(None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, and nobody's home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def speak(monkeypatch: pytest.MonkeyPatch, **env: str) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    language.use(None)


@pytest.mark.parametrize(
    ("env", "spoken"),
    [
        ({}, "en"),
        ({"LANG": "es_BO.UTF-8"}, "es"),
        ({"LANG": "es_BO.UTF-8", "LC_ALL": "C"}, "es"),
        ({"LANG": "es_BO.UTF-8", "LC_ALL": "C.utf8"}, "es"),
        ({"LANG": "es_BO.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LC_MESSAGES": "es_BO.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LC_ALL": "en_US.UTF-8", "PAYSYNC_LANG": "es"}, "es"),
        ({"LC_ALL": "es_BO.UTF-8", "PAYSYNC_LANG": "en"}, "en"),
        ({"PAYSYNC_LANG": "ES-bo"}, "es"),
        ({"PAYSYNC_LANG": "", "LANG": "es@euro"}, "es"),
    ],
)
def test_the_environment_chooses(env: dict[str, str], spoken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    speak(monkeypatch, **env)
    assert language.chosen_language() == spoken
    assert _("Nothing was changed.") == {"en": "Nothing was changed.", "es": "No se cambió nada."}[spoken]


@pytest.mark.parametrize("unknown", ["fr", "qu_BO.UTF-8", "../../es", "."])
def test_an_unknown_language_is_english(unknown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    speak(monkeypatch, PAYSYNC_LANG=unknown)
    assert _("Nothing was changed.") == "Nothing was changed."


def test_words_with_a_number_and_words_with_two_meanings() -> None:
    language.use("es")
    assert [ngettext("{n} worker left.", "{n} workers left.", n).format(n=n) for n in (1, 2)] == [
        "Se fue 1 worker.",
        "Se fueron 2 workers.",
    ]
    assert (_("Due"), pgettext("how many", "Due")) == ("Vence", "A consultar")
    language.use("en")
    assert pgettext("how many", "Due") == "Due"


def test_what_is_logged_and_stored_is_english_on_every_thread_and_only_meanwhile() -> None:
    language.use("es")
    said: list[str] = []
    with language.english():
        thread = threading.Thread(target=lambda: said.append(_("Nothing was changed.")))
        thread.start()
        thread.join()
        said.append(_("Nothing was changed."))
    assert said == ["Nothing was changed."] * 2
    assert _("Nothing was changed.") == "No se cambió nada."


def test_a_message_for_a_person_out_of_a_process_that_logs_english() -> None:
    with language.english():
        with language.speaking("es"):
            assert _("Nothing was changed.") == "No se cambió nada."
        with language.speaking("fr"):
            assert _("Nothing was changed.") == "Nothing was changed."
        assert _("Nothing was changed.") == "Nothing was changed."


def test_the_reason_that_is_stored_with_a_job_is_english(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a stock `rq worker` that speaks Spanish: failed jobs are grouped by it."""
    monkeypatch.setenv("PAYSYNC_HOME", str(folder))
    speak(monkeypatch, PAYSYNC_LANG="es")
    with pytest.raises(CheckFailed, match="no paysync database at"):
        check(1, 0)


# -- what the files say, before anything is loaded


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


ES, EN = 'lang = "es"\n', 'lang = "en"\n'
USERS = "home/.config/paysync/paysync.toml"


@pytest.mark.parametrize(
    ("files", "arguments", "spoken"),
    [
        ({}, [], "en"),
        ({".env": "PAYSYNC_LANG=es_BO.UTF-8\n"}, [], "es"),
        ({".env": "export PAYSYNC_LANG='es'\n", "paysync.toml": EN}, [], "es"),
        ({"paysync.toml": ES, USERS: EN}, [], "es"),
        ({USERS: ES}, [], "es"),
        ({USERS: ES}, ["stats", "--config", "other.toml"], "en"),
        ({"other.toml": ES, "paysync.toml": EN}, ["stats", "--config", "other.toml"], "es"),
        ({"other.toml": ES}, ["--config=other.toml", "stats"], "es"),
        ({"paysync.toml": "lang = es, says somebody\n"}, [], "en"),  # not TOML: the command tells it
        ({"paysync.toml": "# language\nlang = 7\n"}, [], "en"),
        ({"paysync.toml": ES}, ["stats", "--json"], "en"),
        ({"paysync.toml": ES}, ["list", "--csv"], "en"),
        ({"paysync.toml": ES}, ["hold", "--", "--json"], "es"),
    ],
)
def test_the_files_choose(
    files: dict[str, str], arguments: list[str], spoken: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        write(folder, name, text)
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    entry.choose_language(arguments)
    assert _("Nothing was changed.") == {"en": "Nothing was changed.", "es": "No se cambió nada."}[spoken]


def test_the_environment_wins_over_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, ".env", "PAYSYNC_LANG=es\n")
    speak(monkeypatch, PAYSYNC_LANG="en")
    entry.choose_language(["stats"])
    assert language.chosen_language() == "en"


def test_programs_are_answered_in_english_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    speak(monkeypatch, PAYSYNC_LANG="es")
    entry.choose_language(["list", "--jsonl"])
    assert language.chosen_language() == "en"


def test_a_wrong_setting_is_told_in_the_language_that_was_chosen(folder: Path) -> None:
    write(folder, "paysync.toml", 'lang = "es"\nconcurrency = 0\n')
    entry.choose_language(["stats"])
    with pytest.raises(SettingsError, match="1 parámetro está mal") as raised:
        load_settings(environ={}, cwd=folder)
    assert "no está entre 1 y" in raised.value.faults[0].message


# -- yes


@pytest.mark.parametrize("answer", ["y", "yes", "Y", "s\n", "S", "sí\n", "si\n", "SÍ"])
def test_yes_is_understood_in_both_languages_and_without_accents(answer: str) -> None:
    language.use("es")
    assert _agrees(answer)


@pytest.mark.parametrize("answer", ["", "\n", "n", "no", "sino", "claro"])
def test_anything_else_is_no(answer: str) -> None:
    language.use("es")
    assert not _agrees(answer)


def test_a_spanish_yes_is_none_in_english() -> None:
    language.use("en")
    assert not _agrees("s")
