"""What the completion scripts ask at a TAB press; everything else they know by themselves.

    paysync _complete banks|qrs PREFIX [WORD...]

prints names that begin with PREFIX, one a line. The words are those of the command line before it: --config says
which settings, --bank whose QRs. It is no command: nothing is parsed, made or told, no library is loaded that can be
done without, and whatever is wrong or slow, the answer is short.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

LIMIT = 50
PATIENCE_S = 2.0


def answer(arguments: Sequence[str]) -> NoReturn:
    """Answer and end the process, within PATIENCE_S."""
    threading.Timer(PATIENCE_S, os._exit, (0,)).start()  # also out of a call that cannot be interrupted
    try:
        kind, prefix, *words = arguments
        lines = [f"{name}\n" for name in _names(kind, prefix, words) if _can_be_offered(name, words)]
        os.write(1, "".join(lines).encode())
    except Exception:  # noqa: S110 - a TAB press is no place for complaints
        pass
    os._exit(0)


def _names(kind: str, prefix: str, words: Sequence[str]) -> Iterable[str]:
    from paysync_cli.settings import SettingsFaults, load_settings

    config = _value("--config", words)
    try:
        settings = load_settings(config_file=Path(config).expanduser() if config else None)
    except SettingsFaults as wrong:
        return sorted(name for name in wrong.banks if kind == "banks" and name.startswith(prefix))
    if kind == "banks":
        return sorted(name for name in settings.banks if name.startswith(prefix))
    from paysync_cli.store import qr_ids

    return qr_ids.beginning(settings.database_url, prefix, bank=_value("--bank", words), limit=LIMIT)


def _can_be_offered(name: str, words: Sequence[str]) -> bool:
    """Whether the name, as a word of its own, is taken for a name, and does nothing to a terminal that shows it."""
    return name.isprintable() and " " not in name and (not name.startswith("-") or "--" in words)


def _value(option: str, words: Sequence[str]) -> str | None:
    """What the command line says last about an option."""
    found = None
    before = list(words[: words.index("--")] if "--" in words else words)
    for at, word in enumerate(before):
        name, sign, value = word.partition("=")
        if name == option:
            found = value if sign else "".join(before[at + 1 : at + 2])
    return found or None
