"""How a long-running command logs: coloured text on a terminal, JSON lines elsewhere, one event a line."""

from __future__ import annotations

import logging
import logging.handlers
import signal
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

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


def start_logging(settings: Settings, *, colour: bool) -> None:
    """Send every log line of this process to standard error or PAYSYNC_LOG_FILE, which HUP reopens."""
    handler = _handler(settings)
    on_terminal = settings.log_file is None and sys.stderr.isatty()
    as_text = settings.log_format == "text" or (settings.log_format is None and on_terminal)
    handler.setFormatter(_formatter(as_text, colour and on_terminal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name, level in _LOUD.items():
        logging.getLogger(name).setLevel(level)


def _handler(settings: Settings) -> logging.Handler:
    if settings.log_file is None:
        return logging.StreamHandler(sys.stderr)
    try:
        handler = logging.handlers.WatchedFileHandler(settings.log_file, encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            _("The log file {path} cannot be written: {cause}.").format(path=settings.log_file, cause=error.strerror)
        ) from None
    signal.signal(signal.SIGHUP, lambda _number, _frame: handler.reopenIfNeeded())
    return handler


def _formatter(as_text: bool, colour: bool) -> logging.Formatter:
    import structlog

    before: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    if as_text:
        final: list[Any] = [_text_line(colour)]
    else:
        final = [_rename, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=_plain)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final]
    )


def _rename(_logger: Any, _method: str, fields: dict[str, Any]) -> dict[str, Any]:
    """JSON lines carry the event's stable name as `event` and the sentence as `message`."""
    message = fields.pop("event")
    return {"time": fields.pop("time"), "level": fields.pop("level"), "event": fields.pop("event_name", "log"),
            "message": message, **fields}  # fmt: skip


def _text_line(colour: bool) -> Any:
    shades = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31;1m"}

    def line(_logger: Any, _method: str, fields: dict[str, Any]) -> str:
        from paysync_cli.views.text import plain

        moment = fields["time"][:19].replace("T", " ")
        level = fields["level"]
        text = plain(str(fields["event"]))
        shade = shades.get(level, "") if colour else ""
        trouble = fields.get("exc_info")
        trace = f"\n{_trace(trouble)}" if trouble else ""
        return f"{moment}Z {shade}{level:<7} {text}{chr(27) + '[0m' if shade else ''}{trace}"

    return line


def _trace(trouble: Any) -> str:
    return logging.Formatter().formatException(trouble)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
