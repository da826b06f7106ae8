"""The TLS side of a bank's line, over real TLS: certificates verified, our own shown, keys kept to ourselves."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from paysync_cli.banks.base import Unavailable
from paysync_cli.banks.http import Reply, exchange, make_client
from paysync_cli.banks.tls import Tls, file_problems
from paysync_cli.errors import SettingsError
from tests.process import run_paysync
from tests.simulated import Clock


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as objects and as files."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    cert_file: Path
    key_file: Path


def make_pair(folder: Path, name: str, issuer: Pair | None = None, password: bytes | None = None) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.cert.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    else:
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    cert = builder.sign((issuer or Pair(None, key, folder, folder)).key, hashes.SHA256())  # type: ignore[arg-type]
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pair = Pair(cert, key, folder / f"{name}.crt", folder / f"{name}.key")
    pair.cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    pair.key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    pair.key_file.chmod(0o600)
    return pair


@dataclass(frozen=True)
class Town:
    """An authority, the bank's pair and ours."""

    authority: Pair
    bank: Pair
    ours: Pair


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("certs")
    authority = make_pair(folder, "authority")
    return Town(authority, make_pair(folder, "bank", authority), make_pair(folder, "ours", authority))


@contextmanager
def tls_bank(town: Town, *, mutual: bool = False) -> Iterator[str]:
    """A bank over TLS that says whose certificate it was shown."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """As SIP: a token, and an error about a QR that nobody knows, which is an answer all the same."""
            self.rfile.read(int(self.headers["content-length"]))
            login = self.path.endswith("generarToken")
            self._say(b'{"codigo": "OK", "objeto": {"token": "t"}}' if login else b'{"codigo": "9999"}')

        def do_GET(self) -> None:
            shown = self.connection.getpeercert() or {}  # type: ignore[attr-defined]
            who = "".join(value for (((_kind, value),),) in [shown["subject"]]) if shown else ""
            self._say(f'{{"who": "{who}"}}'.encode())

        def _say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_args: object) -> None:
            """A handshake that fails is what some of these tests are about."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(town.bank.cert_file, town.bank.key_file)
    if mutual:
        context.load_verify_locations(town.authority.cert_file)
        context.verify_mode = ssl.CERT_REQUIRED
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


both_clients = pytest.mark.parametrize("pooled", [False, True], ids=["httpx", "pooled"])


def asked(url: str, tls: Tls, pooled: bool) -> Reply:
    async def run() -> Reply:
        async with make_client(pooled=pooled, tls=tls) as client:
            return await exchange(client, "GET", url, now=Clock())

    return asyncio.run(run())


@both_clients
def test_a_certificate_of_nobody_we_know_is_refused(town: Town, pooled: bool) -> None:
    with tls_bank(town) as url, pytest.raises(Unavailable, match="certificate not accepted"):
        asked(url, Tls(), pooled)


@both_clients
def test_the_banks_own_authority_can_be_named(town: Town, pooled: bool) -> None:
    with tls_bank(town) as url:
        assert asked(url, Tls(ca_bundle=town.authority.cert_file), pooled).status == 200


@both_clients
def test_a_certificate_for_another_name_is_refused(town: Town, pooled: bool) -> None:
    with tls_bank(town) as url, pytest.raises(Unavailable, match="certificate not accepted"):
        asked(url.replace("127.0.0.1", "localhost"), Tls(ca_bundle=town.authority.cert_file), pooled)


@both_clients
def test_unverified_only_when_said_so(town: Town, pooled: bool) -> None:
    with tls_bank(town) as url:
        assert asked(url, Tls(verify=False), pooled).status == 200


@both_clients
def test_mutual_tls_shows_our_certificate(town: Town, pooled: bool) -> None:
    trusted = town.authority.cert_file
    with tls_bank(town, mutual=True) as url:
        ours = Tls(town.ours.cert_file, town.ours.key_file, trusted)
        assert asked(url, ours, pooled).json() == {"who": "ours"}
        with pytest.raises(Unavailable):
            asked(url, Tls(ca_bundle=trusted), pooled)


def test_one_file_may_hold_both(town: Town, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(town.ours.cert_file.read_bytes() + town.ours.key_file.read_bytes())
    both.chmod(0o600)
    with tls_bank(town, mutual=True) as url:
        assert asked(url, Tls(both, None, town.authority.cert_file), False).json() == {"who": "ours"}
    both.chmod(0o644)
    assert "chmod 600" in " ".join(file_problems(Tls(both)))


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o620, 0o660])
def test_a_key_that_others_may_read_or_change_is_refused(town: Town, tmp_path: Path, mode: int) -> None:
    key = tmp_path / "our.key"
    key.write_bytes(town.ours.key_file.read_bytes())
    key.chmod(mode)
    with pytest.raises(SettingsError, match=f"{key} holds a private key and is open to other users: chmod 600 {key}"):
        make_client(tls=Tls(town.ours.cert_file, key))
    key.chmod(0o400)
    assert list(file_problems(Tls(town.ours.cert_file, key))) == []


def test_files_that_cannot_be_used(town: Town, tmp_path: Path) -> None:
    ours, bank, missing = town.ours, town.bank, tmp_path / "none.pem"
    locked = make_pair(tmp_path, "locked", town.authority, password=b"secret")
    cases = {
        Tls(client_key=ours.key_file): ["client_key is there, client_cert is missing"],
        Tls(missing, ours.key_file): [f"client_cert: {missing} cannot be read"],
        Tls(ours.cert_file, missing): [f"client_key: {missing} cannot be read"],
        Tls(ca_bundle=missing): [f"ca_bundle: {missing} cannot be read"],
        Tls(ca_bundle=ours.key_file): [f"ca_bundle: {ours.key_file} holds no certificate in PEM"],
    }
    for tls, problems in cases.items():
        assert list(file_problems(tls)) == problems
    for tls in (Tls(ours.cert_file, bank.key_file), Tls(locked.cert_file, locked.key_file)):
        (problem,) = file_problems(tls)
        assert "do not make a pair that can be used" in problem


CERTIFICATION = """
[banks.sip]
base_url = "https://127.0.0.1:1"
environment = "{environment}"
username = "shop"
password = "canary-password"
api_key = "k1"
service_key = "k2"
{more}
"""


def checked(folder: Path, more: str, environment: str = "certification") -> tuple[int, str]:
    text = CERTIFICATION.format(environment=environment, more=more)
    (folder / "paysync.toml").write_text(text, encoding="utf-8")
    ended = run_paysync("config", "check", cwd=folder)
    return ended.status, ended.out + ended.err


def test_unverified_is_for_certification_and_loud(tmp_path: Path) -> None:
    status, told = checked(tmp_path, "verify_tls = false")
    assert status == 0
    assert "WITHOUT verifying its certificate" in told
    status, told = checked(tmp_path, "verify_tls = false", "production")
    assert status == 2
    assert "verify_tls = false is for certification, and this is production" in told


def test_config_check_names_what_is_wrong_with_a_key(town: Town, tmp_path: Path) -> None:
    key = tmp_path / "our.key"
    key.write_bytes(town.ours.key_file.read_bytes())
    key.chmod(0o644)
    keys = f'client_cert = "{town.ours.cert_file}"\nclient_key = "our.key"'
    status, told = checked(tmp_path, keys)
    assert status == 2
    assert f"banks.sip: {key} holds a private key and is open to other users" in told.replace("\n", " ")
    key.chmod(0o600)
    assert checked(tmp_path, keys)[0] == 0


def test_the_settings_reach_the_line(town: Town, tmp_path: Path) -> None:
    """`bank test` over mutual TLS: only with our certificate, and only with the authority that we trust."""

    def tested(url: str, *more: str) -> tuple[int, str]:
        text = CERTIFICATION.format(environment="production", more="\n".join(more))
        (tmp_path / "paysync.toml").write_text(text.replace("https://127.0.0.1:1", url.rstrip("/")), encoding="utf-8")
        ended = run_paysync("bank", "test", "sip", cwd=tmp_path, env=home)
        return ended.status, ended.out + ended.err

    home = {"PAYSYNC_HOME": str(tmp_path / "home")}
    trust = f'ca_bundle = "{town.authority.cert_file}"'
    ours = f'client_cert = "{town.ours.cert_file}"', f'client_key = "{town.ours.key_file}"'
    checked(tmp_path, "")
    assert run_paysync("db", "upgrade", "--yes", cwd=tmp_path, env=home).status == 0
    with tls_bank(town, mutual=True) as url:
        status, told = tested(url, *ours)
        assert (status, "certificate not accepted" in told) == (69, True), told
        assert tested(url, trust, *ours)[0] == 0


def test_a_worker_says_loudly_that_it_does_not_verify(tmp_path: Path) -> None:
    checked(tmp_path, "verify_tls = false")
    ended = run_paysync("bank", "test", "sip", cwd=tmp_path, env={"PAYSYNC_HOME": str(tmp_path / "home")})
    assert ended.status != 0
    assert "WITHOUT verifying its certificate" in ended.err
