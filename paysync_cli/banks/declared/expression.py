"""JMESPath expressions over a bank's JSON, with numbers exact from the text to the result.

Why JMESPath and not JSONPath: a status or an amount is *one* value, and JMESPath gives one value (null where there is
none), where JSONPath gives a list of nodes that may hold two. It is specified with a compliance suite, evaluates no
code, can join a date and a time, and its library is the one that the AWS SDK stands on, without dependencies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import jmespath
from jmespath import exceptions, functions, visitor

from paysync_cli.banks.wire import printable
from paysync_cli.language import _

_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)

# They round, divide or drop a sign: what comes out would no longer be the bank's own number.
_INEXACT = frozenset(("abs", "avg", "ceil", "floor", "sum"))


class Unfit(Exception):
    """This answer cannot be looked at with the expression: a function met a value that it does not take."""


class Expression:
    """One expression, compiled. Raises ValueError with a sentence for a text that is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree = _compiled(text)

    def of(self, value: object) -> object:
        """What the expression finds in a JSON value; None where there is nothing. Raises Unfit."""
        try:
            return _EXACT.visit(self._tree, value)
        except Exception as error:  # the interpreter leaks TypeError and others from values it did not expect
            raise Unfit(f"{self.text}: {type(error).__name__}") from None

    def of_or_none(self, value: object) -> object:
        """The same, None where the answer does not fit."""
        try:
            return self.of(value)
        except Unfit:
            return None


_Functions: Any = functions.Functions  # its stubs name none of the methods that are meant to be overridden


class _ExactFunctions(_Functions):  # type: ignore[misc]
    """JMESPath's functions for JSON whose numbers with a point are Decimal."""

    @functions.signature({"types": []})
    def _func_to_string(self, value: object) -> object:
        return str(value) if isinstance(value, Decimal) else super()._func_to_string(value)

    @functions.signature({"types": []})
    def _func_to_number(self, value: object) -> object:
        if isinstance(value, bool):
            return None
        if isinstance(value, int | Decimal):
            return value
        return Decimal(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None

    @functions.signature({"types": []})
    def _func_type(self, value: object) -> object:
        return "number" if isinstance(value, Decimal) else super()._func_type(value)

    def _get_allowed_pytypes(self, types: Any) -> Any:
        allowed, element = super()._get_allowed_pytypes(types)
        exact = [(*kinds, "Decimal") if "int" in kinds else kinds for kinds in element]
        return [*allowed, "Decimal"] if "int" in allowed else allowed, exact

    def _convert_to_jmespath_type(self, pyobject: str) -> Any:
        return "number" if pyobject == "Decimal" else super()._convert_to_jmespath_type(pyobject)


_EXACT = visitor.TreeInterpreter(jmespath.Options(custom_functions=_ExactFunctions()))


def _compiled(text: str) -> Any:
    try:
        tree = jmespath.compile(text).parsed
    except exceptions.JMESPathError as error:
        raise ValueError(_why(error)) from None
    except (ValueError, RecursionError):
        raise ValueError(_("it cannot be read")) from None
    for node in _nodes(tree):
        if node["type"] == "function_expression":
            _judge_function(node)
        elif node["type"] == "literal" and _holds_float(node["value"]):
            raise ValueError(_("a number with a point between ` ` is not exact; compare with text"))
    return tree


def _why(error: exceptions.JMESPathError) -> str:
    """The library's complaint in one line: what was not expected, and where."""
    if isinstance(error, exceptions.EmptyExpressionError):
        return _("it is empty")
    if isinstance(error, exceptions.IncompleteExpressionError):
        return _("it ends too early")
    if isinstance(error, exceptions.ParseError):
        token, at = printable(str(error.token_value), 40), int(error.lex_position) + 1
        return _("{token!r} is not expected at character {at}").format(token=token, at=at)
    return printable(str(error).splitlines()[0])


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node["children"]:
            yield from _nodes(child)


def _judge_function(node: dict[str, Any]) -> None:
    name, given = node["value"], len(node["children"])
    table = _ExactFunctions.FUNCTION_TABLE
    if name in _INEXACT:
        raise ValueError(_("{name}() computes; take the bank's own value").format(name=name))
    if name not in table:
        near = get_close_matches(name, [known for known in table if known not in _INEXACT], n=1)
        hint = _("; did you mean {near}()?").format(near=near[0]) if near else ""
        raise ValueError(_("there is no function {name}()").format(name=name) + hint)
    takes = table[name]["signature"]
    variadic = bool(takes and takes[-1].get("variadic"))
    if given < len(takes) or (given > len(takes) and not variadic):
        raise ValueError(_("{name}() takes {n} arguments, not {given}").format(name=name, n=len(takes), given=given))


def _holds_float(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_float, value.values()))
    if isinstance(value, list):
        return any(map(_holds_float, value))
    return isinstance(value, float)
