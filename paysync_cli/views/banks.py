"""Banks: the list, one of them, a test call, what an action did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from paysync_cli.banks.registry import Adapter
from paysync_cli.language import _, mark, pgettext
from paysync_cli.services.bank_desk import BankReport, Tested
from paysync_cli.services.gate import Limits
from paysync_cli.views.base import ListView, View
from paysync_cli.views.breaker import breaker_fields
from paysync_cli.views.fitting import Choice, fitted_table
from paysync_cli.views.page import BAD, GOOD, NOTICE, Column, Page, Styled

WHY = {
    "adapter_broken": mark("adapter broken"),
    "credential_stopped": mark("credential stopped"),
    "paused": mark("paused"),
    "breaker_open": mark("does not answer"),
    "held": mark("asked us to wait"),
}


@dataclass(frozen=True)
class BanksView(ListView):
    """The configured banks, and beside them which adapters are installed."""

    reports: Sequence[BankReport]
    adapters: Sequence[Adapter]
    columns = ("name", "adapter", "environment", "state", "rate_per_s", "concurrency", "open", "due")

    def data(self) -> object:
        adapters = [{"name": one.name, "package": one.package, "error": one.error} for one in self.adapters]
        return {"items": [bank_fields(report) for report in self.reports], "adapters": adapters}

    def rows(self) -> Iterable[Mapping[str, object]]:
        for report in self.reports:
            fields = bank_fields(report)
            yield {key: fields[key] for key in self.columns}

    def human(self, page: Page) -> None:
        choices: list[Choice[BankReport]] = [
            Choice(Column(_("Bank")), lambda one: one.name),
            Choice(Column(_("State")), _state),
            Choice(Column(_("Open"), right=True), lambda one: one.open_qrs),
            Choice(Column(pgettext("how many", "Due"), right=True), lambda one: one.due),
            Choice(Column(_("Limits")), lambda one: limits_words(one.limits)),
            Choice(Column(_("Adapter")), lambda one: one.adapter, 2),
            Choice(Column(_("Environment")), lambda one: one.environment, 1),
        ]
        fitted_table(page, choices, self.reports, empty=_("no bank is configured"))
        for report in self.reports:
            if report.adapter_error is not None:
                page.line(Styled(f"{report.name}: {report.adapter_error}", BAD))
        used = {report.adapter for report in self.reports}
        for adapter in self.adapters:
            if adapter.error is not None and adapter.name not in used:
                page.line(Styled(adapter.error, NOTICE))


@dataclass(frozen=True)
class BankView(View):
    report: BankReport

    def data(self) -> object:
        return bank_fields(self.report)

    def human(self, page: Page) -> None:
        report, state = self.report, self.report.state
        pairs: list[tuple[str, object]] = [
            (_("Bank"), f"{report.name} ({report.adapter}, {report.environment})"),
            (_("Address"), report.base_url),
            (_("State"), _state(report)),
            (_("Limits"), limits_words(report.limits)),
            (_("Open QRs"), report.open_qrs),
            (_("Due now"), report.due),
            (_("Day lists read up to"), report.swept.day.isoformat() if report.swept.day else None),
            (_("Last sweep"), report.swept.at),
            (_("Last good sweep"), report.swept.ok_at),
            (_("Last sweep stopped by"), report.swept.error),
        ]
        if report.limits != report.settings_limits:
            pairs.insert(4, (_("Limits in the settings"), limits_words(report.settings_limits)))
        if report.breaker is not None:
            pairs.append((_("In flight"), report.breaker.in_flight))
            pairs.append((_("Failures in a row"), report.breaker.failures))
        if report.adapter_error is not None:
            pairs.append((_("Adapter"), Styled(report.adapter_error, BAD)))
        if state is not None and state.paused_at is not None:
            pairs += [(_("Paused by"), state.paused_by), (_("Paused until"), state.paused_until),
                      (_("Reason"), state.pause_reason)]  # fmt: skip
        if state is not None and state.stopped_at is not None:
            pairs += [(_("Stopped"), state.stopped_at), (_("Because"), state.stop_reason)]
        page.fields(pairs)
        if state is not None and state.stopped_at is not None:
            page.line(_("After the cause is mended: paysync bank unlock {bank} --reason …").format(bank=report.name))


@dataclass(frozen=True)
class TestedView(View):
    __test__ = False
    tested: Tested

    def data(self) -> object:
        one = self.tested
        return {"bank": one.bank, "outcome": one.outcome, "duration_ms": one.duration_ms, "error": one.error}

    def human(self, page: Page) -> None:
        if self.tested.error is None:
            text = _("{bank} answers, in {ms} ms").format(bank=self.tested.bank, ms=self.tested.duration_ms)
            page.line(Styled(text, GOOD))
        else:
            page.line(Styled(f"{self.tested.bank}: {self.tested.outcome}", BAD))


@dataclass(frozen=True)
class BanksChangedView(View):
    """Banks that were paused or resumed."""

    key: str
    names: Sequence[str]
    sentence: str
    nothing: str

    def data(self) -> object:
        return {self.key: list(self.names)}

    def human(self, page: Page) -> None:
        page.line(self.sentence.format(names=", ".join(self.names)) if self.names else self.nothing)


@dataclass(frozen=True)
class LimitsView(View):
    bank: str
    limits: Limits

    def data(self) -> object:
        return {"bank": self.bank, "rate_per_s": self.limits.rate_per_s, "concurrency": self.limits.concurrency}

    def human(self, page: Page) -> None:
        page.line(f"{self.bank}: {limits_words(self.limits)}")


def bank_fields(report: BankReport) -> dict[str, object]:
    """One bank for scripts."""
    state = report.state
    return {
        "name": report.name,
        "adapter": report.adapter,
        "adapter_error": report.adapter_error,
        "environment": report.environment,
        "base_url": report.base_url,
        "state": report.closed or "open",
        "rate_per_s": report.limits.rate_per_s,
        "concurrency": report.limits.concurrency,
        "settings_rate_per_s": report.settings_limits.rate_per_s,
        "settings_concurrency": report.settings_limits.concurrency,
        "open": report.open_qrs,
        "due": report.due,
        "paused_until": state.paused_until if state else None,
        "paused_by": state.paused_by if state else None,
        "pause_reason": state.pause_reason if state else None,
        "stopped_at": state.stopped_at if state else None,
        "stop_reason": state.stop_reason if state else None,
        "breaker": breaker_fields(report.breaker),
        "swept_day": report.swept.day.isoformat() if report.swept.day else None,
        "last_sweep": report.swept.at,
        "last_good_sweep": report.swept.ok_at,
        "sweep_error": report.swept.error,
    }


def _state(report: BankReport) -> Styled:
    if report.closed is None:
        return Styled(_("open"), GOOD)
    return Styled(_(WHY.get(report.closed, report.closed)), NOTICE if report.closed == "paused" else BAD)


def limits_words(limits: Limits) -> str:
    """The limits in words."""
    return _("{rate:g}/s, {n} at once").format(rate=limits.rate_per_s, n=limits.concurrency)
