"""`paysync alert` and the way out of the house: Apprise, real webhooks that answer, break, or drip for ever."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paysync_cli.alerts import post
from paysync_cli.alerts.post import Address, Note, send
from tests.books import new_database
from tests.process import Ended, run_paysync
from tests.webhook import TOKEN, Webhook, webhook

NOTE = Note("paysync on shop: test", "A <b>bold</b> *claim* of 5 & more.", "failure")


def run(home: Path, *args: str, urls: str | None = None) -> Ended:
    env = {"PAYSYNC_HOME": str(home)} | ({} if urls is None else {"PAYSYNC_ALERT_URLS": urls})
    return run_paysync("alert", *args, env=env, cwd=home)


def address(hook: Webhook) -> Address:
    return Address(1, "json://***", "key", hook.url)


def test_each_address_is_tried_and_told_with_its_cause_and_nothing_of_its_url(tmp_path: Path) -> None:
    with webhook() as well, webhook("broken") as broken:
        both = run(tmp_path, "test", "--json", urls=f"{well.url} {broken.url}")
        assert run(tmp_path, "test", urls=well.url).status == 0
        none = run(tmp_path, "test", urls=f"{broken.url} nothing://like-this-{TOKEN}")
        dry = run(tmp_path, "test", "--dry-run", urls=well.url)
        secret = tmp_path / "urls"
        secret.write_text(well.url)
        secret.chmod(0o600)
        filed = run_paysync("alert", "test", env={"PAYSYNC_ALERT_URLS_FILE": str(secret)}, cwd=tmp_path)
        assert (dry.status, filed.status, len(well.got)) == (0, 0, 3)
    assert (both.status, none.status) == (3, 69)
    document = json.loads(both.out)
    assert [(one["url"], one["ok"]) for one in document["data"]["items"]] == [
        ("json://***", True),
        ("json://***", False),
    ]
    assert "500" in document["data"]["items"][1]["cause"]
    assert well.got[0]["title"].endswith(": test")
    for ended in (both, none, dry):
        assert TOKEN not in ended.out + ended.err


def test_without_an_address_it_says_how_to_set_one(tmp_path: Path) -> None:
    ended = run(tmp_path, "test")
    assert ended.status == 2
    assert "PAYSYNC_ALERT_URLS" in ended.err


def test_a_url_that_apprise_does_not_know_is_told_by_config_check_and_doctor(tmp_path: Path) -> None:
    new_database(tmp_path).close()
    env = {"PAYSYNC_HOME": str(tmp_path), "PAYSYNC_ALERT_URLS": f"nothing://{TOKEN}"}
    checked = run_paysync("config", "check", env=env, cwd=tmp_path)
    assert (checked.status, "nothing://***" in checked.err) == (2, True)
    doctor = run_paysync("doctor", "--json", env=env, cwd=tmp_path)
    found = {one["code"]: one["level"] for one in json.loads(doctor.out)["data"]["findings"]}
    assert found["alert_url"] == "fault"
    assert TOKEN not in checked.out + checked.err + doctor.out + doctor.err


def test_without_apprise_a_sentence_names_the_package(tmp_path: Path) -> None:
    """Apprise cannot be loaded in these processes, as where the extra is not installed."""
    new_database(tmp_path).close()
    away = tmp_path / "away"
    away.mkdir()
    (away / "sitecustomize.py").write_text("import sys\nsys.modules['apprise'] = None\n")
    env = {
        "PAYSYNC_HOME": str(tmp_path),
        "PAYSYNC_ALERT_URLS": "json://localhost",
        "PYTHONPATH": f"{away}:{Path(__file__).parents[2]}",
    }
    for words, status in (("alert test", 2), ("config check", 2), ("doctor", 6)):
        ended = run_paysync(*words.split(), env=env, cwd=tmp_path)
        assert ended.status == status, ended
        assert "paysync-cli[alerts]" in ended.out + ended.err, ended


# -- one call


def test_what_is_sent_is_the_text_as_it_stands(tmp_path: Path) -> None:
    with webhook() as hook:
        assert [sent.ok for sent in send(address(hook), [NOTE, NOTE])] == [True, True]
    assert [(one["title"], one["message"], one["type"]) for one in hook.got] == [
        (NOTE.title, NOTE.text, NOTE.level)
    ] * 2


def test_an_answer_that_drips_in_for_ever_is_left_in_time() -> None:
    with webhook("drip") as hook:
        started = time.monotonic()
        sent = send(address(hook), [NOTE, NOTE], patience_s=2.0)
        assert time.monotonic() - started < 20
    assert hook.dripping.is_set()
    assert [(one.ok, one.tried) for one in sent] == [(False, True), (False, False)]
    assert "no answer within 2 s" in str(sent[0].cause)


def test_the_process_that_sends_ends_by_itself_when_nobody_is_left_who_started_it() -> None:
    with webhook("drip") as hook:
        order = {
            "url": hook.url,
            "deadline": time.time() + 1.5,
            "notes": [{"title": "t", "text": "x", "level": "info"}],
        }
        alone = subprocess.run(
            [sys.executable, "-P", post._CHILD], input=json.dumps(order), text=True, timeout=30, check=False
        )
    assert alone.returncode == -signal.SIGALRM


def test_a_note_whose_time_is_over_is_not_sent_late() -> None:
    with webhook() as hook:
        (sent,) = send(address(hook), [NOTE], patience_s=0.0)
        assert (sent.ok, sent.tried, hook.asked) == (False, False, 0)


def test_the_process_that_sends_gets_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spy = tmp_path / "spy.py"
    spy.write_text("import os, sys\nopen(sys.argv[0] + '.seen', 'w').write(f'{dict(os.environ)} {sys.argv}')\n")
    monkeypatch.setattr(post, "_CHILD", spy)
    monkeypatch.setenv("PAYSYNC_BANK_SIM_PASSWORD", "s3cr3t")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cr3t@h/d")
    with webhook() as hook:
        send(address(hook), [NOTE])
    seen = (tmp_path / "spy.py.seen").read_text()
    assert "PATH" in seen
    assert "s3cr3t" not in seen
    assert TOKEN not in seen
