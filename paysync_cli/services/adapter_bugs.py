"""What may be told of an error that is an adapter's own bug: its kind and its place.

Its words may hold what the adapter was given, and the credential is among that.
"""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

log = logging.getLogger("paysync.adapters")


def note_bug(bank: str, error: BaseException) -> str:
    """Log where the adapter failed; the same in a few words for the record."""
    frames = traceback.extract_tb(error.__traceback__)
    told = type(error).__name__
    if frames:
        told += f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}"
    stack = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    log.error(
        "the adapter of bank %s failed: %s",
        bank,
        told,
        extra={"event_name": "adapter_error", "bank": bank, "stack": stack},
    )
    return told
