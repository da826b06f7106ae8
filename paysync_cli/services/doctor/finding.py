"""One line of the doctor's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is; the words are in JSON."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """`area` and `code` are stable and English; `text` is one sentence, `mend` the command or act that helps."""

    area: str
    code: str
    level: Level
    text: str
    mend: str | None = None


def ok(area: str, code: str, text: str) -> Finding:
    return Finding(area, code, Level.OK, text)


def warning(area: str, code: str, text: str, mend: str) -> Finding:
    return Finding(area, code, Level.WARNING, text, mend)


def fault(area: str, code: str, text: str, mend: str) -> Finding:
    return Finding(area, code, Level.FAULT, text, mend)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level there is; ok when there is nothing."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.FAULT, Level.WARNING) if level in levels), Level.OK)
