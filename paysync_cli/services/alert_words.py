"""Every alert as one sentence for whoever is woken by it: what, which bank, how many, since when, the first command.

What came from outside (a bank's words, QR ids) is quoted in a form that no channel takes for markup, a mention or a
link, and is cut.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from paysync_cli.language import _, mark
from paysync_cli.store.alert_messages import Event, NewMessage
from paysync_cli.store.alerts import AlertKind

QUOTED_LIMIT = 120


@dataclass(frozen=True, slots=True)
class Words:
    """The sentence while it is so, the one when it is over (states only), and the command to run first.

    Placeholders: {bank}, {n}, {detail}.
    """

    so: str
    command: str
    over: str = ""


# A `{detail}` is the bank's reason, a QR as an example, a day or a setting: what the row keeps.
WORDS = {
    AlertKind.CREDENTIAL_STOPPED: Words(
        mark("Bank {bank} refused our credential and nobody logs in any more ({detail})."),
        "paysync bank show {bank}",
        mark("Bank {bank} may be logged in to again."),
    ),
    AlertKind.BREAKER_OPEN: Words(
        mark("Bank {bank} does not answer; only probes reach it."),
        "paysync bank test {bank}",
        mark("Bank {bank} answers again."),
    ),
    AlertKind.BANK_UNAVAILABLE: Words(
        mark("Logins at bank {bank} get no answer, {n} so far ({detail})."), "paysync bank test {bank}"
    ),
    AlertKind.BANK_UNREADABLE: Words(
        mark("Answers of bank {bank} cannot be read, {n} so far (e.g. QR {detail})."),
        "paysync failed --bank {bank}",
    ),
    AlertKind.PLAN_EXHAUSTED: Words(
        mark("QRs of bank {bank} have used up their checks and are asked daily at most, {n} so far (e.g. {detail})."),
        "paysync list --exhausted --bank {bank}",
    ),
    AlertKind.DUE_QUERY_FAILED: Words(
        mark("QRs of bank {bank} past their due moment could not be asked and stay open, {n} so far (e.g. {detail})."),
        "paysync failed --bank {bank}",
    ),
    AlertKind.REVIEW_OPENED: Words(
        mark("Payments at bank {bank} need a person's decision, {n} so far (e.g. QR {detail})."),
        "paysync review list --bank {bank}",
    ),
    AlertKind.DAY_INCOMPLETE: Words(
        mark("The list of payments of bank {bank} for {detail} is still incomplete a day after that day's end."),
        "paysync reconcile --bank {bank} --date {detail}",
        mark("The lists of payments of bank {bank} are complete again."),
    ),
    AlertKind.JOB_GIVEN_UP: Words(
        mark("Checks of bank {bank} were given up after their last attempt, {n} so far (e.g. QR {detail})."),
        "paysync failed --bank {bank}",
    ),
    AlertKind.BACKLOG_LATE: Words(
        mark("Checks of bank {bank} are late: {n} are due."),
        "paysync stats",
        mark("Checks of bank {bank} are on time again."),
    ),
    AlertKind.NOT_CONSUMING: Words(
        mark("Nothing is checked: {n} QRs are due and no check ends."),
        "paysync doctor",
        mark("Checks are done again."),
    ),
    AlertKind.NO_WORKER: Words(
        mark("No worker is alive: nothing is checked."),
        "paysync workers",
        mark("A worker is alive again."),
    ),
    AlertKind.REDIS_EVICTS: Words(
        mark("Redis throws keys away when it is full (maxmemory-policy {detail}): checks would come late."),
        "paysync doctor",
        mark("Redis keeps its keys now (maxmemory-policy noeviction)."),
    ),
    AlertKind.SWEEP_LATE: Words(
        mark("The lists of payments of bank {bank} were not read to their end for too long ({detail})."),
        "paysync sweep --bank {bank}",
        mark("The lists of payments of bank {bank} are read again."),
    ),
    AlertKind.CLEANUP_LATE: Words(
        mark("The daily cleanup has not run."),
        "paysync cleanup --status",
        mark("The daily cleanup has run."),
    ),
    AlertKind.CHECKS_ABANDONED: Words(
        mark("Dispatched checks of bank {bank} were with nobody, {n} so far (e.g. QR {detail}): a worker died or Redis "
             "lost them; they are planned again."),
        "paysync workers",
    ),
}  # fmt: skip

TITLES = {
    Event.RAISED: mark("paysync on {host}: {kind}"),
    Event.RECOVERED: mark("paysync on {host}: {kind} is over"),
    Event.PASSED: mark("paysync on {host}: {kind} is over"),
}


def title(message: NewMessage, host: str) -> str:
    """The first line, for channels that have one."""
    return _(TITLES[message.event]).format(host=quoted(host), kind=message.kind.value.replace("_", " "))


def sentence(message: NewMessage) -> str:
    """The alert in the language of the moment. Times in UTC, as in JSON."""
    words = WORDS[message.kind]
    given = {"bank": message.bank, "n": message.count, "detail": quoted(message.detail) or "?"}
    since, until = _moment(message.since), _moment(message.until) if message.until else ""
    if message.event is Event.RECOVERED:
        return _("{what} It lasted from {since} to {until}.").format(
            what=_(words.over).format(**given), since=since, until=until
        )
    so, run = _(words.so).format(**given), words.command.format(**given)
    if message.event is Event.PASSED:
        text = _("{what} That began {since}, ended {until} and came {n} times. Look: {command}")
        return text.format(what=so, since=since, until=until, n=message.count, command=run)
    return _("{what} Since {since}. Run first: {command}").format(what=so, since=since, command=run)


def quoted(text: str, limit: int = QUOTED_LIMIT) -> str:
    """Text from outside on one line, cut, with nothing in it that a chat or a mail program would act upon."""
    seen = " ".join("".join(_tame(letter) for letter in unicodedata.normalize("NFC", text)).split())
    seen = seen.replace("://", ": ")
    return seen if len(seen) <= limit else f"{seen[: limit - 1]}…"


def _tame(letter: str) -> str:
    """Letters, digits and quiet punctuation as they are; what is markup somewhere becomes something like it."""
    if letter in _LOOKALIKE:
        return _LOOKALIKE[letter]
    return letter if letter.isalnum() or letter in " .,:;/+-='?%()" or unicodedata.category(letter) == "Mn" else " "


_LOOKALIKE = {"<": "(", ">": ")", "[": "(", "]": ")", "{": "(", "}": ")", "_": "-", "*": "+", "`": "'", '"': "'",
              "|": "/", "\\": "/", "@": " at ", "#": " no. ", "&": "+", "~": "-", "!": "."}  # fmt: skip


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
