"""paysync in a child of this process: real descriptors and a real exit status, without a start of Python for each.

For tests of many command lines. What is loaded here is loaded there; nothing that the child opens is seen here.
"""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.process import TIMEOUT_S, Ended, clean_environment


def run_forked(*args: str, env: Mapping[str, str], cwd: Path, terminal: bool = False) -> Ended:
    """Run to the end with an empty standard input. With `terminal` standard output is a pseudo-terminal."""
    out, child_out = pty.openpty() if terminal else os.pipe()
    err, child_err = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(args, clean_environment(cwd, env), cwd, child_out, child_err)
    os.close(child_out)
    os.close(child_err)
    try:
        told = _read_all(pid, out, err)
    finally:
        os.close(out)
        os.close(err)
    _pid, status = os.waitpid(pid, 0)
    return Ended(os.waitstatus_to_exitcode(status), told[out].replace("\r\n", "\n"), told[err])


def _become(args: tuple[str, ...], env: Mapping[str, str], cwd: Path, out: int, err: int) -> None:
    """What the child does; it never returns."""
    status = 99
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, descriptor in enumerate((nothing, out, err)):
            os.dup2(descriptor, number)
        os.closerange(3, 256)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        sys.stdin = io.TextIOWrapper(io.FileIO(0, "r"))
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), "utf-8", line_buffering=os.isatty(1))
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(2, "w")), "utf-8", line_buffering=True)
        sys.argv[:] = ["paysync", *args]
        from paysync_cli import language
        from paysync_cli.cli.entry import choose_language
        from paysync_cli.cli.main import main

        language.use(None)
        choose_language(args)
        status = main(args)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _read_all(pid: int, *descriptors: int) -> dict[int, str]:
    told = {one: bytearray() for one in descriptors}
    waiting, end = list(descriptors), time.monotonic() + TIMEOUT_S
    while waiting:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        for one in select.select(waiting, [], [], 1.0)[0]:
            try:
                piece = os.read(one, 65536)
            except OSError:  # Linux's way of saying that nobody holds the terminal's other end
                piece = b""
            told[one] += piece
            if not piece:
                waiting.remove(one)
    return {one: bytes(text).decode("utf-8", "replace") for one, text in told.items()}
