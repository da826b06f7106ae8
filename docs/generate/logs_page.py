"""docs/logs.md, from the catalogue of the log's events."""

from __future__ import annotations

from docs.generate.metrics_page import codes
from paysync_cli.cli.log_events import EVENTS, FIELDS, OF_EVERY_LINE

_LOGS = """\
# Logs

`paysync worker`, `dispatch` and `serve` log what they do, one event a line: as JSON, or as coloured text on a terminal
(`PAYSYNC_LOG_FORMAT`), to standard error or to `PAYSYNC_LOG_FILE`, from `PAYSYNC_LOG_LEVEL` up. The names and fields on
this page are frozen; the page is written from the code. Commands that end by themselves log nothing: their report, the
books and the audit say what they did.

A QR's story at the level `info`, as a terminal shows it:

    2026-11-25 12:00:00Z info    QR-17: added
    2026-11-25 12:00:00Z info    QR-17: check added to the high queue
    2026-11-25 12:00:00Z info    QR-17: checking, attempt 1/3
    2026-11-25 12:00:00Z info    QR-17: succeeded, the bank says unpaid
    2026-11-25 12:00:00Z info    QR-17: next check in 2 minutes (pending, high priority, 1 of 20 checks used)

(*Added* is said by whoever registers it: `serve`, or an application's own log.) The same as JSON, found again:

    grep '"qr_id": "QR-17"' paysync.log | jq -r '.time + " " + .message'
    jq -c 'select(.event == "transition")' paysync.log

- **What is in the books is logged once, after its commit**: status changes, payments, reviews, the outcome of a check.
  A group that is written again after a lost connection, or a second worker with the same job, logs nothing twice; a
  commit whose answer was lost is looked up and told. A crash between the commit and the log, the time of one group, is
  the only way to lose a line: the books have it (`paysync show`).
- Registrations and decisions of people are logged by the process that makes them, if it logs: the status changes of
  `paysync review resolve` are in no worker's log.
- Other lines are written within 0.05 s, warnings at once. A worker that is killed may lose those.
- A payment not made yet is no warning. `warning`: it mends itself or waits for a person; `error`: somebody should look
  today.
- No line holds a secret of the settings. Text from outside cannot steer a terminal: JSON lines are plain ASCII, text
  lines show control characters as `\\x1b`.
- `HUP` opens the file again, in each of `--processes` too; logrotate needs no `copytruncate`.
- `info` costs a worker about an eighth of its throughput, four lines a check; `warning` costs nothing.
"""

_EVENT_PARTS = {
    "qr_registered": "The story of a QR",
    "worker_registered": "The worker",
    "leader": "The leader",
    "logged_in": "Banks",
    "database_unavailable": "Database and Redis",
    "alert_delivered": "Alerts",
    "notice": "`serve`",
}


def page() -> str:
    """The whole page."""
    lines = [_LOGS]
    for event in EVENTS:
        if event.name in _EVENT_PARTS:
            lines += ["", f"## {_EVENT_PARTS[event.name]}", "", "| event | level | fields | meaning |"]
            lines.append("| --- | --- | --- | --- |")
        lines.append(f"| `{event.name}` | {event.levels} | {codes(event.fields)} | {event.meaning} |")
    for title, fields in (("Fields of every line", OF_EVERY_LINE), ("Other fields", FIELDS)):
        lines += ["", f"## {title}", "", "| field | says |", "| --- | --- |"]
        lines += [f"| `{name}` | {text} |" for name, text in fields.items()]
    return "\n".join(lines) + "\n"
