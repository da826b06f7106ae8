"""Real faults under the doctor's eyes: servers, files and lines that are as broken as in the field."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis as redis_py
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from paysync_cli.banks import inspection as line_inspection
from paysync_cli.banks.tls import Tls
from paysync_cli.queue.inspection import inspect
from paysync_cli.queue.link import Link
from paysync_cli.runtime.examination import examine
from paysync_cli.services.doctor import Finding, Level, bank, database, redis, settings
from paysync_cli.settings import inspection as settings_inspection
from paysync_cli.settings import load_settings
from paysync_cli.settings.sources import Folders
from paysync_cli.store import inspection as database_inspection
from tests.books import new_database
from tests.line import plain_server
from tests.postgres import private_postgres


def bad(findings: list[Finding]) -> dict[str, str]:
    wrong = [one for one in findings if one.level is not Level.OK]
    assert all(one.mend for one in wrong)
    return {one.code: one.level.value for one in wrong}


@pytest.fixture
def port() -> Iterator[int]:
    with plain_server() as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[redis_py.Redis]:
    with redis_py.Redis(port=port) as client:
        client.config_set("save", "3600 1")  # so that each test has its own fault alone
        yield client


def look(port: int, login: str = "", host: str = "127.0.0.1") -> list[Finding]:
    return redis.judge(inspect(Link(f"redis://{login}{host}:{port}/0", f"redis://{host}:{port}/0")))


# -- Redis


def test_a_sound_redis(port: int, client: redis_py.Redis) -> None:
    findings = look(port)
    assert bad(findings) == {}
    assert {one.code for one in findings} == {"reachable", "version", "memory", "persistence", "clock"}
    assert client.dbsize() == 0  # what was written to see whether it may be is gone


def test_redis_is_down() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert bad(look(free.getsockname()[1])) == {"unreachable": "fault"}


def test_what_answers_is_no_redis() -> None:
    def chat(line: socket.socket) -> None:
        line.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        line.recv(100)

    with listening(chat) as port:
        assert bad(look(port)) == {"not_redis": "fault"}


def test_wrong_password_and_none(port: int, client: redis_py.Redis) -> None:
    client.config_set("requirepass", "right-one")
    wrong, none = look(port, ":wrong-one@"), look(port)
    assert bad(wrong) == bad(none) == {"login_refused": "fault"}
    assert "wrong-one" not in wrong[0].text
    assert bad(look(port, ":right-one@")) == {}


def test_read_only_replica(port: int, client: redis_py.Redis) -> None:
    with plain_server() as primary:
        client.execute_command("REPLICAOF", "127.0.0.1", primary)
        assert bad(look(port)) == {"read_only_replica": "fault"}
        client.execute_command("CONFIG", "SET", "replica-read-only", "no")
        assert bad(look(port)) == {"read_only_replica": "fault"}  # it takes writes, and forgets them


def test_full(port: int, client: redis_py.Redis) -> None:
    client.set("big", b"x" * 2_000_000)
    client.config_set("maxmemory", "1mb")
    assert bad(look(port)) == {"full": "fault", "nearly_full": "warning"}


def test_evicting_policy_and_evicted_keys(port: int, client: redis_py.Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-random")
    assert bad(look(port)) == {"evicting_policy": "warning"}
    client.config_set("maxmemory", client.info()["used_memory"] + 2_000_000)
    for n in range(60):
        client.set(f"k{n}", b"x" * 100_000)
    assert bad(look(port))["evicted"] == "warning"


def test_no_persistence(port: int, client: redis_py.Redis) -> None:
    client.config_set("save", "")
    assert bad(look(port)) == {"no_persistence": "warning"}
    client.config_set("appendonly", "no")
    client.config_set("save", "60 1")
    assert bad(look(port)) == {}


def test_an_acl_user_without_the_dangerous_commands(port: int, client: redis_py.Redis) -> None:
    client.execute_command(
        "ACL", "SETUSER", "app", "on", ">pw", "~rq:*", "~paysync:*", "&*", "+@all", "-@dangerous", "-@admin", "-keys",
        "-flushall", "-flushdb", "-config",
    )  # fmt: skip
    findings = look(port, "app:pw@")
    assert bad(findings) == {}
    told = {one.code: one.text for one in findings}
    assert set(told) == {"reachable", "version", "clock", "not_seen"}  # version and role come from HELLO
    assert "INFO, CONFIG" in told["not_seen"]
    client.execute_command("ACL", "SETUSER", "app", "resetkeys", "~rq:*")
    assert bad(look(port, "app:pw@")) == {"denied": "fault"}


# -- whatever hangs


@contextlib.contextmanager
def listening(chat: object = None) -> Iterator[int]:
    """A TCP port: each connection is handed to `chat`, or kept without a word."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _address = listener.accept()
                    kept.append(line)
                    if callable(chat):
                        with contextlib.suppress(OSError):
                            chat(line)
                        line.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for line in kept:
                line.close()


def settings_of(home: Path, **env: str):
    """Settings from these variables alone."""
    folders = Folders(home, home / "config", None)
    return load_settings(environ={"PAYSYNC_HOME": str(home), **env}, cwd=home, folders=folders)


def bank_env(url: str) -> dict[str, str]:
    keys = {"adapter": "baneco", "base_url": url, "environment": "certification", "account": "shop", "username": "u",
            "password": "p", "aes_key": "40A318B299F245C2B697176723088629"}  # fmt: skip
    return {f"PAYSYNC_BANK_SIM_{key.upper()}": value for key, value in keys.items()}


def test_redis_database_and_bank_hang_together_and_the_doctor_still_ends(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with listening() as silent:
        env = {"REDIS_URL": f"redis://127.0.0.1:{silent}/0", "DATABASE_URL": f"postgresql://u:p@127.0.0.1:{silent}/d",
               **bank_env(f"https://127.0.0.1:{silent}")}  # fmt: skip
        started = time.monotonic()
        findings = examine(settings_of(tmp_path, **env))
        took_s = time.monotonic() - started
    wrong = {one.area for one in findings if one.level is Level.FAULT}
    assert wrong >= {"redis", "database", "work", "bank sim"}
    assert took_s < 20  # the waits of one after the other would be longer


# -- the database


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere: then be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def look_at_database(url: str) -> dict[str, str]:
    return bad(database.judge(database_inspection.inspect(url)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)  # so that nobody may enter
    new_database(tmp_path).close()
    return tmp_path / "paysync.db"


def test_a_sound_database_keeps_no_trace_of_the_write_test(file: Path) -> None:
    assert look_at_database(f"sqlite:///{file}") == {}
    store = new_database(file.parent)
    with store.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM paysync_meta WHERE key LIKE 'doctor%'")).scalar() == 0
    store.close()


def test_no_database(tmp_path: Path) -> None:
    assert look_at_database(f"sqlite:///{tmp_path / 'none.db'}") == {"missing": "fault"}
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "paysync.db").write_text("my dear diary " * 200)
    assert look_at_database(f"sqlite:///{tmp_path / 'paysync.db'}") == {"unreachable": "fault"}


def test_read_only_sqlite(file: Path) -> None:
    file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        with as_nobody():
            found = look_at_database(f"sqlite:///{file}")
    finally:
        file.parent.chmod(0o755)
    assert found == {"read_only": "fault"}


@pytest.mark.parametrize(("version", "code"), [("9999", "schema_unknown"), (None, "schema_old")])
def test_a_schema_that_does_not_fit(file: Path, version: str | None, code: str) -> None:
    store = new_database(file.parent)
    with store.write() as tx:
        if version is None:
            tx.execute(text("DROP TABLE paysync_alembic"))
        else:
            tx.execute(text("UPDATE paysync_alembic SET version_num = :v"), {"v": version})
    store.close()
    assert look_at_database(f"sqlite:///{file}") == {code: "fault"}


def test_somebody_keeps_the_database_locked(file: Path) -> None:
    store = new_database(file.parent)
    try:
        with store.write():
            assert look_at_database(f"sqlite:///{file}") == {"busy": "warning"}
    finally:
        store.close()


def test_postgresql_that_only_reads_and_one_that_is_away() -> None:
    from paysync_cli.store.database import Database

    with private_postgres() as url:
        ours = url.replace("postgresql://", "postgresql+psycopg://")
        store = Database(ours)
        assert look_at_database(ours) == {"schema_old": "fault"}
        store.upgrade()
        assert look_at_database(ours) == {}
        with store.write() as tx:
            tx.execute(text("ALTER DATABASE postgres SET default_transaction_read_only = on"))
        store.close()
        assert look_at_database(ours) == {"read_only": "fault"}
    assert look_at_database(ours) == {"unreachable": "fault"}


# -- the bank's line


def certificate(folder: Path, *, days: float) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    private.chmod(0o600)
    return cert, private


def look_at_line(folder: Path, *, days: float, trusted: bool = True, ours: bool = False) -> dict[str, str]:
    cert, key = certificate(folder, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def shake(line: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(line, server_side=True) as secured:
            secured.recv(1)

    tls = Tls(cert if ours else None, key if ours else None, cert if trusted else None)
    with listening(shake) as port:
        facts = line_inspection.inspect(f"https://127.0.0.1:{port}/api", tls)
    return bad(bank.judge_line("sim", facts, datetime.now(UTC)))


@pytest.mark.parametrize(
    ("days", "options", "expected"),
    [
        (90, {}, {}),
        (5, {}, {"certificate_expiring": "warning"}),
        (5, {"ours": True}, {"certificate_expiring": "warning", "client_certificate_expiring": "warning"}),
        (-1, {}, {"certificate_refused": "fault"}),
        (90, {"trusted": False}, {"certificate_refused": "fault"}),
    ],
)
def test_a_certificate(tmp_path: Path, days: float, options: Mapping[str, bool], expected: dict[str, str]) -> None:
    assert look_at_line(tmp_path, days=days, **options) == expected


def test_a_bank_that_is_away() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        facts = line_inspection.inspect(f"http://127.0.0.1:{free.getsockname()[1]}", Tls())
    assert bad(bank.judge_line("sim", facts, datetime.now(UTC))) == {"unreachable": "fault"}


# -- settings


def look_at_settings(folder: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    environ = {"PAYSYNC_HOME": "/srv/paysync", **(environ or {})}
    found = load_settings(environ=environ, cwd=folder, folders=Folders(folder / "d", folder / "c", None))
    return bad(settings.judge(settings_inspection.inspect(found, environ, folder)))


def test_dotenv_is_shadowed_or_decides_or_lies_open(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("REDIS_URL=redis://:secret@r/0\n")
    dotenv.chmod(0o600)
    assert look_at_settings(tmp_path) == {"local_url": "warning"}
    assert look_at_settings(tmp_path, {"REDIS_URL": "redis://:secret@r/0"}) == {}
    assert look_at_settings(tmp_path, {"REDIS_URL": "redis://other/0"}) == {"dotenv_shadowed": "warning"}
    dotenv.chmod(0o644)
    assert look_at_settings(tmp_path, {"REDIS_URL": "redis://:secret@r/0"}) == {"readable_secrets": "warning"}


def test_the_working_folders_file_decides(tmp_path: Path) -> None:
    (tmp_path / "paysync.toml").write_text('database_url = "postgresql://h/d"\n')
    (tmp_path / "paysync.toml").chmod(0o600)
    assert look_at_settings(tmp_path) == {"local_url": "warning"}
    block = '[banks.one]\nbase_url = "https://b"\n[banks.two]\nadapter = "baneco"\nbase_url = "https://b"\n'
    (tmp_path / "paysync.toml").write_text(block)
    assert look_at_settings(tmp_path, {"PAYSYNC_BANK_ONE_ADAPTER": "baneco"}) == {"local_bank": "warning"}
    assert look_at_settings(tmp_path / "..", {}) == {}, "who stands elsewhere does not have these banks at all"
    (tmp_path / "paysync.toml").write_text('database_url = "postgresql://h/d"\n')
    elsewhere = tmp_path / "cwd"
    elsewhere.mkdir()
    found = load_settings(environ={}, cwd=elsewhere, folders=Folders(tmp_path / "d", tmp_path / "c", None),
                          config_file=tmp_path / "paysync.toml")  # fmt: skip
    assert settings_inspection.inspect(found, {}, elsewhere).local == ()
