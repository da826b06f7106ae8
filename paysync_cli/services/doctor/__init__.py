"""What is wrong, in sentences, each with the command that mends it.

One file for each area: it gathers facts through the gateways, and a pure function judges them. `examine` runs the
areas side by side and bounds each.
"""

from paysync_cli.services.doctor.examine import Area, examine
from paysync_cli.services.doctor.finding import Finding, Level, worst

__all__ = ["Area", "Finding", "Level", "examine", "worst"]
