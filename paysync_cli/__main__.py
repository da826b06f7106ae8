"""`python -m paysync_cli`."""

from paysync_cli.cli.main import run

run()
