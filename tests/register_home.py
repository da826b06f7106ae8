"""A home with one configured bank for tests of `enqueue` and `import`: no bank, Redis or worker runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.process import Ended, run_paysync

BANK = {
    "PAYSYNC_BANK_SIM_ADAPTER": "baneco",
    "PAYSYNC_BANK_SIM_BASE_URL": "http://127.0.0.1:9/",
    "PAYSYNC_BANK_SIM_ENVIRONMENT": "certification",
    "PAYSYNC_BANK_SIM_USERNAME": "shop",
    "PAYSYNC_BANK_SIM_PASSWORD": "canary-password",
    "PAYSYNC_BANK_SIM_AES_KEY": "0123456789abcdef0123456789abcdef",
    "PAYSYNC_BANK_SIM_ACCOUNT": "main",
}
SECOND_BANK = {name.replace("_SIM_", "_OTHER_"): value for name, value in BANK.items()} | {
    "PAYSYNC_BANK_OTHER_CURRENCY": "USD",
    "PAYSYNC_BANK_OTHER_ACCOUNT": "dollars",
}


@dataclass(frozen=True)
class RegisterHome:
    """Runs paysync in a folder that is its PAYSYNC_HOME and looks into the database behind its back."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "paysync.db"

    @property
    def env(self) -> dict[str, str]:
        return {"PAYSYNC_HOME": str(self.folder), "PAYSYNC_LANG": "en", **BANK}

    def run(self, *args: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Ended:
        return run_paysync(*args, env=self.env | dict(env or {}), cwd=self.folder, stdin=stdin)

    def document(
        self, *args: str, status: int = 0, env: Mapping[str, str] | None = None, stdin: str | None = None
    ) -> dict[str, Any]:
        """The one JSON document of a command that must end with this status."""
        ended = self.run(*args, "--json", env=env, stdin=stdin)
        assert ended.status == status, ended
        document: dict[str, Any] = json.loads(ended.out)
        return document

    def write(self, name: str, content: str | bytes) -> str:
        """A file in the folder; its name."""
        raw = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(raw)
        return name

    def ids(self) -> list[str]:
        return [row["qr_id"] for row in self.rows()]

    def rows(self, table: str = "paysync_qrs") -> list[dict[str, Any]]:
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            found = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY id")]
        connection.close()
        return found

    def change(self, statement: str) -> None:
        """An SQL statement: what time or a worker would have done."""
        connection = sqlite3.connect(self.database)
        with connection:
            connection.execute(statement)
        connection.close()

    def dump(self) -> list[str]:
        """The whole database as SQL text."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return list(connection.iterdump())
        finally:
            connection.close()
