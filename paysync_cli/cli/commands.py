"""Which commands there are, in the order of the help. A new command is one word here and one file beside this one.

The file is named like the command (`worker-stop` -> `worker_stop.py`); a group (`bank list`, `bank show`) is one file.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from paysync_cli.language import mark

# Command names are public and only grow. Sections are for the reader of `paysync --help`.
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (mark("Start here"), ("demo", "config", "doctor")),
    (mark("Follow QRs"), ("enqueue", "import", "list", "find", "show", "explain", "check", "wait", "hold", "release")),
    (mark("Run"), ("worker", "dispatch", "workers", "worker-stop", "serve", "pause", "resume", "bank", "redis")),
    (mark("Watch"), ("stats", "top", "health", "audit", "alert")),
    (mark("Money"), ("movements", "accounts", "sweep", "reconcile", "review")),
    (mark("Mend and tidy"), ("failed", "retry", "purge", "cleanup", "db")),
    (mark("Shell"), ("completion",)),
)

# Where the file's name cannot be the command's.
MODULES = {"import": "paysync_cli.cli.import_qrs", "list": "paysync_cli.cli.list_qrs"}


def module_of(name: str) -> str:
    """The dotted name of the file that holds the command or group."""
    return MODULES.get(name, f"paysync_cli.cli.{name.replace('-', '_')}")


def names() -> Iterator[str]:
    """Every command that has its file, in the help's order."""
    for _title, commands in SECTIONS:
        yield from (name for name in commands if find_spec(module_of(name)) is not None)
