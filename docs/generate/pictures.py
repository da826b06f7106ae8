"""`python -m docs.generate.pictures`: draw docs/pictures anew, from a real demo on a real terminal.

What the demo's home shows differs from run to run (moments, addresses), so these files are not compared by a test.
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from docs.generate.outputs import ROOT

PICTURES = ROOT / "docs" / "pictures"
COLUMNS, LINES = 104, 40
PAYSYNC = (sys.executable, "-m", "paysync_cli")
QUIET = {name: value for name, value in os.environ.items() if not name.startswith(("PAYSYNC", "REDIS", "DATABASE"))}
ENGLISH = QUIET | {"PAYSYNC_LANG": "en", "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLORTERM": "truecolor"}


def draw() -> None:
    """The demo's home, seen by three commands."""
    PICTURES.mkdir(exist_ok=True)
    home = _demo()
    bank = _start(home, "bank", "simulate", "--port", _port(home))  # the demo's own has ended with it
    worker = _start(home, "worker")
    try:
        time.sleep(12)  # it registers, leads, sweeps, asks about what is due, and beats again
        for name, command in {"stats": ("stats",), "show": ("show", "DEMO-16")}.items():
            _save(name, command, _on_terminal(home, command))
        _save_top(home)
    finally:
        for child in (worker, bank):
            child.terminate()
            child.wait()
        subprocess.run([*PAYSYNC, "redis", "stop", "--yes"], cwd=home, env=ENGLISH, check=True, capture_output=True)


def _demo() -> Path:
    shown = subprocess.run([*PAYSYNC, "demo"], env=ENGLISH, check=True, capture_output=True, text=True).stdout
    found = re.search(r"\(cd (\S+) && ", shown)
    assert found is not None, shown
    return Path(found[1])


def _port(home: Path) -> str:
    found = re.search(r":(\d+)\"", (home / "paysync.toml").read_text())
    assert found is not None
    return found[1]


def _start(home: Path, *command: str) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*PAYSYNC, *command], cwd=home, env=ENGLISH, stdout=quiet, stderr=quiet)


def _on_terminal(home: Path, command: tuple[str, ...]) -> str:
    """What the command writes on a terminal of COLUMNS x LINES."""
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        os.chdir(home)
        os.execvpe(PAYSYNC[0], [*PAYSYNC, *command], ENGLISH)  # noqa: S606 - no shell is wanted
    written = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        written += piece
    os.waitpid(child, 0)
    return written.decode().replace("\r\n", "\n")


def _save(name: str, command: tuple[str, ...], written: str) -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(written.rstrip("\n")))
    title = " ".join(("$ paysync", *command))
    (PICTURES / f"{name}.svg").write_text(console.export_svg(title=title, unique_id=f"paysync-{name}"))


def _save_top(home: Path) -> None:
    from paysync_cli.cli.session import Session
    from paysync_cli.cli.top_desk import TopDesk
    from paysync_cli.views.top.app import TopApp
    from paysync_cli.views.top.desk import Focus

    os.chdir(home)
    session = Session()
    desk = TopDesk(session)
    app = TopApp(desk, desk.look(Focus()), every_s=0.5)

    async def watch() -> None:
        async with app.run_test(size=(COLUMNS, 30)) as pilot:
            await pilot.pause(2)
            (PICTURES / "top.svg").write_text(app.export_screenshot(title="paysync top"))

    try:
        asyncio.run(watch())
    finally:
        session.close()


if __name__ == "__main__":
    draw()
