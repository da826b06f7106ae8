"""Which bank adapters are installed, and building one: entry points of the group `paysync.banks`.

A package that offers an adapter names its class there; a package that cannot be loaded is one line in a list, and an
error only for the bank that needs it.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TextIO, cast

from paysync_cli.banks.base import PROTOCOL, Bank, BankProfile, BankTools
from paysync_cli.banks.wire import printable
from paysync_cli.errors import Fault, PaysyncError, SettingsError
from paysync_cli.language import _

GROUP = "paysync.banks"

_METHODS = {"check": True, "paid_on": False, "ping": False}  # of the protocol: name -> must be there
_PLAIN_METHODS = ("noticed", "notice_reply")  # they ask nobody anything


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
        with _quiet():
            bank = adapter(profile, tools)
            is_bank = isinstance(bank, Bank)
    except PaysyncError:
        raise
    except (Exception, SystemExit) as error:  # a third party's constructor: whatever it raises is a broken plug-in
        raise _broken_for(
            profile,
            # The type alone: its words may hold the options, and those are secrets.
            _("cannot be set up: {error}").format(error=type(error).__name__),
        ) from error
    if not is_bank:
        raise _broken_for(profile, _("offers no check()"))
    return cast("Bank", bank)


def faults(profile: BankProfile, tools: BankTools) -> Sequence[Fault]:
    """What is wrong with this bank's adapter or with the keys that are the adapter's own; nothing is asked."""
    try:
        build(profile, tools)
    except PaysyncError as error:
        return error.faults
    return ()


def lists_payments(profile: BankProfile) -> bool:
    """Whether this bank's adapter lists what was paid on a day; False for one that cannot be loaded."""
    try:
        adapter = _load(profile.adapter)
    except SettingsError:
        return False
    decides = getattr(adapter, "lists_payments", None)
    try:
        return bool(decides(profile)) if callable(decides) else hasattr(adapter, "paid_on")
    except Exception:  # what a third party's code raises here, `build` will tell better
        return False


def _load(name: str) -> Callable[[BankProfile, BankTools], object]:
    points = _points(name)
    if not points:
        raise SettingsError(
            _('unknown adapter "{name}"; installed: {known}').format(
                name=printable(name, 64), known=", ".join(adapter_names()) or _("none")
            ),
            code="unknown_adapter",
        )
    if len(points) > 1:
        raise _broken(
            _('adapter "{name}" is offered by more than one package: {packages}').format(
                name=name, packages=_package(name)
            ),
        )
    try:
        with _quiet():
            loaded = points[0].load()
            problem = _problem_of(loaded)
    except Exception as error:  # importing foreign code may raise anything
        words = printable(f"{type(error).__name__}: {error}")
        raise _broken(_spoken(name, _("cannot be loaded: {error}").format(error=words))) from error
    except SystemExit as left:  # a module that ends the process when imported
        raise _broken(_spoken(name, _("cannot be loaded: {error}").format(error="SystemExit"))) from left
    if problem is not None:
        raise _broken(_spoken(name, problem))
    return cast("Callable[[BankProfile, BankTools], object]", loaded)


def _quiet() -> contextlib.redirect_stdout[TextIO]:
    """What foreign code prints while it is loaded and set up is talk: standard output is the command's document."""
    return contextlib.redirect_stdout(sys.stderr)


def _problem_of(loaded: object) -> str | None:
    """Why this is no adapter; None when it looks like one."""
    if not callable(loaded):
        return _("is not a class")
    speaks = getattr(loaded, "protocol", PROTOCOL)
    if speaks != PROTOCOL:
        return _("speaks version {theirs} of the protocol, this paysync speaks {ours}: bring both up to date").format(
            theirs=printable(str(speaks), 20), ours=PROTOCOL
        )
    if not isinstance(loaded, type):
        return None  # a function that makes the bank: what it offers shows when it is called
    for method, needed in _METHODS.items():
        found = getattr(loaded, method, None)
        if found is None and needed:
            return _("offers no {method}()").format(method=method)
        if found is not None and not inspect.iscoroutinefunction(found):
            return _("has a {method}() that is not async").format(method=method)
    for method in _PLAIN_METHODS:
        if inspect.iscoroutinefunction(getattr(loaded, method, None)):
            return _("has a {method}() that is async").format(method=method)
    return None


def _spoken(name: str, problem: str) -> str:
    return _('adapter "{name}" ({package}) {problem}').format(name=name, package=_package(name), problem=problem)


def _broken(message: str) -> SettingsError:
    return SettingsError(message, code="broken_adapter")


def _broken_for(profile: BankProfile, problem: str) -> SettingsError:
    message = _("bank {bank}: {sentence}").format(bank=profile.name, sentence=_spoken(profile.adapter, problem))
    return SettingsError(message, code="broken_adapter")


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
