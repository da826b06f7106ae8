"""Which bank adapters are installed, and building one: entry points of the group `paysync.banks`.

A package that offers an adapter names its class there; a package that cannot be loaded is one line in a list, and an
error only for the bank that needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from paysync_cli.banks.base import Bank, BankProfile, BankTools
from paysync_cli.banks.wire import printable
from paysync_cli.errors import PaysyncError, SettingsError
from paysync_cli.language import _

GROUP = "paysync.banks"


@dataclass(frozen=True)
class Adapter:
    """An installed adapter. `package` is `name version` of what brought it; `error` says why it cannot be used."""

    name: str
    package: str
    error: str | None = None


def adapter_names() -> list[str]:
    """The names usable as `adapter = "..."`, sorted. Loads no adapter."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def adapters() -> list[Adapter]:
    """Every installed adapter, loaded once to see whether it can be."""
    return [Adapter(name, _package(name), _load_error(name)) for name in adapter_names()]


def build(profile: BankProfile, tools: BankTools) -> Bank:
    """The adapter of this bank, ready to ask.

    Raises SettingsError: no such adapter (names the known ones), an adapter that cannot be loaded, options it refuses.
    """
    adapter = _load(profile.adapter)
    try:
        bank = adapter(profile, tools)
    except PaysyncError:
        raise
    except Exception as error:  # a third party's constructor: whatever it raises is a broken plug-in
        raise SettingsError(
            _('bank {bank}: adapter "{adapter}" ({package}) cannot be set up: {error}').format(
                bank=profile.name,
                adapter=profile.adapter,
                package=_package(profile.adapter),
                error=type(error).__name__,  # its words may hold the options, and those are secrets
            )
        ) from error
    if not isinstance(bank, Bank):
        raise SettingsError(
            _('bank {bank}: adapter "{adapter}" ({package}) offers no check()').format(
                bank=profile.name, adapter=profile.adapter, package=_package(profile.adapter)
            )
        )
    return bank


def lists_payments(name: str) -> bool:
    """Whether this adapter lists what was paid on a day; False for one that cannot be loaded."""
    try:
        return hasattr(_load(name), "paid_on")
    except SettingsError:
        return False


def _load(name: str) -> Callable[[BankProfile, BankTools], object]:
    points = _points(name)
    if not points:
        raise SettingsError(
            _('unknown adapter "{name}"; installed: {known}').format(
                name=printable(name, 64), known=", ".join(adapter_names()) or _("none")
            )
        )
    if len(points) > 1:
        raise SettingsError(
            _('adapter "{name}" is offered by more than one package: {packages}').format(
                name=name, packages=_package(name)
            )
        )
    try:
        loaded = points[0].load()
    except Exception as error:  # importing foreign code may raise anything
        raise SettingsError(
            _('adapter "{name}" ({package}) cannot be loaded: {error}').format(
                name=name, package=_package(name), error=printable(f"{type(error).__name__}: {error}")
            )
        ) from error
    if not callable(loaded):
        raise SettingsError(_('adapter "{name}" ({package}) is not a class').format(name=name, package=_package(name)))
    return cast("Callable[[BankProfile, BankTools], object]", loaded)


def _points(name: str) -> list[EntryPoint]:
    """The entry points of that name; one listed twice by the same place counts once."""
    return list({point.value: point for point in entry_points(group=GROUP, name=name)}.values())


def _package(name: str) -> str:
    brought_by = [point.dist for point in _points(name)]
    return ", ".join(f"{dist.name} {dist.version}" for dist in brought_by if dist is not None) or _("unknown package")


def _load_error(name: str) -> str | None:
    try:
        _load(name)
    except SettingsError as error:
        return error.message
    return None
