"""`python -m paysync_cli`."""

from paysync_cli.cli.entry import run

run()
