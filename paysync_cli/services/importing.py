"""Importing a file of QRs: look at every line, then write the good ones, a thousand in a transaction.

Memory does not grow with the file: what was judged good waits in a temporary file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from paysync_cli.errors import Fault, InputError
from paysync_cli.language import _
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.services.good_lines import GoodLines
from paysync_cli.services.register import CHUNK, EnqueueReport, Item, Outcome, Request, Wish, enqueue, preview
from paysync_cli.services.request_lines import Line, Source, read_lines
from paysync_cli.services.requests import BankDefaults, parse_request, read_qr_id, shown
from paysync_cli.store.database import Database
from paysync_cli.store.seen import SeenQrs

KEPT = 1_000  # bad lines, and items worth telling, that a report carries; all are counted

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Target:
    """A bank that lines may name: what they leave to it, its environment and rhythm."""

    bank: BankDefaults
    environment: str
    rhythm: Rhythm


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is refused, with everything that is wrong about it."""

    number: int
    qr_id: str | None
    faults: tuple[Fault, ...]

    @property
    def sentence(self) -> str:
        return _("line {n}: {faults}").format(n=self.number, faults=" ".join(fault.message for fault in self.faults))


@dataclass(frozen=True, slots=True)
class NumberedItem:
    """An outcome and the line it belongs to."""

    line: int
    bank: str
    item: Item


@dataclass(slots=True)
class Tally:
    """What was found and done so far; `done` counts the lines of chunks that are written.

    `bad_lines`, `conflicts` and `others` (neither created nor conflict) hold the first KEPT of each.
    """

    lines: int = 0
    done: int = 0
    invalid: int = 0
    bad_lines: tuple[BadLine, ...] = ()
    counts: Counter[Outcome] = field(default_factory=Counter)
    conflicts: list[NumberedItem] = field(default_factory=list)
    others: list[NumberedItem] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        return self.counts[outcome]

    @property
    def items(self) -> list[NumberedItem]:
        """The first KEPT that are not `created`, by line; conflicts are never crowded out by the others."""
        some = [*self.conflicts, *self.others][:KEPT]
        return sorted(some, key=lambda one: one.line)

    @property
    def items_cut(self) -> int:
        """How many items worth telling did not fit."""
        return self.counts.total() - self.count(Outcome.CREATED) - len(self.items)


class Writer(Protocol):
    """Takes the requests of one bank in one transaction; or only looks."""

    def __call__(self, requests: list[Request], target: Target) -> EnqueueReport: ...


class Import:
    """One file on its way in. `targets` are the banks by name, `default` the bank of lines that name none."""

    def __init__(self, source: Source, targets: Mapping[str, Target], default: str | None, now: datetime) -> None:
        self._source = source
        self._targets = targets
        self._default = default
        self.now = now
        self._stamp = source.stamp()
        self._good = GoodLines()
        self.tally = Tally()

    def close(self) -> None:
        """Drop what was judged."""
        self._good.close()

    def examine(self, advance: Advance) -> Tally:
        """Judge every line; nothing is written. Raises InputError when the file cannot be read at all."""
        bad: list[BadLine] = []
        with SeenQrs() as seen:
            for line in read_lines(self._source):
                judged = self._judge(line, seen)
                self.tally.lines += 1
                if not isinstance(judged, BadLine):
                    self._good.add(line.number, *judged)
                else:
                    self.tally.invalid += 1
                    if len(bad) < KEPT:
                        bad.append(judged)
                if self.tally.lines % CHUNK == 0:
                    advance(CHUNK)
        self.tally.bad_lines = tuple(bad)
        return self.tally

    def write(self, store: Database, wish: Wish, advance: Advance) -> Tally:
        """The good lines go in, chunk by chunk.

        Raises InputError when the file changed since it was looked at; chunks already written stay.
        """

        def into_store(requests: list[Request], target: Target) -> EnqueueReport:
            report = enqueue(
                store,
                requests,
                bank=target.bank.name,
                environment=target.environment,
                rhythm=target.rhythm,
                now=self.now,
                wish=wish,
            )
            self.tally.done += len(requests)
            return report

        return self._take_in(into_store, advance)

    def preview(self, store: Database | None, wish: Wish, advance: Advance) -> Tally:
        """What `write` would do now, writing nothing; without a database every good line would be created."""

        def only_look(requests: list[Request], target: Target) -> EnqueueReport:
            return preview(
                store,
                requests,
                bank=target.bank.name,
                environment=target.environment,
                rhythm=target.rhythm,
                now=self.now,
                wish=wish,
            )

        return self._take_in(only_look, advance)

    def _take_in(self, writer: Writer, advance: Advance) -> Tally:
        self._refuse_if_changed()
        chunk: list[tuple[int, str, Request]] = []
        for one in self._good:
            chunk.append(one)
            if len(chunk) == CHUNK:
                self._take_chunk(chunk, writer)
                advance(len(chunk))
                chunk = []
        self._take_chunk(chunk, writer)
        advance(len(chunk) + self.tally.invalid)
        return self.tally

    def _take_chunk(self, chunk: list[tuple[int, str, Request]], writer: Writer) -> None:
        self._refuse_if_changed()
        of_bank: dict[str, list[tuple[int, Request]]] = defaultdict(list)
        for number, bank, request in chunk:
            of_bank[bank].append((number, request))
        for bank, numbered in of_bank.items():
            report = writer([request for _number, request in numbered], self._targets[bank])
            self._count(bank, [number for number, _request in numbered], report)

    def _count(self, bank: str, numbers: list[int], report: EnqueueReport) -> None:
        for number, item in zip(numbers, report.items, strict=True):
            self.tally.counts[item.outcome] += 1
            if item.outcome is not Outcome.CREATED:
                kept = self.tally.conflicts if item.outcome is Outcome.CONFLICT else self.tally.others
                if len(kept) < KEPT:
                    kept.append(NumberedItem(number, bank, item))

    def _judge(self, line: Line, seen: SeenQrs) -> BadLine | tuple[str, Request]:
        if line.fault is not None:
            return BadLine(line.number, None, (line.fault,))
        fields = line.fields
        qr_id = fields.get("qr_id")
        faults: list[Fault] = []
        bank = fields.pop("bank", self._default)
        target = self._targets.get(bank.strip()) if bank is not None else None
        if target is None:
            faults.append(self._no_bank(bank))
        elif qr_id is not None and (first := _first_line(seen, target, qr_id, line.number)) != line.number:
            sentence = _("QR id {qr} is already on line {first}.").format(qr=shown(qr_id), first=first)
            faults.append(Fault("duplicate_qr_id", sentence))
        request = None
        try:
            request = parse_request(fields, (target or self._any_target()).bank, self.now)
        except InputError as error:
            faults += error.faults
        if faults or target is None or request is None:
            return BadLine(line.number, qr_id, tuple(faults))
        return target.bank.name, request

    def _any_target(self) -> Target:
        """For a line whose bank is unknown: its other fields are looked at all the same."""
        return next(iter(self._targets.values()))

    def _no_bank(self, named: str | None) -> Fault:
        known = ", ".join(sorted(self._targets))
        if named is None:
            return Fault(
                "bank_needed",
                _("it names no bank and there are several ({known}): add the column bank, or --bank.").format(
                    known=known
                ),
            )
        return Fault(
            "unknown_bank", _("no bank is called {name}; there are: {known}.").format(name=shown(named), known=known)
        )

    def _refuse_if_changed(self) -> None:
        if self._source.stamp() != self._stamp:
            raise InputError(
                _("{name} changed while it was read; {n} lines had gone in.").format(
                    name=self._source.name, n=self.tally.done
                ),
                hint=_("Run the import again when nobody writes to the file: what is known stays as it is."),
                code="file_changed",
            )


def _first_line(seen: SeenQrs, target: Target, qr_id: str, number: int) -> int:
    try:
        return seen.first_line(target.bank.name, read_qr_id(qr_id), number)
    except ValueError:  # the id is refused anyway, by its own sentence
        return number
