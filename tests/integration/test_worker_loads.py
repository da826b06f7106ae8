"""What a worker loads is in memory as long as it runs: only what it works with may be there."""

from __future__ import annotations

import sys

from tests.process import run_paysync
from tests.shop import shop

# alembic is for the day of an upgrade, the simulator for the demo, PostgreSQL's dialect for who uses it.
NOT_FOR_A_WORKER = {
    "alembic", "apprise", "mako", "prometheus_client", "psycopg", "pydantic", "sqlalchemy.dialects.postgresql",
    "starlette", "textual", "uvicorn", "paysync_cli.banks.simulator",
}  # fmt: skip
WITH_TIMES = (sys.executable, "-X", "importtime", "-m", "paysync_cli")


def test_a_worker_that_checks_loads_only_what_it_works_with() -> None:
    with shop({"qr": [{"id": "QR0", "amount": "10.10", "payment": [{"at": "+0s"}]}]}) as town:
        town.register("QR0")
        ended = run_paysync("worker", "--burst", env=town.env, cwd=town.home, program=WITH_TIMES)
        assert ended.status == 0, ended
        town.until_final(["QR0"])
    lines = [line for line in ended.err.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert {"aiohttp", "redis", "rq.worker", "sqlalchemy"} <= loaded
    assert loaded & NOT_FOR_A_WORKER == set()
