"""Why a person does something: with --reason, or asked on a terminal. It goes to the audit for ever."""

from __future__ import annotations

from paysync_cli.cli import streams
from paysync_cli.cli.session import Session
from paysync_cli.errors import RefusedError, UsageError
from paysync_cli.language import _

MAX_CHARS = 500


def required_reason(session: Session, said: str | None) -> str:
    """The reason. Raises UsageError (nobody can be asked, empty, too long), RefusedError (asked, and none given)."""
    if said is not None:
        return checked_reason(said)
    if session.options.no_input or not streams.can_ask():
        raise UsageError(_("--reason is missing: say why, it goes to the audit."))
    streams.write_err(_("Why? "))
    answer = streams.read_line()
    if not answer.strip():
        raise RefusedError(_("Nothing was changed: it needs a reason."), code="declined")
    return checked_reason(answer)


def checked_reason(said: str) -> str:
    """The reason without outer spaces. Raises UsageError when it is empty or too long to be read."""
    reason = said.strip()
    if not reason:
        raise UsageError(_("--reason is empty: say why, it goes to the audit."))
    if len(reason) > MAX_CHARS:
        raise UsageError(
            _("--reason has {n} characters; at most {most} are kept.").format(n=len(reason), most=MAX_CHARS)
        )
    return reason
