"""`paysync config show|check|init` through real processes."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from pathlib import Path

import pytest

from paysync_cli.settings.keys import BANK_KEYS, KEYS
from tests.process import Ended, run_on_terminal, run_paysync

CANARY = "canary-93b1-77ae"
BANECO = {
    "PAYSYNC_BANK_BANECO_BASE_URL": "https://bank.example",
    "PAYSYNC_BANK_BANECO_USERNAME": "shop",
    "PAYSYNC_BANK_BANECO_PASSWORD": "the password",
    "PAYSYNC_BANK_BANECO_AES_KEY": "k" * 32,
}


@pytest.fixture
def config(tmp_path: Path):
    def run(*args: str, env: dict[str, str] | None = None) -> Ended:
        return run_paysync("config", *args, env=env, cwd=tmp_path)

    return run


def settings_of(ended: Ended) -> dict[str, dict[str, object]]:
    assert ended.status == 0, ended.err
    return {row["key"]: row for row in json.loads(ended.out)["data"]["settings"]}


# -- show


def test_every_setting_is_shown_with_its_origin(config, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PAYSYNC_ATTEMPTS=4\n")
    (tmp_path / "paysync.toml").write_text("concurrency = 9\n[banks.sim]\nbase_url = 'https://sim.example'\n")
    rows = settings_of(config("show", "--json", env={"PAYMENT_SYNC_INTERVAL": "7"}))
    assert list(rows)[: len(KEYS)] == [key.name for key in KEYS]
    assert {f"banks.sim.{key.name}" for key in BANK_KEYS} <= set(rows)
    assert rows["payment_sync_interval"] == {
        "key": "payment_sync_interval",
        "value": "7",
        "origin": "environment",
        "name": "PAYMENT_SYNC_INTERVAL",
        "path": None,
    }
    assert (rows["attempts"]["origin"], rows["attempts"]["path"]) == (".env", str(tmp_path / ".env"))
    assert (rows["concurrency"]["origin"], rows["concurrency"]["path"]) == (
        "paysync.toml",
        str(tmp_path / "paysync.toml"),
    )
    assert (rows["max_checks"]["origin"], rows["max_checks"]["value"]) == ("default", "20")
    assert rows["banks.sim.currency"]["value"] == "BOB"


def test_the_files_that_were_read_are_listed(config, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    data = json.loads(config("show", "--json").out)["data"]
    assert data["settings_files"] == [str(tmp_path / ".env")]


def test_the_users_file_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".config" / "paysync"
    folder.mkdir(parents=True)
    (folder / "paysync.toml").write_text("concurrency = 9\n")
    ended = run_paysync("config", "show", "--json", cwd=tmp_path, home=tmp_path / "home")
    assert settings_of(ended)["concurrency"]["origin"] == "user file"
    xdg = {"XDG_CONFIG_HOME": str(tmp_path / "home" / ".config"), "XDG_DATA_HOME": str(tmp_path / "data")}
    rows = settings_of(run_paysync("config", "show", "--json", cwd=tmp_path, env=xdg))
    assert rows["concurrency"]["origin"] == "user file"
    assert rows["home"]["value"] == str(tmp_path / "data" / "paysync")


def test_the_named_file_before_and_after(config, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("concurrency = 9\n")
    (tmp_path / "paysync.toml").write_text("attempts = 9\n")
    for args in (("show", "--config", "other.toml"), ("--config=other.toml", "show")):
        rows = settings_of(config(*args, "--json"))
        assert (rows["concurrency"]["value"], rows["attempts"]["value"]) == ("9", "3")
    assert config("show", "--config", "none.toml").status == 2


def test_people_see_a_line_for_each(config) -> None:
    lines = config("show", env={"REDIS_URL": f"redis://:{CANARY}@host"}).out.splitlines()
    assert len(lines) == len(KEYS) + 1
    assert any(line.split()[:2] == ["redis_url", "redis://:***@host"] for line in lines)
    assert any(line.split() == ["concurrency", "5", "default"] for line in lines)


def test_rows_for_scripts(config) -> None:
    rows = list(csv.DictReader(io.StringIO(config("show", "--csv").out)))
    assert [row["key"] for row in rows] == [key.name for key in KEYS]
    lines = [json.loads(line) for line in config("show", "--jsonl").out.splitlines()]
    assert [row["key"] for row in lines] == [row["key"] for row in rows]


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",), ("--jsonl",), ("-v",), ("--debug",)])
@pytest.mark.parametrize("command", ["show", "check"])
def test_no_secret_is_shown(config, tmp_path: Path, command: str, form: tuple[str, ...]) -> None:
    (tmp_path / "key").write_text(CANARY.ljust(32, "x"))
    (tmp_path / "paysync.toml").write_text(
        f"[banks.b]\nadapter = 'baneco'\nbase_url = 'https://b'\nusername = 'u'\npassword = '{CANARY}'\n"
        f"aes_key_file = 'key'\nother = '{CANARY}'\n"
    )
    env = {
        "REDIS_URL": f"redis://u:{CANARY}@h?password={CANARY}",
        "DATABASE_URL": f"postgres://u:{CANARY}@h/d",
        "PAYSYNC_SERVE_TOKEN": CANARY,
        "PAYSYNC_ALERT_URLS": f"slack://{CANARY} https://{CANARY}@h",
        "PAYSYNC_BANK_B_TOKEN": CANARY,
    }
    if command == "check" and form in (("--csv",), ("--jsonl",)):
        return
    ended = config(command, *form, env=env)
    assert ended.status == (2 if command == "check" else 0), "`other` and `token` are no keys of this adapter"
    assert CANARY not in ended.out + ended.err


def test_no_secret_on_a_terminal(tmp_path: Path) -> None:
    env = {"REDIS_URL": f"redis://u:{CANARY}@h", "PAYSYNC_BANK_B_PASSWORD": CANARY}
    env["PAYSYNC_BANK_B_BASE_URL"] = "https://b.example"
    ended = run_on_terminal("config", "show", cwd=tmp_path, env=env, columns=160)
    assert "redis://u:***@h" in ended.out
    assert CANARY not in ended.out


# -- check


def test_right_settings(config) -> None:
    ended = config("check", env=BANECO)
    assert (ended.status, ended.out) == (0, "The settings are right. Banks: baneco.\n")


def test_all_faults_and_warnings_at_once(config, tmp_path: Path) -> None:
    (tmp_path / "paysync.toml").write_text("concurency = 1\n")
    env = {"REDIS_URL": f"redis://:{CANARY}@x@h", "PAYSYNC_JITTER": "lots", "PAYSYNC_REDONLY": "1"}
    ended = config("check", env=env)
    assert ended.status == 2
    assert ended.err.startswith("error: 3 settings are wrong.\n")
    for word in ("concurency", "Did you mean concurrency?", "REDIS_URL", "PAYSYNC_JITTER"):
        assert word in ended.err
    assert ended.out.startswith("warning: PAYSYNC_REDONLY in the environment is unknown")
    assert CANARY not in ended.err + ended.out


def test_faults_as_a_document(config) -> None:
    ended = config("check", "--json", env={"PAYSYNC_JITTER": "lots", "PAYSYNC_ATTEMPTS": "x", "PAYSYNC_REDONLY": "1"})
    assert (ended.status, ended.err) == (2, "")
    parsed = json.loads(ended.out)
    assert parsed["status"] == "error"
    assert [e["code"] for e in parsed["errors"]] == ["invalid_setting"] * 2
    assert [w["code"] for w in parsed["data"]["warnings"]] == ["unknown_setting"]


def test_a_warning_says_what_mends_it(config, tmp_path: Path) -> None:
    file = tmp_path / "paysync.toml"
    file.write_text('[banks.b]\nbase_url = "https://b"\nusername = "u"\npassword = "p"\naes_key = "0123456789abcdef"\n')
    file.chmod(0o644)
    assert f"every user may read it.\n  chmod 640 {file}\n" in config("check").out
    file.chmod(0o640)
    assert "warning" not in config("check").out


def test_warnings_alone_are_no_fault(config) -> None:
    ended = config("check", "--json", env={"PAYSYNC_REDONLY": "1"})
    assert ended.status == 0
    parsed = json.loads(ended.out)
    assert parsed["status"] == "ok"
    assert "did you mean PAYSYNC_READ_ONLY?" in parsed["data"]["warnings"][0]["message"]


ANDES = """
[banks.andes]
adapter = "http"
base_url = "https://andes.example"
[banks.andes.auth]
kind = "KIND"
header = "X-Key"
token_url = "/t"
path = "/login"
form = { p = "{password}" }
[banks.andes.headers]
X-Api-Key = "canary-93b1-header"
[banks.andes.status]
path = "/{qr_id}"
value = "["
"""


@pytest.mark.parametrize("kind", ["basic", "bearer", "api_key", "oauth2", "login"])
@pytest.mark.parametrize("form", [(), ("--json",), ("--debug",)])
@pytest.mark.parametrize("command", ["show", "check"])
def test_no_secret_of_a_described_bank_is_shown(
    config, tmp_path: Path, command: str, form: tuple[str, ...], kind: str
) -> None:
    (tmp_path / "secret").write_text(f"{CANARY}-secret\n")
    (tmp_path / "paysync.toml").write_text(ANDES.replace("KIND", kind))
    env = {f"PAYSYNC_BANK_ANDES_{key}": f"{CANARY}-{key}" for key in ("PASSWORD", "TOKEN", "API_KEY")}
    env |= {"PAYSYNC_BANK_ANDES_USERNAME": "u:x", "PAYSYNC_BANK_ANDES_CLIENT_ID": "shop"}
    env |= {"PAYSYNC_BANK_ANDES_CLIENT_SECRET_FILE": str(tmp_path / "secret")}
    ended = config(command, *form, env=env)
    assert ended.status == (2 if command == "check" else 0), ended.err
    assert CANARY not in ended.out + ended.err


def test_faults_of_settings_and_of_adapters_come_together(config, tmp_path: Path) -> None:
    (tmp_path / "paysync.toml").write_text(ANDES.replace("KIND", "bearer"))
    env = {"PAYSYNC_JITTER": "lots", "PAYSYNC_BANK_OTHER_BASE_URL": "https://b", "PAYSYNC_BANK_BAD_PASSWORD": "x"}
    document = json.loads(config("check", "--json", env=env).out)
    told = [error["message"] for error in document["errors"]]
    for words in (
        "PAYSYNC_JITTER",
        "The bank 'bad'",
        'unknown adapter "other"; installed: ',
        "banks.andes.token: is missing",
        "banks.andes.status.value: '[' is no JMESPath",
        "banks.andes.status.words: is missing",
    ):
        assert any(words in message for message in told), (words, told)


# -- init


def test_the_written_file_is_toml_and_changes_nothing(config, tmp_path: Path) -> None:
    before = config("show").out
    ended = config("init")
    path = tmp_path / "paysync.toml"
    assert (ended.status, ended.out) == (0, f"Written: {path}. Everything in it is commented out.\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(path.read_text()) == {}
    assert config("show").out == before


def test_what_the_written_file_offers_can_be_switched_on(config, tmp_path: Path) -> None:
    config("init", "full.toml")
    text = (tmp_path / "full.toml").read_text()
    keys = [line[2:] for line in text.splitlines() if line.startswith("# ") and (" = " in line or line[2:3] == "[")]
    uncommented = "\n".join(
        line for line in keys if not line.startswith(("password_file", "aes_key_file", "notice_secret_file"))
    )
    parsed = tomllib.loads(uncommented)
    assert set(parsed) == {key.name for key in KEYS} | {"banks"}
    assert {key.name for key in BANK_KEYS} <= set(parsed["banks"]["baneco"])
    usable = uncommented.replace("https://...", "https://bank.example").splitlines()
    files = ("client_cert", "client_key", "ca_bundle")  # of the bank's contract: not on this machine
    (tmp_path / "full.toml").write_text("\n".join(line for line in usable if not line.startswith(files)))
    ended = config("check", "--config", "full.toml", env=BANECO)
    assert ended.status == 0, ended.err


def test_a_file_that_is_there_is_never_touched(config, tmp_path: Path) -> None:
    (tmp_path / "paysync.toml").write_text("concurrency = 9\n")
    ended = config("init")
    assert ended.status == 5
    assert "not touched" in ended.err
    assert (tmp_path / "paysync.toml").read_text() == "concurrency = 9\n"
    assert config("init", "no/such/folder.toml").status == 2


def test_settings_that_are_wrong_do_not_stop_init(config, tmp_path: Path) -> None:
    assert config("init", env={"REDIS_URL": "nonsense"}).status == 0
    assert (tmp_path / "paysync.toml").exists()


def test_a_misspelt_key_of_a_bank_is_told(tmp_path: Path) -> None:
    right = {"BASE_URL": "https://bank.example", "USERNAME": "u", "PASSWORD": "p" * 8, "AES_KEY": "0" * 32}
    env = {f"PAYSYNC_BANK_BANECO_{key}": value for key, value in right.items()}
    assert run_paysync("config", "check", env=env, cwd=tmp_path).status == 0
    ended = run_paysync("config", "check", env=env | {"PAYSYNC_BANK_BANECO_PASWORD": "canary-word"}, cwd=tmp_path)
    assert ended.status == 2
    assert "[banks.baneco] there is no key pasword; did you mean password?" in ended.err
    assert "canary-word" not in ended.err
