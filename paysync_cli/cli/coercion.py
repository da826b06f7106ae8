"""Values of options and arguments without pydantic.

Typer 0.29 turns every value into its type through pydantic, whose import costs more than the rest of a start
(measured: 45 ms of 130). Text, numbers, paths, choices and lists of them need none of it; other types stay Typer's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from paysync_cli.errors import UsageError
from paysync_cli.language import _, mark
from paysync_cli.views.text import plain


def use_light(param: Any) -> None:
    """Give the parameter its light reader, where its type has one."""
    reader = _reader(param.type_descriptor.annotation)
    if reader is not None:
        param._runtime_param = _LightReader(reader, is_list=param.type_descriptor.is_list)


# What stands for a value in the help. A word that is not here is the same in every language.
_METAVARS = (
    mark("A"), mark("BANK"), mark("CODE"), mark("DATE"), mark("FILE"), mark("FILE|-"), mark("NAME"), mark("TEXT"),
    mark("TIME"), mark("WORD"), mark("ZONE"),
)  # fmt: skip


def metavar(param: Any) -> str:
    """The word that stands for the parameter's value: `QR`, `TIME`."""
    return _(str(param.metavar or param.name.upper()))


def spoken_name(param: Any) -> str:
    """How people call the parameter: `--bank`, `QR`."""
    if param is None:
        return _("An argument")
    if param.param_type_name == "option":
        return str(max(param.opts, key=len))
    return metavar(param)


class _LightReader:
    """Stands in for Typer's runtime parameter: only `coerce` is asked of it."""

    def __init__(self, read: Callable[[str], Any], *, is_list: bool) -> None:
        self._read = read
        self._is_list = is_list

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ARG002 - Typer's signature
        """The value in its type; nothing stays nothing. Raises UsageError."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        try:
            if self._is_list:
                return [self._in_range(self._read(item), param) for item in value]
            return self._in_range(self._read(value), param)
        except ValueError as problem:
            raise UsageError(f"{spoken_name(param)}: {problem}") from None

    @staticmethod
    def _in_range(value: Any, param: Any) -> Any:
        least, most = getattr(param, "min", None), getattr(param, "max", None)
        if least is not None and value < least:
            raise ValueError(_("{value} is below {least}.").format(value=value, least=least))
        if most is not None and value > most:
            raise ValueError(_("{value} is above {most}.").format(value=value, most=most))
        return value


def _reader(annotation: Any) -> Callable[[Any], Any] | None:
    if get_origin(annotation) is list:
        return _reader(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return _choice(tuple(map(str, get_args(annotation))))
    readers: dict[Any, Callable[[Any], Any]] = {bool: bool, str: str, int: _whole, float: _number, Path: Path}
    return readers.get(annotation)


def _choice(allowed: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value in allowed:
            return str(value)
        choices = ", ".join(allowed)
        raise ValueError(_("{value!r} is not one of {choices}.").format(value=plain(value), choices=choices))

    return read


def _whole(value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(_("{value!r} is not a whole number.").format(value=plain(value))) from None


def _number(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(_("{value!r} is not a number.").format(value=plain(value))) from None
