"""Run as a program, never imported: sends notes by Apprise, or looks whether it understands URLs; one JSON line about
each to standard output.

It stands alone (standard library and Apprise), reads its order from standard input so that no secret is in the
process list, and ends by itself when its time is up, whatever becomes of who started it.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from typing import Any

MISSING = "Apprise is not installed"
UNKNOWN = "Apprise does not know this kind of URL, or something is missing in it"


class Causes(logging.Handler):
    """Keeps what Apprise says went wrong."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def main() -> None:
    order: dict[str, Any] = json.load(sys.stdin)
    left_s = order["deadline"] - time.time()
    if left_s <= 0:
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, left_s)
    for url in order.get("urls", ()):
        tell(look(url))
    for note in order.get("notes", ()):
        tell(send(order["url"], note))


def tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def look(url: str) -> dict[str, Any]:
    import apprise

    logging.getLogger("apprise").addHandler(logging.NullHandler())
    return {"ok": bool(apprise.Apprise().add(url))}


def send(url: str, note: dict[str, str]) -> dict[str, Any]:
    try:
        import apprise
    except ImportError:
        return {"ok": False, "cause": MISSING, "tried": False}
    causes = Causes()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [causes], False
    try:
        post = apprise.Apprise()
        if not post.add(url):
            return {"ok": False, "cause": UNKNOWN, "tried": False}
        ok = post.notify(
            body=note["text"],
            title=note["title"],
            notify_type=apprise.NotifyType(note["level"]),
            body_format=apprise.NotifyFormat.TEXT,
        )
    except Exception as error:  # a plugin of Apprise's; the message might hold the URL, the type does not
        return {"ok": False, "cause": type(error).__name__, "tried": True}
    return {"ok": bool(ok), "cause": None if ok else " ".join(causes.said)[:300] or "not accepted", "tried": True}


if __name__ == "__main__":
    main()
