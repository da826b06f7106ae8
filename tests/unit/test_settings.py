"""Where settings come from, in which order, and how everything that is wrong is told at once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from paysync_cli.errors import SettingsError, UsageError
from paysync_cli.settings import Folders, OriginKind, Settings, SettingsFaults, load_settings, select_bank
from paysync_cli.settings.keys import KEYS
from paysync_cli.settings.masking import redact

Load = Callable[..., Settings]


@dataclasses.dataclass
class Places:
    """A machine of our own: every place a setting may stand in."""

    root: Path

    @property
    def cwd(self) -> Path:
        return self.root / "work"

    @property
    def folders(self) -> Folders:
        return Folders(data=self.root / "data", config=self.root / "config", system=self.root / "etc")

    def write(self, kind: OriginKind, text: str) -> Path:
        files = {
            OriginKind.DOTENV: self.cwd / ".env",
            OriginKind.PROJECT_FILE: self.cwd / "paysync.toml",
            OriginKind.USER_FILE: self.root / "config" / "paysync.toml",
            OriginKind.SYSTEM_FILE: self.root / "etc" / "paysync.toml",
        }
        files[kind].write_text(text)
        files[kind].chmod(0o640)
        return files[kind]

    def load(self, environ: Mapping[str, str] | None = None, **more: object) -> Settings:
        return load_settings(environ=environ or {}, cwd=self.cwd, folders=self.folders, **more)  # type: ignore[arg-type]

    def faults(self, environ: Mapping[str, str] | None = None, **more: object) -> list[str]:
        with pytest.raises(SettingsFaults) as caught:
            self.load(environ, **more)
        return [fault.message for fault in caught.value.faults]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("work", "config", "etc"):
        (tmp_path / name).mkdir()
    return Places(tmp_path)


BANK = {"PAYSYNC_BANK_BANECO_BASE_URL": "https://bank.example/ApiGateway"}


# -- defaults


def test_everything_has_its_documented_default(places: Places) -> None:
    settings = places.load()
    assert settings.redis_url is None
    assert settings.database_url == f"sqlite:///{places.root}/data/paysync.db"
    assert settings.home == places.root / "data"
    assert settings.redis_folder == places.root / "data" / "redis"
    assert (settings.sync_interval_s, settings.concurrency, settings.attempts) == (300, 5, 3)
    assert (settings.backoff_s, settings.max_checks) == (2, 20)
    assert (settings.delay_pending_s, settings.delay_processing_s, settings.delay_active_s) == (120, 300, 900)
    assert (settings.pending_window_s, settings.due_margin_s, settings.jitter) == (600, 120, 0.1)
    assert (settings.keep_completed, settings.keep_failed, settings.shutdown_grace_s) == (100, 50, 30)
    assert settings.cleanup_at == time(2, 0)
    assert (settings.default_bank, settings.log_level, settings.log_format, settings.log_file) == (
        None,
        "info",
        None,
        None,
    )
    assert (settings.tz, settings.lang, settings.alert_urls, settings.serve_token) == (None, None, (), None)
    assert settings.read_only is False
    assert settings.banks == {}
    assert settings.files == ()
    assert settings.warnings == ()
    assert {origin.kind for origin in settings.origins.values()} == {OriginKind.DEFAULT}
    assert [entry.key for entry in settings.entries] == [key.name for key in KEYS]


def test_a_bank_has_its_documented_defaults(places: Places) -> None:
    bank = places.load(BANK).banks["baneco"]
    assert (bank.name, bank.adapter, bank.environment, bank.currency) == ("baneco", "baneco", "production", "BOB")
    assert bank.timezone == ZoneInfo("America/La_Paz")
    assert (bank.account, bank.due_margin_s, bank.rate_per_s, bank.concurrency) == ("", 120, 10, 20)
    assert (bank.foreign_qrs, dict(bank.options)) == ("review", {})


def test_a_bank_inherits_the_general_due_margin(places: Places) -> None:
    environ = BANK | {"PAYSYNC_DUE_MARGIN": "7m"}
    assert places.load(environ).banks["baneco"].due_margin_s == 420
    assert places.load(environ | {"PAYSYNC_BANK_BANECO_DUE_MARGIN": "1m"}).banks["baneco"].due_margin_s == 60


# -- the order of the sources

STRONGEST_FIRST = list(OriginKind)[:-1]


def _set_in(places: Places, kind: OriginKind, value: int) -> tuple[dict[str, str], dict[str, str]]:
    """Write concurrency = value in one place; returns (environ, options)."""
    if kind is OriginKind.OPTION:
        return {}, {"concurrency": str(value)}
    if kind is OriginKind.ENVIRONMENT:
        return {"PAYSYNC_CONCURRENCY": str(value)}, {}
    places.write(kind, f"PAYSYNC_CONCURRENCY={value}" if kind is OriginKind.DOTENV else f"concurrency = {value}")
    return {}, {}


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [(s, w) for i, s in enumerate(STRONGEST_FIRST) for w in STRONGEST_FIRST[i + 1 :]],
)
def test_the_stronger_source_wins(places: Places, stronger: OriginKind, weaker: OriginKind) -> None:
    weak_env, weak_options = _set_in(places, weaker, 11)
    strong_env, strong_options = _set_in(places, stronger, 22)
    settings = places.load(weak_env | strong_env, options=weak_options | strong_options)
    assert settings.concurrency == 22
    assert settings.origins["concurrency"].kind is stronger


@pytest.mark.parametrize("kind", STRONGEST_FIRST)
def test_each_source_alone_is_read_and_named(places: Places, kind: OriginKind) -> None:
    environ, options = _set_in(places, kind, 33)
    settings = places.load(environ, options=options)
    assert settings.concurrency == 33
    origin = settings.origins["concurrency"]
    assert origin.kind is kind
    expected = {
        OriginKind.OPTION: "--concurrency",
        OriginKind.ENVIRONMENT: "PAYSYNC_CONCURRENCY",
        OriginKind.DOTENV: "PAYSYNC_CONCURRENCY",
    }
    assert origin.name == expected.get(kind, "concurrency")
    in_file = kind not in (OriginKind.OPTION, OriginKind.ENVIRONMENT)
    assert (origin.path is not None) == in_file
    assert settings.files == ((origin.path,) if in_file else ())


def test_files_are_listed_strongest_first(places: Places) -> None:
    kinds = (OriginKind.SYSTEM_FILE, OriginKind.USER_FILE, OriginKind.PROJECT_FILE, OriginKind.DOTENV)
    paths = [places.write(kind, "") for kind in kinds]
    assert list(places.load().files) == paths[::-1]


def test_one_file_may_set_what_another_does_not(places: Places) -> None:
    places.write(OriginKind.PROJECT_FILE, "concurrency = 7")
    places.write(OriginKind.SYSTEM_FILE, "concurrency = 8\nattempts = 9\n[banks.baneco]\nbase_url = 'https://b'")
    places.write(OriginKind.USER_FILE, "[banks.baneco]\nusername = 'u'\nbase_url = 'https://a'")
    settings = places.load()
    assert (settings.concurrency, settings.attempts) == (7, 9)
    bank = settings.banks["baneco"]
    assert (bank.base_url, bank.options["username"]) == ("https://a", "u")


def test_the_named_file_stands_in_for_all_toml_files(places: Places) -> None:
    places.write(OriginKind.PROJECT_FILE, "concurrency = 7")
    places.write(OriginKind.DOTENV, "PAYSYNC_ATTEMPTS=4")
    other = places.root / "other.toml"
    other.write_text("max_checks = 3")
    settings = places.load(config_file=other)
    assert (settings.concurrency, settings.attempts, settings.max_checks) == (5, 4, 3)


def test_the_named_file_must_exist(places: Places) -> None:
    missing = places.root / "none.toml"
    assert places.faults(config_file=missing) == [f"There is no settings file {missing}."]


def test_a_relative_named_file_counts_from_the_working_folder(places: Places) -> None:
    (places.cwd / "near.toml").write_text("attempts = 6")
    assert places.load(config_file=Path("near.toml")).attempts == 6


def test_without_files_only_options_and_environment_count(places: Places) -> None:
    places.write(OriginKind.PROJECT_FILE, "concurrency = 7")
    places.write(OriginKind.DOTENV, "PAYSYNC_ATTEMPTS=4")
    settings = places.load({"PAYSYNC_MAX_CHECKS": "2"}, read_files=False)
    assert (settings.concurrency, settings.attempts, settings.max_checks) == (5, 3, 2)


# -- the names that have a second one


def test_the_specific_url_variable_wins(places: Places) -> None:
    settings = places.load(
        {
            "REDIS_URL": "redis://general",
            "PAYSYNC_REDIS_URL": "redis://special",
            "DATABASE_URL": "postgres://general/a",
            "PAYSYNC_DATABASE_URL": "postgres://special/b",
        }
    )
    assert settings.redis_url == "redis://special:6379/0"
    assert settings.database_url == "postgresql+psycopg://special/b"
    assert settings.origins["redis_url"].name == "PAYSYNC_REDIS_URL"


def test_the_specific_name_in_dotenv_wins_over_the_general_one_of_the_environment(places: Places) -> None:
    places.write(OriginKind.DOTENV, "PAYSYNC_REDIS_URL=redis://special\nREDIS_URL=redis://never")
    settings = places.load({"REDIS_URL": "redis://general"})
    assert settings.redis_url == "redis://special:6379/0"


def test_dotenv_never_overrides_the_environment_for_one_name(places: Places) -> None:
    places.write(OriginKind.DOTENV, "REDIS_URL=redis://dotenv")
    assert places.load({"REDIS_URL": "redis://real"}).redis_url == "redis://real:6379/0"


def test_an_empty_variable_counts_as_not_set(places: Places) -> None:
    places.write(OriginKind.DOTENV, "REDIS_URL=redis://dotenv")
    assert places.load({"REDIS_URL": "  ", "PAYSYNC_CONCURRENCY": ""}).redis_url == "redis://dotenv:6379/0"


# -- .env


def test_dotenv_leaves_the_process_environment_alone(places: Places) -> None:
    places.write(OriginKind.DOTENV, "PAYSYNC_CONCURRENCY=9\nUNRELATED_THING=1")
    before = dict(os.environ)
    assert places.load().concurrency == 9
    assert dict(os.environ) == before


def test_dotenv_knows_quotes_comments_export_and_references(places: Places) -> None:
    text = (
        "# comment\nexport PAYSYNC_CONCURRENCY='9' # nine\nTOKEN_PART=abc\n"
        'PAYSYNC_SERVE_TOKEN="x${TOKEN_PART}y-and-more-of-it"\nPAYSYNC_ATTEMPTS\n'
    )
    places.write(OriginKind.DOTENV, text)
    settings = places.load()
    assert (settings.concurrency, settings.serve_token, settings.attempts) == (9, "xabcy-and-more-of-it", 3)


def test_an_unreadable_line_of_ours_is_a_fault_without_its_text(places: Places) -> None:
    places.write(OriginKind.DOTENV, "A=1\nPAYSYNC_SERVE_TOKEN='canary-unclosed\n")
    [message] = places.faults()
    assert "line 2" in message
    assert "canary" not in message


def test_an_unreadable_line_of_the_application_is_not_our_business(places: Places) -> None:
    places.write(OriginKind.DOTENV, "what is this\nPAYSYNC_CONCURRENCY=9\n")
    assert places.load().concurrency == 9


# -- TOML


def test_toml_values_of_every_kind(places: Places) -> None:
    text = """
        payment_sync_interval = 2.5
        concurrency = 8
        jitter = "0"
        read_only = true
        cleanup_at = 03:30:00
        alert_urls = ["https://a.example/x", "slack://b"]
        due_margin = "90s"
        [banks.sim]
        base_url = "http://127.0.0.1:9180"
        rate = 5
        concurrency = 3
        sandbox = true
    """
    places.write(OriginKind.PROJECT_FILE, text)
    settings = places.load()
    assert (settings.sync_interval_s, settings.concurrency, settings.jitter) == (150, 8, 0)
    assert (settings.read_only, settings.cleanup_at, settings.due_margin_s) == (True, time(3, 30), 90)
    assert settings.alert_urls == ("https://a.example/x", "slack://b")
    sim = settings.banks["sim"]
    assert (sim.rate_per_s, sim.concurrency, dict(sim.options)) == (5, 3, {"sandbox": "true"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("concurency = 5", ["concurency", "no such setting"]),
        ("PAYSYNC_CONCURRENCY = 5", ["no such setting"]),
        ("concurrency = [1, 2]", ["concurrency", "text, a number"]),
        ("banks = 5", ["[banks.NAME]"]),
        ("[banks]\nbaneco = 5", ["[banks.NAME]"]),
        ("[banks.Bad-Name]\nbase_url = 'https://x'", ["small letters"]),
        ("[banks.sim]\nbase_url = { a = 1 }", ["banks.sim.base_url"]),
        ("concurrency = ", ["not valid TOML", "end of document"]),
    ],
)
def test_a_toml_file_that_is_wrong_is_explained(places: Places, text: str, words: list[str]) -> None:
    path = places.write(OriginKind.PROJECT_FILE, text)
    messages = " ".join(places.faults())
    for word in [str(path), *words]:
        assert word in messages


@pytest.mark.parametrize(
    "url", ["https://x:99999", "https://x:y", "https://x:0", "https://[::1", "https://:80", "https://a..b"]
)
def test_an_address_that_cannot_be_dialled_is_told_at_once(places: Places, url: str) -> None:
    """Else it would pass for a bank that does not answer, at three in the morning."""
    places.write(OriginKind.PROJECT_FILE, f"[banks.sim]\nbase_url = '{url}'")
    assert "it must look like https://host/path" in " ".join(places.faults())
    places.write(OriginKind.PROJECT_FILE, "[banks.sim]\nbase_url = 'https://[::1]:8443/a'")
    assert places.load().banks["sim"].base_url == "https://[::1]:8443/a"


def test_an_unknown_toml_key_gets_its_nearest_name(places: Places) -> None:
    places.write(OriginKind.PROJECT_FILE, "concurency = 5\nPAYSYNC_ATTEMPTS = 1")
    with pytest.raises(SettingsFaults) as caught:
        places.load()
    assert [fault.hint for fault in caught.value.faults] == ["Did you mean concurrency?", "Did you mean attempts?"]


def test_a_toml_error_does_not_quote_the_file(places: Places) -> None:
    places.write(OriginKind.PROJECT_FILE, 'serve_token = "canary\nattempts = 3')
    assert "canary" not in " ".join(places.faults())


def test_a_file_that_is_not_utf8_is_a_fault(places: Places) -> None:
    places.write(OriginKind.PROJECT_FILE, "").write_bytes(b"lang = '\xff\xfe'")
    assert "not UTF-8" in places.faults()[0]


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a file unreadable, also for root, who runs many a container's tests."""
    read_text = Path.read_text

    def close(path: Path) -> None:
        def refuse(self: Path, *args: object, **kwargs: object) -> str:
            if self == path:
                raise PermissionError(13, "Permission denied")
            return read_text(self, *args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(Path, "read_text", refuse)

    return close


@pytest.mark.parametrize("kind", [OriginKind.DOTENV, OriginKind.PROJECT_FILE, OriginKind.USER_FILE])
def test_a_file_that_may_not_be_read_is_a_fault(
    places: Places, closed: Callable[[Path], None], kind: OriginKind
) -> None:
    path = places.write(kind, "PAYSYNC_CONCURRENCY=9")
    closed(path)
    assert places.faults()[0].startswith(f"{path} may not be read by user ")


def test_a_folder_that_may_not_be_entered_is_only_a_warning(
    places: Places, closed: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = places.write(OriginKind.PROJECT_FILE, "concurrency = 9")
    closed(path)
    monkeypatch.setattr(os, "access", lambda _folder, _mode: False)
    settings = places.load()
    assert settings.concurrency == 5
    assert "may not be entered" in settings.warnings[0].message
    assert "may not be read" in places.faults(config_file=path)[0]


@pytest.mark.parametrize("folder", ["config", "etc", "work"])
def test_a_folder_in_place_of_a_file_is_a_fault(places: Places, folder: str) -> None:
    (places.root / folder / "paysync.toml").mkdir()
    assert "cannot be read" in places.faults()[0]


def test_a_byte_order_mark_is_no_fault(places: Places) -> None:
    places.write(OriginKind.PROJECT_FILE, "").write_bytes(b"\xef\xbb\xbfconcurrency = 9")
    assert places.load().concurrency == 9


# -- folders


def test_relative_paths_count_from_where_they_were_written(places: Places) -> None:
    places.write(OriginKind.SYSTEM_FILE, "log_file = 'log/paysync.log'\ndatabase_url = 'sqlite:///books.db'")
    settings = places.load({"PAYSYNC_HOME": "here"})
    assert settings.home == places.cwd / "here"
    assert settings.log_file == places.root / "etc" / "log" / "paysync.log"
    assert settings.database_url == f"sqlite:///{places.root}/etc/books.db"


def test_the_default_database_follows_the_home(places: Places) -> None:
    settings = places.load({"PAYSYNC_HOME": "/srv/paysync"})
    assert settings.database_url == "sqlite:////srv/paysync/paysync.db"
    assert settings.redis_folder == Path("/srv/paysync/redis")


def test_without_a_home_folder_the_way_out_is_named() -> None:
    nowhere = Folders(None, None, None)
    with pytest.raises(SettingsFaults) as caught:
        load_settings(environ={}, folders=nowhere, read_files=False)
    assert caught.value.faults[0].hint == "Set PAYSYNC_HOME to a folder."
    settings = load_settings(environ={"PAYSYNC_HOME": "/srv/p"}, folders=nowhere, read_files=False)
    assert settings.home == Path("/srv/p")


def test_a_deleted_working_folder_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    folders = Folders(tmp_path / "data", tmp_path / "config", tmp_path / "etc")
    assert load_settings(environ={}, folders=folders).concurrency == 5
    with pytest.raises(SettingsFaults, match="is wrong") as caught:
        load_settings(environ={"PAYSYNC_HOME": "relative"}, folders=folders)
    assert "no folder to start from" in caught.value.faults[0].message


def test_the_users_own_folders_are_absolute() -> None:
    folders = Folders.of_this_user()
    assert folders.system == Path("/etc/paysync")
    assert all(folder is None or folder.is_absolute() for folder in (folders.data, folders.config))


# -- banks


def test_a_bank_from_variables_and_files(places: Places) -> None:
    secret = places.root / "aes"
    secret.write_text("0123456789abcdef\n")
    environ = BANK | {
        "PAYSYNC_BANK_BANECO_PASSWORD": "from-environment",
        "PAYSYNC_BANK_BANECO_AES_KEY_FILE": str(secret),
        "PAYSYNC_BANK_BANECO_ENVIRONMENT": "certification",
        "PAYSYNC_BANK_BANECO_RATE": "300/m",
    }
    toml = '[banks.baneco]\npassword = "from-toml"\nusername = "ana"\ntimezone = "UTC"\nadapter = "other"\n'
    places.write(OriginKind.PROJECT_FILE, toml)
    settings = places.load(environ)
    bank = settings.banks["baneco"]
    assert dict(bank.options) == {
        "password": "from-environment",
        "aes_key": "0123456789abcdef",
        "username": "ana",
    }
    assert (bank.environment, bank.rate_per_s, bank.timezone, bank.adapter) == (
        "certification",
        5,
        ZoneInfo("UTC"),
        "other",
    )
    assert settings.origins["banks.baneco.aes_key"].name == "PAYSYNC_BANK_BANECO_AES_KEY_FILE"
    assert settings.origins["banks.baneco.username"].name == "banks.baneco.username"
    assert settings.origins["banks.baneco.currency"].kind is OriginKind.DEFAULT


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("TIMEZONE", "America/LaPaz", "America/La_Paz"),
        ("ENVIRONMENT", "test", "certification"),
        ("CURRENCY", "BOLIVIANO", "currency"),
        ("RATE", "fast", "10/s"),
        ("RATE", "0", "above zero"),
        ("CONCURRENCY", "0", "between 1"),
        ("DUE_MARGIN", "soon", "time span"),
        ("FOREIGN_QRS", "drop", "review, count"),
        ("BASE_URL", "bank.example", "https://"),
        ("BASE_URL", "https://u:canary@bank.example", "https://"),
        ("PASSWORD_FILE", "/nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_a_bank_key_that_is_wrong_is_explained(places: Places, key: str, value: str, word: str) -> None:
    messages = places.faults(BANK | {f"PAYSYNC_BANK_BANECO_{key}": value})
    assert len(messages) == 1
    assert f"PAYSYNC_BANK_BANECO_{key}" in messages[0]
    assert word in messages[0]
    assert "canary" not in messages[0]


def test_a_bank_without_base_url_names_its_twin(places: Places) -> None:
    with pytest.raises(SettingsFaults) as caught:
        places.load(BANK | {"PAYSYNC_BANK_BANECCO_PASSWORD": "x"})
    [fault] = caught.value.faults
    assert "PAYSYNC_BANK_BANECCO_PASSWORD" in fault.message
    assert fault.hint is not None
    assert "Did you mean the bank 'baneco'?" in fault.hint


def test_value_and_file_together_are_refused(places: Places) -> None:
    token = places.root / "token"
    token.write_text("t0ken-of-16-canaries")
    messages = places.faults({"PAYSYNC_SERVE_TOKEN": "another-t0ken-canary", "PAYSYNC_SERVE_TOKEN_FILE": str(token)})
    assert len(messages) == 1
    assert "not both" in messages[0]


@pytest.mark.parametrize("token", ["two canaries", "canary\ncanary", "canar\u00eda", "canary\x7f"])
def test_a_token_that_no_client_could_send_is_refused_and_not_repeated(places: Places, token: str) -> None:
    (message,) = places.faults({"PAYSYNC_SERVE_TOKEN": token})
    assert "one word" in message
    assert "canar" not in message


def test_a_short_token_is_refused_and_not_repeated(places: Places) -> None:
    (message,) = places.faults({"PAYSYNC_SERVE_TOKEN": "fifteen-canary."})
    assert "shorter than 16" in message
    assert "canary" not in message
    assert places.load({"PAYSYNC_SERVE_TOKEN": "fifteen-canary.."}).serve_token == "fifteen-canary.."


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_secret_file_must_hold_text(places: Places, content: bytes) -> None:
    token = places.root / "token"
    token.write_bytes(content)
    assert str(token) in places.faults({"PAYSYNC_SERVE_TOKEN_FILE": str(token)})[0]


def test_a_secret_file_gives_its_text_without_the_line_end(places: Places) -> None:
    (places.cwd / "token").write_text("  t0ken-of-16-chars \r\n")
    environ = BANK | {"PAYSYNC_BANK_BANECO_PASSWORD_FILE": "token", "PAYSYNC_SERVE_TOKEN_FILE": "token"}
    settings = places.load(environ)
    assert settings.banks["baneco"].options["password"] == "  t0ken-of-16-chars "
    assert settings.serve_token == "t0ken-of-16-chars"


def test_a_near_miss_of_a_bank_key_is_warned_of(places: Places) -> None:
    settings = places.load(BANK | {"PAYSYNC_BANK_BANECO_TIMEZON": "UTC"})
    assert settings.banks["baneco"].options == {"timezon": "UTC"}
    assert "did you mean timezone" in settings.warnings[0].message


@pytest.mark.parametrize("key", ["CLIENT_SECRET", "CLIENT_ID", "API_KEY", "TOKEN", "USERNAME"])
def test_an_adapters_usual_key_is_no_near_miss(places: Places, key: str) -> None:
    assert places.load(BANK | {f"PAYSYNC_BANK_BANECO_{key}": "x"}).warnings == ()


# -- sub-tables of banks

TABLES = """
[banks.andes]
adapter = "http"
base_url = "https://andes.example"
[banks.andes.status]
path = "/qrs/{qr_id}"
words = { OPEN = "unpaid", 1 = "paid" }
[banks.andes.status.query]
list = [1, "2", true]
"""


def test_sub_tables_come_as_toml_tells_them(places: Places) -> None:
    path = places.write(OriginKind.PROJECT_FILE, TABLES)
    settings = places.load()
    assert settings.banks["andes"].tables == {
        "status": {
            "path": "/qrs/{qr_id}",
            "words": {"OPEN": "unpaid", "1": "paid"},
            "query": {"list": [1, "2", True]},
        }
    }
    assert settings.banks["andes"].options == {}
    origin = settings.origins["banks.andes.status.words.OPEN"]
    assert (origin.kind, origin.path) == (OriginKind.PROJECT_FILE, path)
    shown = {entry.key: entry.shown for entry in settings.entries}
    assert shown["banks.andes.status.words.1"] == "paid"
    assert shown["banks.andes.status.path"] == "/qrs/{qr_id}"


def test_a_sub_table_comes_whole_from_the_strongest_file_that_has_it(places: Places) -> None:
    places.write(OriginKind.PROJECT_FILE, "[banks.andes.status]\npath = '/mine'\n")
    places.write(OriginKind.USER_FILE, TABLES + "[banks.andes.ping]\npath = '/ping'\n")
    bank = places.load().banks["andes"]
    assert bank.tables == {"status": {"path": "/mine"}, "ping": {"path": "/ping"}}
    assert bank.base_url == "https://andes.example"


def test_sub_tables_of_other_adapters_are_not_shown(places: Places) -> None:
    places.write(OriginKind.PROJECT_FILE, TABLES.replace('"http"', '"other"'))
    shown = {entry.key: entry.shown for entry in places.load().entries}
    assert shown["banks.andes.status.path"] == "***"


@pytest.mark.parametrize("key", ["client_secret", "X-Api-Key", "PASSWORD", "session_token", "Authorization", "Cookie"])
def test_what_is_called_like_a_secret_is_kept_out_of_everything(places: Places, key: str) -> None:
    """Also where no secret belongs: somebody will write it there all the same."""
    path = places.write(OriginKind.PROJECT_FILE, TABLES + f"[banks.andes.headers]\n{key} = 'canary-secret'\n")
    settings = places.load()
    assert "canary-secret" in settings.secret_texts
    assert "canary" not in repr(settings) + repr(settings.banks) + repr(settings.entries)
    assert settings.warnings == ()
    path.chmod(0o644)
    assert [warning.code for warning in places.load().warnings] == ["readable_secrets"]


def test_a_placeholder_is_no_secret(places: Places) -> None:
    file = places.write(OriginKind.PROJECT_FILE, TABLES + "[banks.andes.headers]\nX-Api-Key = '{api_key}'\n")
    file.chmod(0o644)
    assert places.load().warnings == ()
    shown = {entry.key: entry.shown for entry in places.load().entries}
    assert shown["banks.andes.headers.X-Api-Key"] == "{api_key}"
    assert not any("api_key" in text for text in places.load().secret_texts)


def test_faults_carry_the_banks_that_are_right(places: Places) -> None:
    with pytest.raises(SettingsFaults) as caught:
        places.load(BANK | {"PAYSYNC_JITTER": "lots", "PAYSYNC_BANK_OTHER_PASSWORD": "x"})
    assert list(caught.value.banks) == ["baneco"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_secret_file_that_all_may_read_is_warned_of(places: Places, mode: int) -> None:
    secret = places.root / "secret"
    secret.write_text("s3cret-of-16-chars")
    secret.chmod(mode)
    for name in ("PAYSYNC_BANK_BANECO_CLIENT_SECRET_FILE", "PAYSYNC_SERVE_TOKEN_FILE"):
        warnings = places.load(BANK | {name: str(secret)}).warnings
        assert [warning.code for warning in warnings] == (["readable_secrets"] if mode == 0o644 else [])
        assert all(str(secret) in warning.message for warning in warnings)
        assert all(warning.hint == f"chmod 640 {secret}" for warning in warnings)


@pytest.mark.parametrize(
    ("url", "environment", "warned"),
    [
        ("http://bank.example", "production", True),
        ("HTTP://bank.example", "production", True),
        ("http://bank.example", "certification", False),
        ("http://127.0.0.1:9180", "production", False),
        ("https://bank.example", "production", False),
    ],
)
def test_plain_http_in_production_is_warned_of(places: Places, url: str, environment: str, warned: bool) -> None:
    environ = {"PAYSYNC_BANK_B_BASE_URL": url, "PAYSYNC_BANK_B_ENVIRONMENT": environment}
    assert [w.code for w in places.load(environ).warnings] == (["plain_http"] if warned else [])


# -- choosing a bank


def _with_banks(places: Places, *names: str, **environ: str) -> Settings:
    urls = {f"PAYSYNC_BANK_{name.upper()}_BASE_URL": f"https://{name}.example" for name in names}
    return places.load(urls | environ)


def test_the_only_bank_is_the_default(places: Places) -> None:
    assert select_bank(_with_banks(places, "sim")).name == "sim"


def test_with_several_banks_one_must_be_chosen(places: Places) -> None:
    settings = _with_banks(places, "sim", "baneco")
    with pytest.raises(UsageError) as caught:
        select_bank(settings)
    assert "baneco, sim" in caught.value.message
    assert caught.value.exit_status == 2
    assert select_bank(settings, "sim").name == "sim"
    chosen = _with_banks(places, "sim", "baneco", PAYSYNC_DEFAULT_BANK="baneco")
    assert select_bank(chosen).name == "baneco"
    assert select_bank(chosen, "sim").name == "sim"


def test_without_a_bank_the_two_ways_out_are_named(places: Places) -> None:
    with pytest.raises(SettingsError) as caught:
        select_bank(places.load())
    assert caught.value.exit_status == 2
    assert caught.value.hint is not None
    assert "[banks.NAME]" in caught.value.hint
    assert "paysync bank simulate" in caught.value.hint


def test_an_unknown_bank_gets_its_nearest_name(places: Places) -> None:
    with pytest.raises(UsageError) as caught:
        select_bank(_with_banks(places, "sim", "baneco"), "banecco")
    assert caught.value.hint == "Did you mean baneco?"


def test_a_default_bank_that_is_none_of_the_banks_is_a_fault(places: Places) -> None:
    environ = BANK | {"PAYSYNC_DEFAULT_BANK": "banecco"}
    assert "PAYSYNC_DEFAULT_BANK" in places.faults(environ)[0]


# -- values that cannot be


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PAYMENT_SYNC_INTERVAL", "0"),
        ("PAYMENT_SYNC_INTERVAL", "-5"),
        ("PAYMENT_SYNC_INTERVAL", "often"),
        ("PAYSYNC_CONCURRENCY", "0"),
        ("PAYSYNC_CONCURRENCY", "five"),
        ("PAYSYNC_CONCURRENCY", "5.5"),
        ("PAYSYNC_CONCURRENCY", "٥"),
        ("PAYSYNC_ATTEMPTS", "0"),
        ("PAYSYNC_BACKOFF", "0"),
        ("PAYSYNC_MAX_CHECKS", "-1"),
        ("PAYSYNC_DELAY_PENDING", "0s"),
        ("PAYSYNC_DUE_MARGIN", "-1s"),
        ("PAYSYNC_JITTER", "10"),
        ("PAYSYNC_JITTER", "101%"),
        ("PAYSYNC_KEEP_FAILED", "-1"),
        ("PAYSYNC_CLEANUP_AT", "24:00"),
        ("PAYSYNC_CLEANUP_AT", "2"),
        ("PAYSYNC_DEFAULT_BANK", "Bad Bank"),
        ("PAYSYNC_LOG_LEVEL", "loud"),
        ("PAYSYNC_LOG_FORMAT", "xml"),
        ("PAYSYNC_TZ", "Mars/Olympus"),
        ("PAYSYNC_TZ", "../../etc/passwd"),
        ("PAYSYNC_LANG", "x"),
        ("PAYSYNC_ALERT_URLS", "not a url"),
        ("PAYSYNC_READ_ONLY", "maybe"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_place(places: Places, variable: str, value: str) -> None:
    [message] = places.faults({variable: value})
    assert message.startswith(f"{variable} in the environment: ")


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("PAYMENT_SYNC_INTERVAL", "2", "sync_interval_s", 120),
        ("PAYMENT_SYNC_INTERVAL", "90s", "sync_interval_s", 90),
        ("PAYMENT_SYNC_INTERVAL", "0.5", "sync_interval_s", 30),
        ("PAYSYNC_BACKOFF", "500ms", "backoff_s", 0.5),
        ("PAYSYNC_BACKOFF", "3", "backoff_s", 3),
        ("PAYSYNC_PENDING_WINDOW", "0", "pending_window_s", 0),
        ("PAYSYNC_JITTER", "0", "jitter", 0),
        ("PAYSYNC_JITTER", "25%", "jitter", 0.25),
        ("PAYSYNC_CLEANUP_AT", "off", "cleanup_at", None),
        ("PAYSYNC_CLEANUP_AT", "4:05", "cleanup_at", time(4, 5)),
        ("PAYSYNC_LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("PAYSYNC_TZ", "America/La_Paz", "tz", ZoneInfo("America/La_Paz")),
        ("PAYSYNC_LANG", "es_BO.UTF-8", "lang", "es"),
        ("PAYSYNC_ALERT_URLS", "https://a/b,slack://c d://e", "alert_urls", ("https://a/b", "slack://c", "d://e")),
        ("PAYSYNC_READ_ONLY", "Yes", "read_only", True),
        ("PAYSYNC_READ_ONLY", "0", "read_only", False),
        ("PAYSYNC_REDIS_SERVER", "/opt/valkey-server", "redis_server", Path("/opt/valkey-server")),
    ],
)
def test_values_are_read(places: Places, variable: str, value: str, field: str, expected: object) -> None:
    assert getattr(places.load({variable: value}), field) == expected


def test_all_faults_come_at_once(places: Places) -> None:
    places.write(OriginKind.PROJECT_FILE, "concurency = 5\nattempts = 'x'")
    places.write(OriginKind.USER_FILE, "= broken")
    messages = places.faults(
        {
            "REDIS_URL": "ftp://x",
            "DATABASE_URL": "mysql://x/y",
            "PAYSYNC_JITTER": "lots",
            "PAYSYNC_BANK_SIM_RATE": "fast",
        }
    )
    assert len(messages) == 8  # the bank has no base_url either
    whole = "\n".join(messages)
    for word in ("concurency", "attempts", "TOML", "REDIS_URL", "DATABASE_URL", "PAYSYNC_JITTER", "RATE", "base_url"):
        assert word in whole


def test_an_unknown_variable_is_a_warning_with_its_nearest_name(places: Places) -> None:
    environ = {"PAYSYNC_REDONLY": "1", "PAYMENT_SYNC_INTERVALL": "5", "PAYSYNC_BANK_X": "1", "OTHER": "1"}
    messages = [w.message for w in places.load(environ).warnings]
    assert messages == [
        "PAYMENT_SYNC_INTERVALL in the environment is unknown to paysync; did you mean PAYMENT_SYNC_INTERVAL?",
        "PAYSYNC_BANK_X in the environment is unknown to paysync.",
        "PAYSYNC_REDONLY in the environment is unknown to paysync; did you mean PAYSYNC_READ_ONLY?",
    ]


def test_faults_carry_the_warnings_too(places: Places) -> None:
    with pytest.raises(SettingsFaults) as caught:
        places.load({"PAYSYNC_ATTEMPTS": "x", "PAYSYNC_REDONLY": "1"})
    assert [w.code for w in caught.value.warnings] == ["unknown_setting"]


# -- secrets

CANARY = "canary-7f3a-19d0"


def _everywhere(places: Places) -> Settings:
    """The canary in every setting that may hold a secret."""
    file = places.root / "secret"
    file.write_text(CANARY)
    return places.load(
        BANK
        | {
            "REDIS_URL": f"redis://user:{CANARY}@host",
            "DATABASE_URL": f"postgresql://user:{CANARY}@host/db",
            "PAYSYNC_ALERT_URLS": f"slack://{CANARY}/{CANARY} https://user:{CANARY}@hook.example/{CANARY}",
            "PAYSYNC_SERVE_TOKEN": CANARY,
            "PAYSYNC_BANK_BANECO_PASSWORD": CANARY,
            "PAYSYNC_BANK_BANECO_AES_KEY_FILE": str(file),
            "PAYSYNC_BANK_BANECO_ANYTHING": CANARY,
        }
    )


def test_no_secret_in_any_repr(places: Places) -> None:
    settings = _everywhere(places)
    for text in (repr(settings), str(settings), repr(settings.banks), f"{settings.entries}", f"{settings.origins}"):
        assert CANARY not in text


def test_no_secret_in_what_is_shown(places: Places) -> None:
    settings = _everywhere(places)
    shown = {entry.key: entry.shown for entry in settings.entries}
    assert CANARY not in str(shown)
    assert shown["redis_url"] == "redis://user:***@host"
    assert shown["banks.baneco.password"] == "***"
    assert shown["alert_urls"] == "slack://*** https://***"


def test_every_secret_is_known_for_redaction(places: Places) -> None:
    settings = _everywhere(places)
    assert CANARY in settings.secret_texts
    assert f"slack://{CANARY}/{CANARY}" in settings.secret_texts
    encoded = places.load({"REDIS_URL": "redis://:p%40ss-w%23rd@host"})
    assert {"p%40ss-w%23rd", "p@ss-w#rd"} <= encoded.secret_texts


@pytest.mark.parametrize("url", ["postgresql://paysync@/books", "postgresql://paysync:paysync@h/books"])
def test_our_own_name_stays_in_messages(places: Places, url: str) -> None:
    """As a database role's name or password it is no secret worth tearing `paysync db upgrade` apart for."""
    settings = places.load({"DATABASE_URL": url, "REDIS_URL": "redis://:hunter22@host"})
    assert redact("Run: paysync db upgrade", settings.secret_texts) == "Run: paysync db upgrade"
    assert redact("hunter22", settings.secret_texts) == "***"
    assert redact(url, settings.secret_texts) == "postgresql://***@" + url.rpartition("@")[2]


@pytest.mark.parametrize(
    "environ",
    [
        {"REDIS_URL": f"redis://:{CANARY}@x@host"},
        {"REDIS_URL": f"redis://:a#{CANARY}@host"},
        {"REDIS_URL": f"redis://:a/{CANARY}@host"},
        {"REDIS_URL": f"redis://:a?{CANARY}@host"},
        {"REDIS_URL": f"redis://:{CANARY}"},
        {"REDIS_URL": f"{CANARY}"},
        {"REDIS_URL": f"user:{CANARY}@host"},
        {"REDIS_URL": f"redis://:{CANARY} @host"},
        {"REDIS_URL": f"redis://host?password={CANARY}&nonsense=1"},
        {"REDIS_URL": f"redis://host?{CANARY}"},
        {"DATABASE_URL": f"postgres://u:{CANARY}@h/d?schema=public"},
        {"DATABASE_URL": f"mysql://u:{CANARY}@h/d"},
        {"DATABASE_URL": f"host=h password={CANARY}"},
        {"DATABASE_URL": f"postgres://h/d?{CANARY}=1"},
        {"PAYSYNC_ALERT_URLS": f"{CANARY}"},
        {"PAYSYNC_BANK_B_BASE_URL": f"https://u:{CANARY}@h"},
        {"PAYSYNC_BANK_B_PASSWORD": CANARY},
    ],
)
def test_no_secret_in_any_fault(places: Places, environ: dict[str, str]) -> None:
    with pytest.raises(SettingsFaults) as caught:
        places.load(environ)
    for fault in caught.value.faults:
        assert CANARY not in f"{fault.message} {fault.hint}"
    assert CANARY not in str(caught.value)


def test_a_file_with_secrets_that_all_may_read_is_warned_of(places: Places) -> None:
    path = places.write(OriginKind.PROJECT_FILE, "[banks.b]\nbase_url = 'https://b'\npassword = 'x'")
    assert places.load().warnings == ()
    path.chmod(0o644)
    assert [w.code for w in places.load().warnings] == ["readable_secrets"]
    path.write_text("[banks.b]\nbase_url = 'https://b'\npassword_file = '/dev/null'\nusername = 'u'")
    assert "readable_secrets" not in str(places.faults())
