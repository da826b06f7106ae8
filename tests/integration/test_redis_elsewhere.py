"""A Redis that is not ours: behind Sentinel and failing over, over TLS, with an ACL user, all dialled for real."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis

from paysync_cli.queue.embedded.binary import find_server
from paysync_cli.queue.link import Link
from tests.contract.test_bank_tls import Pair, make_pair
from tests.embedded import until
from tests.integration.test_acl_user import RULES
from tests.shop import shop

PASSWORD, OWN_PASSWORD = "p@ss/wörd", "sentinels-own"
ENCODED = "p%40ss%2Fw%C3%B6rd"


@contextmanager
def servers() -> Iterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="rs", dir="/tmp") as folder, ExitStack() as stack:
        yield Servers(Path(folder), stack)


class Servers:
    """Redis and Sentinel processes on loopback ports, gone at the end."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._binary = str(find_server(None).path)

    def start(self, port: int, *lines: str, sentinel: bool = False) -> subprocess.Popen[bytes]:
        home = self._folder / str(port)
        home.mkdir(exist_ok=True)
        conf = home / "server.conf"
        if not conf.exists():
            common = [f"port {port}", "bind 127.0.0.1", f"dir {home}", *([] if sentinel else ['save ""'])]
            conf.write_text("\n".join([*common, *lines]) + "\n")
        words = [self._binary, str(conf), *(["--sentinel"] if sentinel else [])]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self._stack.callback(_end, process)
        until(lambda: _listens(port))
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _n in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def role(port: int) -> str:
    """`master`, or how a replica's line to it stands: `connected` once it has everything."""
    with suppress(redis.RedisError), redis.Redis(port=port, password=PASSWORD) as client:
        said = client.execute_command("ROLE")
        return str((said[0] if said[0] == b"master" else said[3]).decode())
    return ""


def test_sentinel_names_another_server_while_work_goes_on() -> None:
    first, second, watcher = free_ports(3)
    secret = [f'requirepass "{PASSWORD}"', f'masterauth "{PASSWORD}"']
    watched = [
        f"sentinel monitor pay 127.0.0.1 {first} 1", f'sentinel auth-pass pay "{PASSWORD}"',
        "sentinel down-after-milliseconds pay 400", "sentinel failover-timeout pay 3000",
        f'requirepass "{OWN_PASSWORD}"',
    ]  # fmt: skip
    ids = [f"QR{n}" for n in range(60)]
    scenario = {
        "qr": [{"id": one, "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for one in ids],
        "fault": [{"kind": "slow", "on": "status", "delay_ms": 200}],
    }
    with servers() as some:
        leader = some.start(first, *secret)
        some.start(second, *secret, f"replicaof 127.0.0.1 {first}", "repl-diskless-sync-delay 0")
        until(lambda: role(second) == "connected")
        some.start(watcher, *watched, sentinel=True)
        with redis.Redis(port=watcher, password=OWN_PASSWORD) as sentinel:
            until(lambda: sentinel.sentinel_master("pay")["num-slaves"] == 1)
        url = f"redis+sentinel://:{ENCODED}@127.0.0.1:{watcher}/pay/2?sentinel_password={OWN_PASSWORD}"
        with shop(scenario, env={"REDIS_URL": url}) as town:
            worker = town.start("worker", "--concurrency", "4")
            town.register(*ids[:30])
            town.until(lambda: len(town.status_calls()) >= 8)
            _end(leader)
            town.until(lambda: role(second) == "master")
            town.until_final(ids[:30])
            some.start(first)  # comes back as the leader that it was, and nobody believes it
            town.register(*ids[30:])
            town.until_final(ids)
            assert town.books() == town.bank_says() == {"BOB": 60 * 1010}
            assert town.stop(worker) == 0
            assert OWN_PASSWORD not in "".join(log.read_text() for log in town.home.glob("worker-*.log"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Pair]:
    folder = tmp_path_factory.mktemp("redis-certs")
    made = make_pair(folder, "authority")
    return made, make_pair(folder, "redis", made)


class TlsDoor:
    """What stands before many a managed Redis: TLS outside, plain inside."""

    def __init__(self, port: int, pair: Pair) -> None:
        self._to = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.cert_file, pair.key_file)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.versions: list[str | None] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                plain, _address = self._listener.accept()
                threading.Thread(target=self._carry, args=(plain,), daemon=True).start()

    def _carry(self, plain: socket.socket) -> None:
        with suppress(OSError), self._context.wrap_socket(plain, server_side=True) as outer:
            self.versions.append(outer.version())
            with socket.create_connection(("127.0.0.1", self._to)) as inner:
                back = threading.Thread(target=_copy, args=(inner, outer), daemon=True)
                back.start()
                _copy(outer, inner)
                back.join()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def test_tls_and_an_acl_user(authority: tuple[Pair, Pair]) -> None:
    """As at a provider: certificates of an authority of its own, and a user that may do no more than it must."""
    (port,) = free_ports(1)
    rules = " ".join(rule.replace(">limited", f">{PASSWORD}") for rule in RULES if rule != "reset")
    with servers() as some:
        some.start(port, f'user limited "{rules}"'.replace('"', ""), f'requirepass "{PASSWORD}"')
        door = TlsDoor(port, authority[1])
        url = f"rediss://limited:{ENCODED}@127.0.0.1:{door.port}/0?ssl_ca_certs={authority[0].cert_file}"
        try:
            with shop({"qr": [{"id": "QR1", "amount": "10.10", "paid": "+0s"}]}, env={"REDIS_URL": url}) as town:
                town.register("QR1")
                worker = town.start("worker")
                town.until_final(["QR1"])
                data = town.json("stats")
                assert (len(data["workers"]), data["jobs"]["completed"]) == (1, 1)
                assert town.stop(worker) == 0
                assert set(door.versions) == {"TLSv1.3"}
                stranger = town.run("doctor", "--json", env={"REDIS_URL": url.partition("?")[0]})
                (found,) = [one for one in json.loads(stranger.out)["data"]["findings"] if one["area"] == "redis"]
                assert (stranger.status, found["level"]) == (6, "fault")
                assert "its certificate is not trusted" in found["text"]
                assert PASSWORD not in stranger.out
        finally:
            door.close()


def test_sentinels_and_their_server_speak_tls_when_the_address_says_so() -> None:
    """Only what is dialled: a Sentinel with TLS of its own is not built into the server that tests have."""
    url = "rediss+sentinel://u:p@h1:1/pay/3?ssl_ca_certs=/ca.pem&socket_timeout=2&sentinel_username=s"
    with Link(url, "there").client() as client:
        pool = client.connection_pool
        assert pool.connection_class is redis.sentinel.SentinelManagedSSLConnection
        wanted = {"username": "u", "password": "p", "db": 3, "ssl_ca_certs": "/ca.pem", "socket_timeout": 2.0}
        assert pool.connection_kwargs.items() >= wanted.items()
        (sentinel,) = pool.sentinel_manager.sentinels
        own = sentinel.connection_pool
        assert own.connection_class is redis.SSLConnection
        assert own.connection_kwargs["ssl_ca_certs"] == "/ca.pem"
        assert (own.connection_kwargs["username"], own.connection_kwargs["password"]) == ("s", None)
