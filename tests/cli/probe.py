"""`paysync` with the probe commands beside its own: `python tests/cli/probe.py probe list`."""

import sys
import types

from paysync_cli.cli import commands, main
from paysync_cli.settings import Settings


class Runtime:
    """Stands in for the real one: tells when it is opened and closed."""

    def __init__(self, settings: Settings, *, create: bool) -> None:
        print(f"opened {settings.concurrency} create={create}", file=sys.stderr, flush=True)

    def close(self) -> None:
        print("closed", file=sys.stderr, flush=True)


stand_in = types.ModuleType("paysync_cli.runtime")
stand_in.Runtime = Runtime  # type: ignore[attr-defined]
sys.modules["paysync_cli.runtime"] = stand_in

commands.SECTIONS = (*commands.SECTIONS, ("Probes", ("probe",)))
commands.MODULES["probe"] = "probe_commands"

if __name__ == "__main__":
    main.run()
