"""What systemd is told of a worker: sd_notify(3), without its C library.

READY=1 once it takes work, WATCHDOG=1 while its event loop turns, STOPPING=1 when it takes no more, STATUS= for
`systemctl status`. Where no service manager listens (no NOTIFY_SOCKET) nothing is said.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Protocol

SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
BEAT_EVERY_S = 5.0
MESSAGE_BYTES = 4096


class Working(Protocol):
    """What is told of."""

    ended: int

    @property
    def in_flight(self) -> int: ...

    async def begins_to_stop(self, within_s: float) -> bool:
        """Whether it takes nothing new any more; waits for that, but not longer."""
        ...


@dataclass(frozen=True)
class ServiceManager:
    """Whoever started this process and wants to hear of it. `watchdog_s`: it ends us after so long a silence."""

    address: str | None = None
    watchdog_s: float | None = None

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str]) -> ServiceManager:
        """Read from the environment, and taken out of it: a child that inherited it would speak in our name."""
        address, silence, pid = (environ.pop(name, "") for name in (SOCKET, WATCHDOG, WATCHDOG_PID))
        if not address.startswith(("/", "@")):
            return cls()
        ours = pid in ("", str(os.getpid()))
        watched = ours and silence.isascii() and silence.isdecimal() and int(silence) > 0
        return cls(address, int(silence) / 1_000_000 if watched else None)

    @property
    def beat_every_s(self) -> float:
        """Twice as often as it must be, as sd_watchdog_enabled(3) advises."""
        return BEAT_EVERY_S if self.watchdog_s is None else min(BEAT_EVERY_S, self.watchdog_s / 2)

    def tell(self, *words: str) -> bool:
        """Send the assignments as one message; whether it was taken. A deaf manager neither ends nor delays work."""
        if self.address is None:
            return False
        # The kernel's abstract names begin with a NUL, which an environment cannot hold.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)
                line.connect(address)
                line.send("\n".join(" ".join(word.split()) for word in words).encode()[:MESSAGE_BYTES])
        except OSError:
            return False
        return True

    async def tell_of(self, work: Working) -> None:
        """Tell of the work until cancelled, from the loop that does it: one that hangs is silent."""
        if self.address is None:
            return
        news = ["READY=1"]
        while True:
            news = [] if self.tell(*news, "WATCHDOG=1", _status(work)) else news
            if await work.begins_to_stop(self.beat_every_s):
                break
        news = ["STOPPING=1", "STATUS=Stopping: finishes what is in flight."]
        while True:  # inside the grace the loop must go on turning
            news = [] if self.tell(*news, "WATCHDOG=1") else news
            await asyncio.sleep(self.beat_every_s)


def _status(work: Working) -> str:
    return f"STATUS={work.in_flight} checks in flight, {work.ended} done."


NOBODY = ServiceManager()


class Listening:
    """The other end: a socket on which a process hears from its children, and knows which of them speaks (Linux)."""

    def __init__(self) -> None:
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._line.setblocking(False)
        self.address = f"@paysync-{os.getpid()}-{secrets.token_hex(8)}"
        self._line.bind("\0" + self.address[1:])

    def environment(self, watchdog_s: float | None) -> dict[str, str]:
        """The variables for a child."""
        watchdog = {} if watchdog_s is None else {WATCHDOG: str(round(watchdog_s * 1_000_000))}
        return {SOCKET: self.address, **watchdog}

    def heard(self) -> Iterator[tuple[int, list[str]]]:
        """The pid of each message that came meanwhile, as the kernel vouches for it, and its assignments."""
        space = socket.CMSG_SPACE(_CREDENTIALS.size)
        while True:
            try:
                message, ancillary, _flags, _sender = self._line.recvmsg(MESSAGE_BYTES, space)
            except BlockingIOError:
                return
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    pid, _uid, _gid = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])
                    yield pid, message.decode(errors="replace").splitlines()

    def close(self) -> None:
        self._line.close()


_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid
