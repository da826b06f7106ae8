"""One start of the server binary: everything prepared before it, and the words for what went wrong after it."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from paysync_cli.errors import RedisUnavailable
from paysync_cli.language import _
from paysync_cli.queue.embedded.address import LOOPBACK, choose_address
from paysync_cli.queue.embedded.backups import back_up_if_changed
from paysync_cli.queue.embedded.binary import ServerBinary, find_server
from paysync_cli.queue.embedded.conf import configuration
from paysync_cli.queue.embedded.endpoint import Endpoint, read_endpoint, write_endpoint
from paysync_cli.queue.embedded.folder import Folder, write_private
from paysync_cli.queue.embedded.locks import Lock, is_locked
from paysync_cli.queue.embedded.wire import Pulse, ask_to_stop, pulse

_PASSWORD_BYTES = 32
_LOG_PREFIX = re.compile(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ [*#.-] ")
_LOG_LINES = 4
_LOG_WIDTH = 200
_DAMAGED_AOF = "-check-aof"  # the server's own advice, in every version since 7.0


@dataclass(frozen=True)
class Launch:
    """A start that was made: whether it led to anything is seen by looking at the lock and asking the server."""

    folder: Folder
    binary: ServerBinary
    endpoint: Endpoint
    log_offset: int
    exit_status: int  # of the process that puts the server into the background

    def failure(self) -> RedisUnavailable:
        """The sentence for a server that died while starting."""
        log = self._log()
        return RedisUnavailable(
            _("the embedded Redis in {folder} stopped while starting; the end of its log: {log}").format(
                folder=self.folder.path, log=" / ".join(log) or _("empty")
            ),
            hint=self._way_out(damaged=any(_DAMAGED_AOF in line for line in log)),
        )

    def _way_out(self, *, damaged: bool) -> str:
        if not damaged:
            return _("mend what the log names ({log}), then run the command again; no data was touched").format(
                log=self.folder.log
            )
        return _(
            "its data file is damaged and nothing was deleted; this keeps a copy, then repairs it (answer y): {command}"
        ).format(command=self.repair_command())

    def repair_command(self) -> str:
        """One line for a shell: a copy first, then the server's own checker."""
        aof = self.folder.aof
        words = (
            ["cp", "-pR", str(aof), str(_free_path(self.folder.path / "before-repair"))],
            [str(self._checker()), "--fix", str(aof / "appendonly.aof.manifest")],
        )
        return " && ".join(shlex.join(command) for command in words)

    def _checker(self) -> Path:
        """Beside the server, where packages put it; else the server itself, which checks when called by that name."""
        name = f"{self.binary.flavour}-check-aof"
        installed = self.binary.path.with_name(name)
        if installed.exists():
            return installed
        link = self.folder.path / name
        link.unlink(missing_ok=True)
        link.symlink_to(self.binary.path)
        return link

    def _log(self) -> list[str]:
        """The last lines that this start wrote, without times and without the server's advice on the machine."""
        try:
            with self.folder.log.open("rb") as file:
                file.seek(self.log_offset)
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        lines = [_LOG_PREFIX.sub("", line).strip() for line in text.splitlines()]
        return [line[:_LOG_WIDTH] for line in lines if line and not line.startswith("WARNING")][-_LOG_LINES:]


def _free_path(path: Path) -> Path:
    taken = itertools.takewhile(Path.exists, (path.with_name(f"{path.name}-{n}") for n in itertools.count(1)))
    return path.with_name(f"{path.name}-{len(list(taken)) + 1}")


def launch(folder: Folder, lock: Lock, chosen: str | None, timeout_s: float) -> Launch:
    """Start a server that inherits `lock`. Called with server.lock held: no server lives.

    Whatever happens, our copy of the lock is closed afterwards: the server holds it, or nobody.
    """
    try:
        _refuse_locks_that_do_not_lock(folder)
        last = read_endpoint(folder.endpoint)
        binary = find_server(chosen)
        _end_server_without_lock(folder, last, timeout_s)
        _remove_leftovers(folder, last)
        back_up_if_changed(folder, last, binary)
        folder.rotate_log()
        endpoint = _written_settings(folder, binary)
        log_offset = folder.log.stat().st_size if folder.log.exists() else 0
        exit_status = _run(folder, binary, lock, timeout_s)
    finally:
        lock.hand_over()
    return Launch(folder, binary, endpoint, log_offset, exit_status)


def _refuse_locks_that_do_not_lock(folder: Folder) -> None:
    """On some network file systems a flock excludes nobody in the same process and does not pass to a child."""
    if not is_locked(folder.server_lock):
        raise RedisUnavailable(
            _("the file system of {folder} keeps no locks, so two servers could write the same data").format(
                folder=folder.path
            ),
            hint=_("set PAYSYNC_HOME to a folder on a local disk, or REDIS_URL to a Redis server"),
        )


def _end_server_without_lock(folder: Folder, last: Endpoint | None, timeout_s: float) -> None:
    """The lock is free, yet a server may live: the lock file was deleted, or somebody started it by hand."""
    if last is None or pulse(last) in (Pulse.SILENT, Pulse.STRANGER):
        return
    if not ask_to_stop(last, timeout_s):
        raise RedisUnavailable(
            _("a Redis server without its lock file works in {folder} and does not stop").format(folder=folder.path),
            hint=_("stop it by hand (its pid is in {pid}), then run the command again").format(pid=folder.pid),
        )


def _remove_leftovers(folder: Folder, last: Endpoint | None) -> None:
    """What a killed server left: the socket file always, the pid file too. From here on a pid file is news."""
    folder.pid.unlink(missing_ok=True)
    if last is not None and last.socket is not None and Path(last.socket).is_socket():
        Path(last.socket).unlink(missing_ok=True)


def _written_settings(folder: Folder, binary: ServerBinary) -> Endpoint:
    address = choose_address(folder)
    endpoint = Endpoint(
        socket=str(address.socket) if address.socket else None,
        host=LOOPBACK,
        port=address.port,
        password=os.urandom(_PASSWORD_BYTES).hex(),
        flavour=binary.flavour,
        version=binary.version,
        binary=str(binary.path),
    )
    write_private(folder.conf, configuration(folder, address, endpoint.password))
    write_endpoint(folder.endpoint, endpoint)
    return endpoint


def _run(folder: Folder, binary: ServerBinary, lock: Lock, timeout_s: float) -> int:
    """Run the binary until it has put itself into the background, or died of what it found before that."""
    import subprocess

    with folder.conf.open("rb") as conf, _appended(folder.log) as log:
        process = subprocess.Popen(
            [binary.path, "-"],
            stdin=conf,  # not by its path: the server takes [, * and ? in a path for a pattern
            stdout=log,  # a fault in the configuration is said here, before the server opens its log
            stderr=log,
            cwd=folder.path,
            env=_environment(),
            start_new_session=True,  # a Ctrl-C in the starter's terminal is not for the server
            umask=0o077,
            pass_fds=(lock.fileno(),),
        )
    lock.hand_over()
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise RedisUnavailable(
            _("{path} did not go into the background within {seconds:g} s").format(path=binary.path, seconds=timeout_s),
            hint=_("the log is {log}").format(log=folder.log),
        ) from None


def _appended(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "ab")


def _environment() -> dict[str, str]:
    """Nothing of the caller's environment, which may hold secrets; the zone keeps the log's times readable."""
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    if zone := os.environ.get("TZ"):
        environment["TZ"] = zone
    return environment
