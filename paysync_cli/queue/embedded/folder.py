"""The private folder of the embedded Redis and the names in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from paysync_cli.errors import RefusedError, SettingsError
from paysync_cli.language import _

_LOG_LIMIT_BYTES = 1_000_000


class Folder:
    """Names live on disk: lock files are never deleted, endpoint.json tells which server wrote the data last."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.users_lock = self.path / "users.lock"
        self.start_lock = self.path / "start.lock"
        self.server_lock = self.path / "server.lock"
        self.endpoint = self.path / "endpoint.json"
        self.conf = self.path / "server.conf"
        self.socket = self.path / "redis.sock"
        self.pid = self.path / "server.pid"
        self.log = self.path / "server.log"
        self.keep = self.path / "keep"
        self.aof = self.path / "appendonlydir"
        self.backups = self.path / "backups"

    def exists(self) -> bool:
        """False when there is no folder yet. RefusedError when it is not a folder of this user."""
        return private_owner(self.path)

    def prepare(self) -> None:
        """Create the folder when missing and close it to everybody else."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError:
            pass  # something else lies there: exists() says what
        except OSError as error:
            raise SettingsError(
                _("cannot create the folder {folder} for the embedded Redis: {reason}").format(
                    folder=self.path, reason=error.strerror
                ),
                hint=_("set PAYSYNC_HOME to a folder that you may write, or REDIS_URL to a Redis server"),
            ) from error
        if self.exists() and stat.S_IMODE(self.path.lstat().st_mode) != 0o700:
            self.path.chmod(0o700)

    def running_pid(self) -> int | None:
        """The pid that the server wrote; it says nothing about whether it still lives."""
        try:
            return int(self.pid.read_text("ascii"))
        except (OSError, ValueError):
            return None

    def rotate_log(self) -> None:
        """Keep one old log once the log is large."""
        try:
            if self.log.stat().st_size > _LOG_LIMIT_BYTES:
                self.log.replace(self.log.with_name("server.log.1"))
        except FileNotFoundError:
            pass


def private_owner(path: Path) -> bool:
    """False when nothing is there. RefusedError unless it is a real folder that belongs to this user."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise RefusedError(
            _("the folder {folder} of the embedded Redis cannot be entered: {reason}").format(
                folder=path, reason=error.strerror
            ),
            hint=_("set PAYSYNC_HOME to a folder of your own, or REDIS_URL to a Redis server"),
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise RefusedError(
            _("{folder} must be a real folder to hold the embedded Redis, and it is a link or a file").format(
                folder=path
            ),
            hint=_("move it away, or set PAYSYNC_HOME to another folder"),
        )
    if found.st_uid != os.geteuid():
        raise RefusedError(
            _("the embedded Redis in {folder} belongs to user id {owner}, and you are user id {me}").format(
                folder=path, owner=found.st_uid, me=os.geteuid()
            ),
            hint=_("run paysync as that user (not through sudo), or set PAYSYNC_HOME to a folder of your own"),
        )
    return True


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whatever the umask and whatever lay there."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:  # noqa: PTH123
        os.fchmod(fd, 0o600)
        file.write(content)
