"""`python -m paysync_cli.banks.simulator`: the simulated bank as a process; the first line on stdout is its address."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from paysync_cli.banks.simulator.fields import ScenarioError
from paysync_cli.banks.simulator.server import DEFAULT_PORT, serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m paysync_cli.banks.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--scenario", type=Path)
    wanted = parser.parse_args()
    try:
        serve(wanted.host, wanted.port, wanted.scenario, on_ready=_say)
    except ScenarioError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"cannot listen on {wanted.host}:{wanted.port}: {error.strerror or error}\n")
        return 69
    return 0


def _say(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
