"""The indexes of the tables, as the migrations made them: for the migrations and for the test that compares the two.

Not in `tables`, because statements need none of them: SQLAlchemy loads PostgreSQL's dialect, with five drivers' words,
for a `postgresql_where`.
"""

from __future__ import annotations

from sqlalchemy import Index, text

from paysync_cli.store.tables import (
    alert_messages,
    alerts,
    audit,
    checks,
    metadata,
    movements,
    qrs,
    reviews,
    transitions,
)

__all__ = ["metadata"]

_waiting = text("plan_state IN ('planned', 'exhausted')")
Index("ix_paysync_qrs_due", qrs.c.bank, qrs.c.environment, qrs.c.priority, qrs.c.next_check_at,
      sqlite_where=_waiting, postgresql_where=_waiting)  # fmt: skip
_queued = text("plan_state = 'queued'")
# Begins as the dispatcher's count does: with statistics of a moment without queued rows SQLite would read the table.
Index("ix_paysync_qrs_queued", qrs.c.bank, qrs.c.environment, qrs.c.queued_at,
      sqlite_where=_queued, postgresql_where=_queued)  # fmt: skip
Index("ix_paysync_qrs_overview", qrs.c.bank, qrs.c.plan_state, qrs.c.status)
Index("ix_paysync_qrs_qr_id", qrs.c.qr_id)
Index("ix_paysync_qrs_registered_at", qrs.c.registered_at, qrs.c.id)
Index("ix_paysync_qrs_amount", qrs.c.amount_minor, qrs.c.id)
Index("ix_paysync_qrs_account", qrs.c.account, qrs.c.id)
Index("ix_paysync_checks_at", checks.c.at)
Index("ix_paysync_movements_transaction", movements.c.bank_transaction_id, movements.c.bank)
Index("ix_paysync_movements_amount", movements.c.amount_minor, movements.c.id)
Index("ix_paysync_movements_booked_at", movements.c.booked_at)
# With the amounts: a million movements are added up without being read.
Index("ix_paysync_movements_sums", movements.c.bank, movements.c.account, movements.c.currency,
      movements.c.amount_minor)  # fmt: skip
Index("ix_paysync_reviews_state", reviews.c.state)
Index("ix_paysync_reviews_qr", reviews.c.qr)
Index("ix_paysync_transitions_qr", transitions.c.qr)
Index("ix_paysync_audit_at", audit.c.at)
Index("ix_paysync_audit_qr", audit.c.qr)
Index("ix_paysync_alerts_first_at", alerts.c.first_at)
Index("ix_paysync_alerts_standing", alerts.c.kind, alerts.c.bank, unique=True,
      sqlite_where=text("standing = 1"), postgresql_where=text("standing"))  # fmt: skip
Index("ix_paysync_alerts_news", alerts.c.id, sqlite_where=text("news = 1"), postgresql_where=text("news"))
_undelivered = text("delivered_at IS NULL")
Index("ix_paysync_alert_messages_undelivered", alert_messages.c.id,
      sqlite_where=_undelivered, postgresql_where=_undelivered)  # fmt: skip
Index("ix_paysync_alert_messages_kind", alert_messages.c.kind, alert_messages.c.bank, alert_messages.c.at)
Index("ix_paysync_alert_messages_at", alert_messages.c.at)
