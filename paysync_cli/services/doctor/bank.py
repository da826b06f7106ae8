"""A bank: may it be asked, does its line answer, is there a token, how long do the certificates last?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paysync_cli.banks.inspection import LineFacts
from paysync_cli.errors import Fault
from paysync_cli.language import _
from paysync_cli.queue.gate import BreakerSeen
from paysync_cli.services.doctor.finding import Finding, fault, ok, warning
from paysync_cli.store.banks import BankState

SOON = timedelta(days=21)


@dataclass(frozen=True, slots=True)
class DeskFacts:
    """What is known here of a bank. `breaker` is None when Redis was not at hand, and then nothing is known of the
    token either; else `token_s` is how long it is still good, None when there is none.
    """

    bank: str
    now: datetime
    adapter_faults: Sequence[Fault] = ()
    state: BankState | None = None
    breaker: BreakerSeen | None = None
    token_s: float | None = None


def area(bank: str) -> str:
    return f"bank {bank}"


def no_bank() -> Finding:
    text = _("No bank is configured: nothing can be checked.")
    return fault("banks", "no_bank", text, _("A [banks.NAME] block in paysync.toml; to try it: paysync bank simulate"))


def judge_line(bank: str, facts: LineFacts, now: datetime) -> list[Finding]:
    """What the line says."""
    words = {"bank": bank, "place": facts.place, "cause": facts.cause.rstrip(".")}
    found: list[Finding] = []
    match facts.trouble:
        case None:
            found.append(ok(area(bank), "reachable", _("{bank} can be reached at {place}.").format(**words)))
        case "certificate":
            text = _("The certificate of {bank} at {place} is not accepted: {cause}.").format(**words)
            mend = _("Tell the bank; if it has a certificate authority of its own, set ca_bundle in [banks.{bank}]")
            found.append(fault(area(bank), "certificate_refused", text, mend.format(**words)))
        case "refused_tls":
            text = _("The TLS line to {bank} at {place} cannot be set up: {cause}.").format(**words)
            mend = _("Check client_cert, client_key and ca_bundle in [banks.{bank}]: paysync config check")
            found.append(fault(area(bank), "tls_refused", text, mend.format(**words)))
        case _:
            text = _("{bank} cannot be reached at {place}: {cause}.").format(**words)
            mend = _("Check the network and base_url in [banks.{bank}]; then: paysync bank test {bank}")
            found.append(fault(area(bank), "unreachable", text, mend.format(**words)))
    theirs, ours = (
        _("The certificate of {bank}").format(**words),
        _("Our client certificate for {bank}").format(**words),
    )
    found += _ending("certificate", theirs, facts.ends_at, now, bank, _("Ask the bank to renew it."))
    renew = _("Get a new one from the bank and set client_cert in [banks.{bank}]").format(**words)
    found += _ending("client_certificate", ours, facts.ours_end_at, now, bank, renew)
    return found


def _ending(code: str, what: str, ends_at: datetime | None, now: datetime, bank: str, mend: str) -> Iterator[Finding]:
    if ends_at is None:
        return
    left = ends_at - now
    words = {"what": what, "n": max(0, left.days), "day": f"{ends_at:%Y-%m-%d}"}
    if left <= timedelta(0):
        yield fault(area(bank), f"{code}_expired", _("{what} ended on {day}.").format(**words), mend)
    elif left < SOON:
        text = _("{what} ends in {n} days, on {day}.").format(**words)
        yield warning(area(bank), f"{code}_expiring", text, mend)
    else:
        yield ok(area(bank), code, _("{what} is good until {day}.").format(**words))


def judge_desk(facts: DeskFacts) -> list[Finding]:
    """What we know of it ourselves."""
    return [*_adapter(facts), *_closed(facts), *_breaker(facts), *_token(facts)]


def _adapter(facts: DeskFacts) -> Iterator[Finding]:
    for one in facts.adapter_faults:
        yield fault(area(facts.bank), "adapter_broken", one.message, one.hint or "paysync config check")


def _closed(facts: DeskFacts) -> Iterator[Finding]:
    state = facts.state
    if state is None:
        return
    words = {"bank": facts.bank, "reason": (state.stop_reason or "?").rstrip("."), "who": state.paused_by or "?"}
    if state.stopped_at is not None:
        text = _("{bank} refused our credential and nobody logs in any more: {reason}.").format(**words)
        yield fault(area(facts.bank), "credential_stopped", text, f"paysync bank unlock {facts.bank} --reason '...'")
    if state.paused(facts.now):
        yield warning(
            area(facts.bank), "paused", _("{bank} was paused by {who}.").format(**words), f"paysync resume {facts.bank}"
        )


def _breaker(facts: DeskFacts) -> Iterator[Finding]:
    breaker = facts.breaker
    if breaker is None or breaker.state == "closed":
        return
    if breaker.state == "held":
        text = _("{bank} asked us to wait.").format(bank=facts.bank)
    else:
        text = _("{bank} failed {n} times in a row; only a probe is sent now and then.").format(
            bank=facts.bank, n=breaker.failures
        )
    yield warning(area(facts.bank), "breaker_open", text, f"paysync bank test {facts.bank}")


def _token(facts: DeskFacts) -> Iterator[Finding]:
    if facts.breaker is None:
        return
    if facts.token_s is None:
        text = _("There is no token of {bank}; the next check logs in.").format(bank=facts.bank)
        yield ok(area(facts.bank), "no_token", text)
    else:
        text = _("The token of {bank} is good for {n:.0f} more minutes.").format(bank=facts.bank, n=facts.token_s / 60)
        yield ok(area(facts.bank), "token", text)
