"""Whether alerts can be delivered at all: is Apprise there, does it understand each URL? Sends nothing."""

from __future__ import annotations

from collections.abc import Sequence

from paysync_cli.alerts.post import PACKAGE, installed, understood
from paysync_cli.errors import Fault
from paysync_cli.language import _


def package_fault() -> Fault:
    """URLs are set and there is nothing to send with."""
    return Fault(
        "apprise_missing",
        _("PAYSYNC_ALERT_URLS is set, but Apprise is not installed: no alert is delivered."),
        _("Install it beside paysync: pip install '{package}'").format(package=PACKAGE),
    )


def look(urls: Sequence[str], shown: Sequence[str]) -> list[Fault]:
    """What stands in the way. Takes a moment."""
    if not urls:
        return []
    if not installed():
        return [package_fault()]
    return [
        Fault(
            "alert_url",
            _("Apprise does not understand alert URL {n} ({url}).").format(n=n, url=masked),
            _("Its form for each service: https://appriseit.com/services/"),
        )
        for n, (good, masked) in enumerate(zip(understood(urls), shown, strict=True), start=1)
        if not good
    ]
