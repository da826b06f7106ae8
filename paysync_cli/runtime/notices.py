"""The banks whose notices are taken: an adapter that reads them, and a secret by which the bank is known."""

from __future__ import annotations

from datetime import UTC, datetime

from paysync_cli.banks import registry
from paysync_cli.banks.base import BankTools
from paysync_cli.banks.notices import Notices, takes_notices
from paysync_cli.runtime.banks import profile
from paysync_cli.settings import Settings


def notice_banks(settings: Settings) -> dict[str, Notices]:
    """These banks by name. Raises SettingsError for an adapter that cannot be set up."""
    from paysync_cli.banks.http import make_client

    tools = BankTools(make_client(), lambda: datetime.now(UTC))  # never used: reading a notice asks nothing
    profiles = [profile(bank) for bank in settings.banks.values()]
    built = {one.name: registry.build(one, tools) for one in profiles if takes_notices(one)}
    return {name: bank for name, bank in built.items() if isinstance(bank, Notices)}
