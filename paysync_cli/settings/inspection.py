"""Settings that work here and now, and may surprise elsewhere. Shows no value."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paysync_cli.errors import Fault
from paysync_cli.settings.keys import KEYS
from paysync_cli.settings.load import is_known_variable
from paysync_cli.settings.model import Origin, OriginKind, Settings
from paysync_cli.settings.sources import Findings, from_dotenv

PLACES = ("redis_url", "database_url", "home")  # they decide which world one works in
_SECRET_KEYS = frozenset(name for key in KEYS if key.secret for name in key.variables)


@dataclass(frozen=True, slots=True)
class SettingsFacts:
    """`shadowed`: names in `.env` that the environment says otherwise; `local`: which of PLACES the working folder
    decided; `local_banks`: its files, each with the banks that are set there; `exposed`: `.env` holds secrets and every
    user may read it.
    """

    warnings: tuple[Fault, ...]
    files: tuple[Path, ...]
    shadowed: tuple[str, ...] = ()
    local: tuple[tuple[str, Origin], ...] = ()
    local_banks: tuple[tuple[Path, tuple[str, ...]], ...] = ()
    dotenv: Path | None = None
    exposed: bool = False


def inspect(settings: Settings, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> SettingsFacts:
    """Look at where the settings came from."""
    environ = os.environ if environ is None else environ
    found = next((path for path in settings.files if path.name == ".env"), None)
    source = None if found is None else from_dotenv(found.parent, Findings(), ours=lambda _line: False)
    written = {} if source is None else {name: text for name, text in source.values.items() if is_known_variable(name)}
    folder = cwd or Path(os.path.realpath("."))
    return SettingsFacts(
        warnings=settings.warnings,
        files=settings.files,
        shadowed=tuple(
            sorted(name for name, text in written.items() if environ.get(name, text).strip() != text.strip())
        ),
        local=tuple((key, settings.origins[key]) for key in PLACES if _is_local(settings.origins.get(key), folder)),
        local_banks=tuple(_local_banks(settings, folder).items()),
        dotenv=found,
        exposed=found is not None
        and any(_is_secret(*pair) for pair in written.items())
        and bool(found.stat().st_mode & stat.S_IROTH),
    )


def _local_banks(settings: Settings, folder: Path) -> dict[Path, tuple[str, ...]]:
    """By file of the working folder, the banks of which some key is set there."""
    found: dict[Path, dict[str, None]] = {}
    for key, origin in settings.origins.items():
        if key.startswith("banks.") and _is_local(origin, folder) and origin.path is not None:
            found.setdefault(origin.path, {})[key.split(".")[1]] = None
    return {path: tuple(banks) for path, banks in found.items()}


def _is_local(origin: Origin | None, folder: Path) -> bool:
    """Whether only who stands in this folder gets it; a file named with --config is no such thing elsewhere."""
    if origin is None or origin.path is None:
        return False
    if origin.kind is OriginKind.DOTENV:
        return True
    return origin.kind is OriginKind.PROJECT_FILE and origin.path.resolve().parent == folder.resolve()


def _is_secret(name: str, text: str) -> bool:
    if name.endswith("_URL"):
        return "@" in text
    return name in _SECRET_KEYS or name.endswith(("_PASSWORD", "_SECRET", "_TOKEN", "_KEY", "_URLS"))
