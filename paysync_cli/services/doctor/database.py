"""The database: is it there, is it ours, does it take writes, has its disk room?"""

from __future__ import annotations

from collections.abc import Iterator

from paysync_cli.language import _
from paysync_cli.services.doctor.finding import Finding, fault, ok, warning
from paysync_cli.store.inspection import DatabaseFacts

AREA = "database"
MIB = 1024 * 1024
LITTLE_BYTES, HARDLY_ANY_BYTES = 1024 * MIB, 100 * MIB


def judge(facts: DatabaseFacts) -> list[Finding]:
    """Everything that can be said of this database; one line when it cannot be opened."""
    if facts.trouble == "missing":
        text = _("There is no paysync database at {where}.").format(where=facts.where)
        return [fault(AREA, "missing", text, _("paysync db upgrade makes one; PAYSYNC_HOME or DATABASE_URL say where"))]
    if facts.trouble == "read_only":
        return [_read_only(facts)]
    if facts.trouble is not None:
        return [
            fault(
                AREA, "unreachable", facts.cause, _("Start the database, or correct DATABASE_URL: paysync config show")
            )
        ]
    return [
        ok(AREA, "reachable", _("The database at {where} answers.").format(where=facts.where)),
        _schema(facts),
        *_writing(facts),
        *_room(facts),
    ]


def _schema(facts: DatabaseFacts) -> Finding:
    words = {"version": facts.version or _("none"), "head": facts.head}
    if facts.version == facts.head:
        return ok(AREA, "schema", _("Its schema is {version}, as this paysync needs it.").format(**words))
    if facts.fits:
        text = _("Its schema is {version}; it serves this paysync, which was made for {head}, too.").format(**words)
        return ok(AREA, "schema", text)
    if facts.version is None or facts.version in facts.known:
        text = _("Its schema is {version}, and this paysync needs {head}.").format(**words)
        return fault(AREA, "schema_old", text, "paysync db upgrade")
    text = _("Its schema is {version}, which this paysync does not know (it knows up to {head}).").format(**words)
    return fault(AREA, "schema_unknown", text, _("Install the paysync that wrote it, or a newer one."))


def _writing(facts: DatabaseFacts) -> Iterator[Finding]:
    match facts.write_error:
        case None:
            return
        case "readonly":
            yield _read_only(facts)
        case "busy":
            text = _("Somebody else has kept the database locked for seconds.")
            yield warning(AREA, "busy", text, _("Look who holds it: fuser {where}").format(where=facts.where))
        case "full":
            text = _("The disk of the database is full: no answer of a bank can be recorded.")
            yield fault(AREA, "disk_full", text, _("Free room on it: df -h"))
        case cause:
            text = _("The database refuses writes: {cause}.").format(cause=cause)
            yield fault(AREA, "write_refused", text, _("Look at the rights of its user and at its log."))


def _read_only(facts: DatabaseFacts) -> Finding:
    text = _("The database may only be read by this user: no answer of a bank can be recorded.")
    mend = _("Give the user write access: chown or chmod {where} and its folder").format(where=facts.where)
    return fault(AREA, "read_only", text, mend)


def _room(facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.free_bytes is None:
        return
    words = {"disk": facts.disk, "n": facts.free_bytes // MIB}
    text = _("{n} MiB are free on the disk of {disk}.").format(**words)
    if facts.free_bytes < LITTLE_BYTES:
        make = fault if facts.free_bytes < HARDLY_ANY_BYTES else warning
        yield make(AREA, "disk_nearly_full", text, _("Free room on it: df -h {disk}").format(**words))
    else:
        yield ok(AREA, "disk", text)
