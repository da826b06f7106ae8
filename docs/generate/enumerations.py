"""The words that stand for something in JSON, read from the code that writes them: enumerations as they are, the
others from the places where they are spelled."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from pathlib import Path

import paysync_cli
from paysync_cli.payments.status import BankStatus, PlanState, Priority, ReviewReason, Status
from paysync_cli.services import hold, reconcile, register, retry, reviews
from paysync_cli.services.doctor.finding import Level
from paysync_cli.settings.model import OriginKind
from paysync_cli.store.alerts import AlertKind

PACKAGE = Path(paysync_cli.__file__).parent
_WORD = re.compile(r"[a-z0-9_]+$")


def _of(enumeration: type[Enum]) -> tuple[str, ...]:
    return tuple(str(one.value) for one in enumeration)


@cache
def _nodes(file: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def _calls(files: str, functions: Iterable[str], place: int | str) -> tuple[str, ...]:
    """The texts that these functions are given in this place, by number or by keyword, in these files."""
    names = set(functions)
    found: set[str] = set()
    for file in sorted(PACKAGE.glob(files)):
        for node in _nodes(file):
            if isinstance(node, ast.Call) and (not names or _name(node.func) in names):
                found |= set(_texts(node, place))
    return tuple(sorted(found))


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _texts(call: ast.Call, place: int | str) -> Iterator[str]:
    if isinstance(place, int):
        values = call.args[place : place + 1]
    else:
        values = [one.value for one in call.keywords if one.arg == place]
    for value in values:
        for node in ast.walk(value):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
                yield node.value


def _error_codes() -> tuple[str, ...]:
    """Every `code` that an error class has or an error is given."""
    classes: set[str] = set()
    for file in sorted(PACKAGE.glob("**/*.py")):
        for node in _nodes(file):
            if isinstance(node, ast.ClassDef):
                assigned = (one for one in node.body if isinstance(one, ast.Assign) and _name(one.targets[0]) == "code")
                classes |= {str(one.value.value) for one in assigned if isinstance(one.value, ast.Constant)}
    codes = {*classes, *_calls("**/*.py", (), "code"), *_calls("**/*.py", ("Fault",), 0)}
    # What ends in _ goes on with a field's or an outcome's name.
    return tuple(sorted(f"{word}*" if word.endswith("_") else word for word in codes - {"code"} if _WORD.match(word)))


_FAILURES = ("error", "refused", "throttled", "unavailable", "unknown", "unreadable", "worker_lost")
_ANSWERS = _of(BankStatus)
_SOURCES = ("check", *_calls("services/*.py", ("Judge",), "source"), reconcile.SOURCE)

# Each by the name under which json_keys.py speaks of it, and what it is about.
ENUMERATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "status": ("of a QR", _of(Status)),
    "plan state": ("of a QR's plan", _of(PlanState)),
    "priority": ("of a check", _of(Priority)),
    "environment": ("of a bank", ("production", "certification")),
    "bank status": ("what a bank says of a QR, in our words", _ANSWERS),
    "check outcome": ("what a question to the bank brought: its answer, or why there is none", (*_ANSWERS, *_FAILURES)),
    "asked outcome": ("of `paysync check`: the same, and `stale` where somebody else was quicker",
                      (*_ANSWERS, *_FAILURES, "stale")),
    "test outcome": ("of `paysync bank test`", ("ok", *_FAILURES)),
    "source": ("where the news of a payment came from", _SOURCES),
    "cause": ("of a change of status", ("registered", *_SOURCES, reviews.CAUSE)),
    "review reason": ("why a person must decide", _of(ReviewReason)),
    "review state": ("of a review", ("open", "resolved")),
    "verdict": ("how a review was resolved", _of(reviews.Verdict)),
    "resolve outcome": ("of `paysync review resolve`", ("resolved", "already_resolved")),
    "register outcome": ("of `paysync enqueue` and `import`", _of(register.Outcome)),
    "hold outcome": ("of `paysync hold` and `release`", _of(hold.Outcome)),
    "retry outcome": ("of `paysync retry`", _of(retry.Outcome)),
    "difference": ("of `paysync reconcile`", _of(reconcile.Kind)),
    "level": ("of a finding", _of(Level)),
    "mode": ("of `paysync health`", ("live", "ready", "deep")),
    "bank state": ("whether a bank is asked, and why not",
                   ("open", "adapter_broken", "breaker_open", "credential_stopped", "held", "paused")),
    "breaker state": ("of a bank's breaker", ("closed", "open", "held")),
    "left reason": ("why due QRs are left", ("breaker_open", "credential_stopped", "held", "paused")),
    "worker condition": ("of a worker", ("alive", "stale", "stopped")),
    "redis state": ("of the embedded Redis", ("running", "loading", "cannot_write", "not_answering", "stopped")),
    "foreign": ("what becomes of payments of QRs that are not ours", ("review", "count")),
    "found by": ("of `paysync find`", ("qr_id", "bank_transaction", "amount", "paid", "account")),
    "origin": ("of a setting", _of(OriginKind)),
    "run outcome": ("of a cleanup", ("ok", "partial")),
    "reason code": ("of `paysync explain`",
                    tuple(sorted({*_calls("services/explain.py", ("Reason",), 0), "queued", "asking_now"}))),
    "alert kind": ("of an alert; `docs/alerts.md` says what each means", _of(AlertKind)),
    "notice code": ("of the warnings of `paysync stats`", _calls("views/attention.py", ("Notice",), 0)),
    "error code": ("of `errors[]`, and of faults and warnings elsewhere; more may come", _error_codes()),
}  # fmt: skip


def words(name: str) -> tuple[str, ...]:
    """The words of this enumeration."""
    return ENUMERATIONS[name][1]
