"""Which language is spoken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paysync_cli import language


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    language._asked_for = None
    language._catalogue.cache_clear()


@pytest.mark.parametrize(
    ("env", "spoken"),
    [
        ({}, "en"),
        ({"LANG": "es_BO.UTF-8"}, "es"),
        ({"LANG": "es_BO.UTF-8", "LC_ALL": "C"}, "es"),
        ({"LANG": "es_BO.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LC_ALL": "en_US.UTF-8", "PAYSYNC_LANG": "es"}, "es"),
    ],
)
def test_the_environment_chooses(env: dict[str, str], spoken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAYSYNC_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert language.chosen_language() == spoken


def test_a_settings_file_may_choose() -> None:
    language.use("es")
    assert language.chosen_language() == "es"
    assert language._("stats") == "stats"  # a text without translation stays as it is
