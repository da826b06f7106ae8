"""One day of the bank against our books: `paysync reconcile`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.payments.money import to_text
from paysync_cli.payments.qr import Movement
from paysync_cli.services.reconcile import DayReconciled, Difference, Kind, ReconcileReport
from paysync_cli.views.base import ListView
from paysync_cli.views.page import BAD, GOOD, NOTICE, Cell, Column, Page, Styled


@dataclass(frozen=True)
class ReconcileView(ListView):
    """Counts, and every payment that the two sides do not tell alike; after a fix, what is left."""

    report: ReconcileReport
    fixed: bool
    columns = (
        "kind", "bank", "environment", "day", "qr_id", "bank_transaction_id", "amount", "currency", "booked_amount",
        "booked_currency", "paid_at", "payer", "status", "problem", "review_id", "review_state",
    )  # fmt: skip

    def data(self) -> object:
        days = self.report.days
        compared = [one for one in days if one.lists]
        return {
            "matched": sum(one.matched for one in days),
            **{kind.value: sum(one.count(kind) for one in days) for kind in Kind},
            "complete": bool(compared) and all(one.complete for one in compared),
            "matched_totals": _totals(days),
            "fixed": self.fixed,
            "booked": sum(one.booked for one in days),
            "reviews_opened": sum(one.opened for one in days),
            "items": list(self.rows()),
            "banks": [_bank(one) for one in days],
        }

    def rows(self) -> Iterator[Mapping[str, object]]:
        for day in self.report.days:
            for one in day.differences:
                yield _fields(day, one)

    def human(self, page: Page) -> None:
        for day in self.report.days:
            page.heading(_("{bank}, {day}").format(bank=day.bank, day=day.day.isoformat()))
            for text, style in _summary(day, fixed=self.fixed):
                page.line(Styled(text, style))
            if day.differences:
                page.table(_heads(), (_cells(one) for one in day.differences), empty="")


def _bank(day: DayReconciled) -> dict[str, object]:
    return {
        "bank": day.bank,
        "environment": day.environment,
        "day": day.day,
        "lists": day.lists,
        "complete": day.complete,
        "whole": day.whole,
        "matched": day.matched,
        **{kind.value: day.count(kind) for kind in Kind},
        "matched_totals": _totals([day]),
        "foreign_qrs": "count" if day.foreign else "review",
        "booked": day.booked,
        "reviews_opened": day.opened,
        "error": day.error,
    }


def _totals(days: Iterable[DayReconciled]) -> dict[str, str]:
    sums: dict[str, int] = defaultdict(int)
    for day in days:
        for currency, amount in day.totals.items():
            sums[currency] += amount
    return {currency: to_text(amount, currency) for currency, amount in sorted(sums.items())}


def _fields(day: DayReconciled, one: Difference) -> dict[str, object]:
    listed, booked = one.listed, one.booked
    told = listed or booked
    return {
        "kind": one.kind,
        "bank": day.bank,
        "environment": day.environment,
        "day": day.day,
        "qr_id": one.qr_id,
        "bank_transaction_id": one.transaction or None,
        "amount": _amount(listed),
        "currency": listed.currency if listed is not None else None,
        "booked_amount": _amount(booked),
        "booked_currency": booked.currency if booked is not None else None,
        "paid_at": told.paid_at if told is not None else None,
        "payer": told.payer if told is not None else None,
        "status": one.status,
        "problem": one.problem,
        "review_id": one.review.id if one.review is not None else None,
        "review_state": one.review.state if one.review is not None else None,
    }


def _summary(day: DayReconciled, *, fixed: bool) -> Iterator[tuple[str, str]]:
    """The day in lines, each with its style."""
    if not day.lists:
        yield _("This bank has no list by payment day: nothing to compare with."), NOTICE
        return
    if day.error is not None:
        yield _("Nothing could be compared: {why}").format(why=day.error), BAD
        return
    if fixed:
        yield _("{booked} booked, {opened} reviews opened.").format(booked=day.booked, opened=day.opened), ""
    sums = ", ".join(f"{amount} {currency}" for currency, amount in _totals([day]).items())
    matched = ngettext("{n} payment on both sides", "{n} payments on both sides", day.matched).format(n=day.matched)
    yield (f"{matched} ({sums})." if sums else f"{matched}."), ""
    if day.differences:
        yield difference_words(day), BAD if day.differs else NOTICE
    else:
        yield _("No difference."), GOOD
    if not day.whole:
        yield _("A page of the list did not come: what is only here could not be judged."), BAD
    elif not day.complete:
        yield _("The day is not over at the bank: its list may still grow."), NOTICE


def difference_words(day: DayReconciled) -> str:
    """`2 not booked here, 1 of an unknown QR`."""
    words = {
        Kind.MISSING_HERE: _("{n} not booked here"),
        Kind.MISSING_THERE: _("{n} only here"),
        Kind.DIFFERING: _("{n} with another amount or currency"),
        Kind.UNKNOWN: _("{n} of unknown QRs"),
        Kind.UNREADABLE: _("{n} unreadable"),
    }
    return ", ".join(text.format(n=day.count(kind)) for kind, text in words.items() if day.count(kind))


def _heads() -> list[Column | str]:
    return [_("Kind"), _("QR"), _("Bank transaction"), Column(_("Bank says"), right=True),
            Column(_("Booked"), right=True), _("Paid"), _("Status"), _("Review")]  # fmt: skip


def _cells(one: Difference) -> tuple[Cell, ...]:
    told = one.listed or one.booked
    review = one.review
    return (
        one.kind.value,
        one.qr_id or None,
        one.transaction or one.problem,
        _money(one.listed) if one.problem is None else one.problem,
        _money(one.booked),
        told.paid_at if told is not None else None,
        one.status.value if one.status is not None else None,
        f"{review.id} ({review.state})" if review is not None else None,
    )


def _money(movement: Movement | None) -> str | None:
    return None if movement is None else f"{_amount(movement)} {movement.currency}"


def _amount(movement: Movement | None) -> str | None:
    return None if movement is None else to_text(movement.amount, movement.currency)
