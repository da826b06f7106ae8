"""A paysync process for the tests of the embedded Redis: does what it is told, line by line."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from paysync_cli.errors import PaysyncError
from paysync_cli.queue.embedded import EmbeddedRedis, Endpoint
from tests.embedded import Plain, until


def main(folder: Path, server: str | None) -> None:
    redis = EmbeddedRedis(folder, server=server)
    say("ready")
    for line in sys.stdin:
        try:
            obey(redis, line.split())
        except PaysyncError as error:
            say(f"{type(error).__name__}: {error}")


def obey(redis: EmbeddedRedis, words: list[str]) -> None:
    match words:
        case ["attach"]:
            say_endpoint(redis.attach())
        case ["attach-if-running"]:
            say_endpoint(redis.attach_if_running())
        case ["leave"]:
            redis.leave()
            say("left")
        case ["fork", go]:
            fork(redis, Path(go))
            say("forked")
        case ["fork-and-leave", go]:
            fork(redis, Path(go))
            redis.leave()
            say("left")
        case ["count", key, acknowledged]:
            count(redis, key, acknowledged)


def fork(redis: EmbeddedRedis, go: Path) -> None:
    """A child that leaves once the file is there."""
    if os.fork() == 0:
        until(go.exists)
        redis.leave()
        os._exit(0)


def count(redis: EmbeddedRedis, key: str, acknowledged: str) -> None:
    """Count up for ever, noting what the server acknowledged; attach again when the server is gone."""
    with Path(acknowledged).open("wb", buffering=0) as notes:
        while True:
            with contextlib.suppress(OSError), Plain(redis.attach()) as client:
                while True:
                    notes.write(b"%d\n" % client.call("INCR", key))


def say_endpoint(endpoint: Endpoint | None) -> None:
    say(json.dumps(asdict(endpoint)) if endpoint else "none")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]), sys.argv[2] or None)
