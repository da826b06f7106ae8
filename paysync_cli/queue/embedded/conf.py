"""The server's configuration file. The password is in it and never on a command line."""

from __future__ import annotations

import os
import re
from pathlib import Path

from paysync_cli.queue.embedded.address import LOOPBACK, Address
from paysync_cli.queue.embedded.folder import Folder

_NEEDS_ESCAPE = re.compile(rb'[^\x20-\x7e]|["\\]')


def configuration(folder: Folder, address: Address, password: str) -> bytes:
    """The whole file."""
    if address.socket is None:
        listen = [b"bind " + LOOPBACK.encode(), b"port %d" % address.port]
    else:
        listen = [b"port 0", b"unixsocket " + quoted(address.socket), b"unixsocketperm 600"]
    lines = [
        b"# Written by paysync at each start.",
        *listen,
        b"requirepass " + quoted(password),
        b"dir " + quoted(folder.path),
        b"pidfile " + quoted(folder.pid),
        b"logfile " + quoted(folder.log),
        b"daemonize yes",
        b"databases 4",
        b"appendonly yes",
        b"appendfsync everysec",
        b"aof-use-rdb-preamble no",  # so that every Redis and Valkey from 7.0 on can read the files
        b'save ""',
        b"maxmemory-policy noeviction",
    ]
    return b"\n".join(lines) + b"\n"


def quoted(text: str | Path) -> bytes:
    """A quoted word of the file, with everything escaped that could end it or be read as something else."""
    return b'"' + _NEEDS_ESCAPE.sub(lambda found: b"\\x%02x" % found[0][0], os.fsencode(text)) + b'"'
