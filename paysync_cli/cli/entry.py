"""Where the `paysync` script begins: the language first, then the program.

Help texts are read when their files are imported, so the language is settled before any of them is: from
PAYSYNC_LANG, else from what `.env` and the settings files say, else from the locale. What programs read is English.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from paysync_cli import language

COLLECT_EVERY = 20_000  # new objects; Python's 700 is for programs whose objects die young, here most are imported

_FOR_PROGRAMS = frozenset(("--json", "--jsonl", "--csv"))


def run() -> NoReturn:
    """What the `paysync` script calls."""
    gc.set_threshold(COLLECT_EVERY, 20, 20)
    if sys.argv[1:2] == ["_complete"]:  # before all else: a person holds the TAB key
        from paysync_cli.cli import completing

        completing.answer(sys.argv[2:])
    choose_language(sys.argv[1:])
    from paysync_cli.cli.main import run as run_program

    run_program()


def choose_language(arguments: Sequence[str]) -> None:
    """Settle the language of this process from its command line and settings."""
    options = list(arguments)
    if "--" in options:
        options = options[: options.index("--")]
    if _FOR_PROGRAMS.intersection(options):
        language.use(language.SOURCE)
    elif not os.environ.get("PAYSYNC_LANG", "").strip():
        language.use(_language_in_files(_config_file(options)))


def _language_in_files(config_file: Path | None) -> str | None:
    """What `.env` or a settings file says; a file that is wrong is told by the command, when it reads the settings."""
    if not any(map(_may_say, _files(config_file))):
        return None  # the usual case costs no import of the settings
    from paysync_cli.settings import read_language

    return read_language(config_file)


def _files(config_file: Path | None) -> Iterator[Path]:
    yield Path(".env")
    if config_file is not None:
        yield config_file
        return
    import platformdirs

    yield Path("paysync.toml")
    yield Path(platformdirs.user_config_dir("paysync", appauthor=False), "paysync.toml")
    yield Path("/etc/paysync/paysync.toml")


def _may_say(path: Path) -> bool:
    try:
        return b"lang" in path.read_bytes().lower()
    except OSError:
        return False


def _config_file(options: Sequence[str]) -> Path | None:
    for option, following in zip(options, [*options[1:], ""], strict=False):
        name, _sign, value = option.partition("=")
        if name == "--config" and (value or following):
            return Path(value or following)
    return None
