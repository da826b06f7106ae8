"""The settings: read once, checked whole, each value with its origin."""

from paysync_cli.settings.load import SettingsFaults, load_settings, read_language, select_bank
from paysync_cli.settings.masking import mask_url
from paysync_cli.settings.model import BankSettings, Entry, Origin, OriginKind, Settings
from paysync_cli.settings.sources import Folders

__all__ = [
    "BankSettings",
    "Entry",
    "Folders",
    "Origin",
    "OriginKind",
    "Settings",
    "SettingsFaults",
    "load_settings",
    "mask_url",
    "read_language",
    "select_bank",
]
