"""How a long-running command logs: coloured text on a terminal, JSON lines elsewhere, one event a line."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any

from paysync_cli.cli.log_lines import File, Lines, Stream
from paysync_cli.errors import SettingsError
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.settings import Settings

# RQ logs each of its own steps; ours tell the same story once.
_LOUD = {
    "rq": logging.WARNING,
    "rq.worker": logging.WARNING,
    "rq.job": logging.WARNING,
    "httpx": logging.WARNING,
    "alembic": logging.WARNING,
}
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "event_name"}
_SHADES = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31;1m"}

Fields = dict[str, Any]

_context: Fields = {}


def start_logging(settings: Settings, *, colour: bool) -> None:
    """Send every log line of this process to standard error or PAYSYNC_LOG_FILE, which HUP reopens."""
    on_terminal = settings.log_file is None and sys.stderr.isatty()
    as_text = settings.log_format == "text" or (settings.log_format is None and on_terminal)
    handler = _handler(settings, at_once=on_terminal)
    handler.setFormatter(_formatter(_text_line(colour and on_terminal) if as_text else _json_line, settings))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name, level in _LOUD.items():
        logging.getLogger(name).setLevel(level)
    # Who called, and on which thread, is in no line of ours; to find out costs as much as the line itself.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def log_with(**fields: object) -> None:
    """Put these fields into every line from now on."""
    _context.update(fields)


def _handler(settings: Settings, *, at_once: bool) -> logging.Handler:
    if settings.log_file is None:
        return Lines(Stream(sys.stderr.fileno()), at_once=at_once)
    try:
        file = File(settings.log_file)
    except OSError as error:
        raise SettingsError(
            _("The log file {path} cannot be written: {cause}.").format(path=settings.log_file, cause=error.strerror)
        ) from None
    signal.signal(signal.SIGHUP, lambda _number, _frame: file.reopen_soon())
    return Lines(file, at_once=at_once)


def _formatter(line: Callable[[Fields], str], settings: Settings) -> logging.Formatter:
    """structlog's way from a record to a line, with one step of ours: it runs four times for every check."""
    import structlog

    clean = _Cleaner(settings.secret_texts)

    def rendered(_logger: Any, _method: str, event: Any) -> str:
        record: logging.LogRecord = event["_record"]
        return clean(_fields(record, event["event"], event.get("exc_info")), line)

    return structlog.stdlib.ProcessorFormatter(processors=[rendered])


def _fields(record: logging.LogRecord, message: str, trouble: Any) -> Fields:
    """The line's fields: when, how grave, the event's stable name, the sentence, then what the event is about."""
    known = record.__dict__
    fields: Fields = {
        "time": _moment(record.created),
        "level": record.levelname.lower(),
        "event": known.get("event_name") or "log",
        "message": message,
        **_context,
    }
    for name, value in known.items():
        if name not in _OF_EVERY_RECORD:
            fields[name] = value
    if "event_name" not in known:
        fields["logger"] = record.name  # another library's line
    if trouble:
        fields["exception"] = _TRACES.formatException(trouble)
    return fields


_TRACES = logging.Formatter()
_second: tuple[int, str] = (-1, "")


def _moment(at: float) -> str:
    """In UTC, to the microsecond; the date is put together once a second."""
    global _second  # noqa: PLW0603 - a cache, replaced whole
    whole = int(at)
    kept, text = _second
    if kept != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(whole))
        _second = (whole, text)
    return f"{text}{int((at - whole) * 1_000_000):06d}Z"


class _Cleaner:
    """Renders lines and keeps the settings' secrets and the credentials of URLs out of them."""

    def __init__(self, secrets: Collection[str]) -> None:
        self._secrets = secrets
        # As they are and as JSON spells them: what is looked for is a piece of the finished line.
        self._signs = tuple({form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])} | {"://"})

    def __call__(self, fields: Fields, line: Callable[[Fields], str]) -> str:
        text = line(fields)
        for sign in self._signs:
            if sign in text:
                return line({name: self._clean(value) for name, value in fields.items()})
        return text

    def _clean(self, value: object) -> object:
        from paysync_cli.settings.masking import redact

        if isinstance(value, list | tuple):
            return [self._clean(one) for one in value]
        if value is None or isinstance(value, int | float | datetime):
            return value
        return redact(str(value), self._secrets)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


# ASCII only, so that no escape sequence, however it is spelled, reaches a terminal that shows the file.
_json_line = json.JSONEncoder(default=_plain).encode


def _text_line(colour: bool) -> Callable[[Fields], str]:
    def line(fields: Fields) -> str:
        from paysync_cli.views.text import plain

        level = fields["level"]
        shade = _SHADES.get(level, "") if colour else ""
        moment = fields["time"][:19].replace("T", " ")
        trace = fields.get("exception")
        told = [f"{moment}Z {shade}{level:<7} {plain(fields['message'])}{chr(27) + '[0m' if shade else ''}"]
        return "\n".join([*told, *(f"  {plain(text)}" for text in trace.splitlines())] if trace else told)

    return line
