"""Sending notes to one address, in a process of its own with an end of its own.

Whatever an address does (no answer, an answer that drips in byte by byte), the process is gone when its time is up,
and a worker neither waits for it nor loads Apprise.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PATIENCE_S = 30.0  # for all notes of one call
PACKAGE = "paysync-cli[alerts]"

_CHILD = Path(__file__).with_name("child.py")
_OURS = ("PAYSYNC_", "REDIS_URL", "DATABASE_URL", "PYTHONWARNINGS")  # the child needs none of our settings


@dataclass(frozen=True, slots=True)
class Address:
    """Where alerts go: an Apprise URL, which is a secret. `shown` is what people may see; `key` names it in SQL."""

    number: int
    shown: str
    key: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """One message as it is sent, plain text. `level` is Apprise's word: failure, warning, success or info."""

    title: str
    text: str
    level: str


@dataclass(frozen=True, slots=True)
class Sent:
    """How it went with one note: `cause` says why it did not; `tried` is False when it surely never left."""

    ok: bool
    cause: str | None = None
    tried: bool = True


Post = Callable[[Address, Sequence[Note]], Sequence[Sent]]


def key_of(url: str, salt: str) -> str:
    """A name for the URL that does not give it away: slow to compute, so that a password in it is not guessed."""
    return hashlib.scrypt(url.encode(), salt=salt.encode(), n=2**13, r=8, p=1, dklen=12).hex()


def installed() -> bool:
    """Whether Apprise can be loaded; does not load it."""
    return find_spec("apprise") is not None


def send(address: Address, notes: Sequence[Note], patience_s: float = PATIENCE_S) -> list[Sent]:
    """Send the notes one after the other; how it went with each. Never raises, never takes much longer than told.

    A note whose turn does not come in time is not sent later by a process that was asleep.
    """
    told, status = _ask_child(
        {
            "url": address.url,
            "notes": [{"title": note.title, "text": note.text, "level": note.level} for note in notes],
        },
        patience_s,
    )
    done = [Sent(one["ok"], one["cause"], one["tried"]) for one in told][: len(notes)]
    if len(done) < len(notes):
        done.append(_unfinished(status, patience_s))
    return done + [Sent(False, done[-1].cause, tried=False)] * (len(notes) - len(done))


def understood(urls: Sequence[str], patience_s: float = PATIENCE_S) -> list[bool]:
    """Whether Apprise understands each URL; sends nothing. What was not told in time passes for understood."""
    told, _status = _ask_child({"urls": list(urls)}, patience_s)
    good = [bool(one["ok"]) for one in told][: len(urls)]
    return good + [True] * (len(urls) - len(good))


def _ask_child(order: dict[str, Any], patience_s: float) -> tuple[list[dict[str, Any]], int]:
    """What the child told, line by line, and how it ended."""
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
            start_new_session=True,  # Ctrl-C at the terminal is the worker's business
        )
    except OSError as error:
        return [], error.errno or 1
    order = {"deadline": time.time() + patience_s} | order
    hung = False
    try:
        out, _err = child.communicate(json.dumps(order).encode(), timeout=patience_s + 1)
    except subprocess.TimeoutExpired:
        child.kill()
        hung = True
        out, _err = child.communicate()
    told = [json.loads(line) for line in out.decode("utf-8", "replace").splitlines() if line.endswith("}")]
    return told, -signal.SIGALRM if hung else child.returncode


def _unfinished(status: int, patience_s: float) -> Sent:
    """Of the note at which the process ended."""
    if status == -signal.SIGALRM:
        return Sent(False, f"no answer within {patience_s:g} s")
    if status == 0:
        return Sent(False, "too late to be sent", tried=False)
    return Sent(False, f"the process that sends it ended with status {status}")
