"""How one QR whole looks: `paysync show`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from paysync_cli.language import _, pgettext
from paysync_cli.payments.money import to_text
from paysync_cli.services.inspect import QrReport
from paysync_cli.store.history import ANSWERED
from paysync_cli.views.base import View
from paysync_cli.views.listing import amount_text
from paysync_cli.views.page import BAD, NOTICE, QUIET, Cell, Column, Page, Styled, status_cell


@dataclass(frozen=True)
class QrView(View):
    """Fields, plan, job, checks, movements, reviews, transitions, actions."""

    report: QrReport

    def data(self) -> object:
        qr, story = self.report.qr, self.report.story
        return {
            "qr_id": qr.qr_id,
            "bank": qr.bank,
            "environment": qr.environment,
            "status": qr.status,
            "amount": amount_text(qr.amount, qr.currency),
            "currency": qr.currency,
            "paid": to_text(self.report.paid, qr.currency),
            "account": qr.account,
            "multi_use": qr.multi_use,
            "due_at": qr.due_at,
            "issued_at": qr.issued_at,
            "registered_at": qr.registered_at,
            "notified_at": qr.notified_at,
            "plan": {
                "state": qr.plan.state,
                "next_check_at": qr.plan.next_check_at,
                "checks": qr.plan.checks,
                "max_checks": qr.plan.max_checks,
                "attempts": qr.plan.attempts,
                "priority": qr.plan.priority,
            },
            "checks": _picked(story.checks, _CHECK_KEYS),
            "movements": [_movement(row) for row in story.movements],
            "reviews": [
                _picked_one(row, _REVIEW_KEYS) | {"detail": json.loads(row["detail"])} for row in story.reviews
            ],
            "transitions": _picked(story.transitions, ("at", "old", "new", "cause")),
            "actions": [
                _picked_one(row, _ACTION_KEYS) | {"detail": json.loads(row["detail"])} for row in story.actions
            ],
            "job": self._job(),
        }

    def human(self, page: Page) -> None:
        page.fields(self._facts())
        for title, show in (
            (_("Checks"), self._checks),
            (_("Movements"), self._movements),
            (_("Reviews"), self._reviews),
            (_("Transitions"), self._transitions),
            (_("Actions"), self._actions),
        ):
            page.heading(title)
            show(page)

    def _facts(self) -> Iterator[tuple[str, Cell]]:
        qr, plan = self.report.qr, self.report.qr.plan
        amount = amount_text(qr.amount, qr.currency)
        yield _("QR"), qr.qr_id
        yield _("bank"), f"{qr.bank} ({qr.environment})"
        yield _("status"), status_cell(qr.status.value)
        yield _("amount"), _("any") if amount is None else f"{amount} {qr.currency}"
        yield _("paid"), f"{to_text(self.report.paid, qr.currency)} {qr.currency}"
        yield _("account"), qr.account
        if qr.multi_use:
            yield _("use"), _("many payments")
        yield _("issued"), qr.issued_at
        yield _("registered"), qr.registered_at
        yield _("due"), qr.due_at
        if qr.notified_at is not None:
            yield _("notice of the bank"), qr.notified_at
        yield _("plan"), status_cell(plan.state.value)
        yield _("next check"), plan.next_check_at
        yield _("checks"), _("{n} of {most}").format(n=plan.checks, most=plan.max_checks)
        if plan.attempts:
            yield _("failed attempts"), Styled(plan.attempts, NOTICE)
        if self.report.job is not None:
            yield _("job"), f"{self.report.job.id} ({self.report.job.state or '?'}, {self.report.job.queue or '?'})"

    def _job(self) -> Mapping[str, object] | None:
        job = self.report.job
        return None if job is None else {field.name: getattr(job, field.name) for field in fields(job)}

    def _checks(self, page: Page) -> None:
        page.table(
            [Column(_("Seq"), right=True), _("When"), _("Outcome"), Column(_("ms"), right=True), _("Answer")],
            ((row["seq"], row["at"], _outcome(row["outcome"]), row["duration_ms"], _detail(row))
             for row in self.report.story.checks),
            empty=_("not asked yet"),
        )  # fmt: skip

    def _movements(self, page: Page) -> None:
        page.table(
            [_("Bank transaction"), Column(_("Amount"), right=True), _("Paid"), _("Payer"), _("From")],
            ((row["bank_transaction_id"], f"{to_text(row['amount_minor'], row['currency'])} {row['currency']}",
              row["paid_at"], row["payer"], row["source"]) for row in self.report.story.movements),
            empty=_("nothing booked"),
        )  # fmt: skip

    def _reviews(self, page: Page) -> None:
        page.table(
            [Column(_("Id"), right=True), _("Reason"), _("State"), _("Opened"), _("Resolution")],
            ((row["id"], row["reason"], _review_state(row["state"]), row["opened_at"], row["resolution"])
             for row in self.report.story.reviews),
            empty=pgettext("reviews, transitions, actions", "none"),
        )  # fmt: skip

    def _transitions(self, page: Page) -> None:
        page.table(
            [_("When"), pgettext("status", "From"), pgettext("status", "To"), _("Cause")],
            ((row["at"], row["old"], status_cell(row["new"]), row["cause"]) for row in self.report.story.transitions),
            empty=pgettext("reviews, transitions, actions", "none"),
        )

    def _actions(self, page: Page) -> None:
        page.table(
            [_("When"), _("Who"), _("Action"), _("Reason")],
            ((row["at"], row["who"], row["action"], row["reason"]) for row in self.report.story.actions),
            empty=pgettext("reviews, transitions, actions", "none"),
        )


_CHECK_KEYS = ("seq", "attempt", "at", "outcome", "bank_status", "duration_ms", "error")
_REVIEW_KEYS = ("id", "reason", "state", "opened_at", "resolved_at", "resolved_by", "resolution", "resolution_reason")
_ACTION_KEYS = ("at", "who", "action", "reason")


def _picked(rows: list[Mapping[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    return [_picked_one(row, keys) for row in rows]


def _picked_one(row: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: row[key] for key in keys}


def _movement(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bank_transaction_id": row["bank_transaction_id"],
        "amount": to_text(row["amount_minor"], row["currency"]),
        **_picked_one(row, ("currency", "paid_at", "payer", "account", "booked_at", "source")),
    }


def _outcome(word: str) -> Cell:
    return word if word in ANSWERED else Styled(word, BAD)


def _detail(check: Mapping[str, Any]) -> str | None:
    """What the bank said or why there is no answer; a repeated attempt says which it was."""
    said: str | None = check["error"] or check["bank_status"]
    if check["attempt"] == 1:
        return said
    return _("attempt {n}: {said}").format(n=check["attempt"], said=said or "-")


def _review_state(word: str) -> Styled:
    return Styled(word, NOTICE if word == "open" else QUIET)
