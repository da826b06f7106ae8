"""The tables. Names and values live in the database: written once and frozen; changes come as migrations.

Constraints make wrong states impossible: a final QR has no plan, an open one always has its next moment, money is a
positive whole number of minor units, one bank transaction is booked once per QR.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from paysync_cli.store.columns import QrId, RowId, TransactionId, UtcMoment

VERSION_TABLE = "paysync_alembic"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_FINAL = "('completed', 'cancelled', 'expired')"

qrs = Table(
    "paysync_qrs",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("bank", String(32), nullable=False),
    Column("environment", String(16), nullable=False),
    Column("qr_id", QrId, nullable=False),
    Column("status", String(16), nullable=False),
    Column("amount_minor", BigInteger),
    Column("currency", String(3), nullable=False),
    Column("account", String(64), nullable=False),
    Column("multi_use", Boolean, nullable=False),
    Column("issued_at", UtcMoment, nullable=False),
    Column("registered_at", UtcMoment, nullable=False),
    Column("due_at", UtcMoment),
    Column("plan_state", String(16), nullable=False),
    Column("next_check_at", UtcMoment),
    Column("priority", SmallInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("checks", Integer, nullable=False),
    Column("max_checks", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("free", Boolean, nullable=False),
    Column("queued_at", UtcMoment),
    Column("details_missing_since", UtcMoment),
    Column("notified_at", UtcMoment),
    Column("version", BigInteger, nullable=False),
    UniqueConstraint("bank", "environment", "qr_id"),
    CheckConstraint(f"status IN ('pending', 'processing', 'active', {_FINAL[1:-1]})", name="status"),
    CheckConstraint("plan_state IN ('planned', 'queued', 'exhausted', 'held', 'done')", name="plan_state"),
    CheckConstraint(f"plan_state <> 'done' OR status IN {_FINAL}", name="done_is_final"),
    # A final QR is asked about only when the bank gave notice of it.
    CheckConstraint(
        f"status NOT IN {_FINAL} OR plan_state = 'done' "
        "OR (plan_state IN ('planned', 'queued') AND free AND notified_at IS NOT NULL)",
        name="final_is_done_or_noticed",
    ),
    CheckConstraint("(plan_state = 'done') = (next_check_at IS NULL)", name="open_has_next_check"),
    CheckConstraint("(plan_state <> 'queued') OR (queued_at IS NOT NULL)", name="queued_has_moment"),
    CheckConstraint("amount_minor > 0", name="amount"),
    CheckConstraint("priority BETWEEN 0 AND 2", name="priority"),
    CheckConstraint("seq >= 0 AND checks >= 0 AND max_checks >= 0 AND attempts >= 0", name="counters"),
    CheckConstraint("length(qr_id) BETWEEN 1 AND 64", name="qr_id"),
    # Without it SQLite gives the id of a deleted row to the next one, and a job in Redis would name the wrong QR.
    sqlite_autoincrement=True,
)

checks = Table(
    "paysync_checks",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("qr", RowId, ForeignKey("paysync_qrs.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", UtcMoment, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("bank_status", Text),
    Column("duration_ms", Integer),
    Column("error", Text),
    UniqueConstraint("qr", "seq"),
)

movements = Table(
    "paysync_movements",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("qr", RowId, ForeignKey("paysync_qrs.id"), nullable=False),
    Column("bank", String(32), nullable=False),
    Column("bank_transaction_id", TransactionId, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("account", String(64), nullable=False),
    Column("paid_at", UtcMoment),
    Column("booked_at", UtcMoment, nullable=False),
    Column("payer", Text),
    Column("source", String(16), nullable=False),
    UniqueConstraint("qr", "bank_transaction_id"),
    CheckConstraint("amount_minor > 0", name="amount"),
)

accounts = Table(
    "paysync_accounts",
    metadata,
    # Two banks, or a bank's two environments, may well give out the same account number.
    Column("bank", String(32), primary_key=True),
    Column("environment", String(16), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("balance_minor", BigInteger, nullable=False),
    Column("updated_at", UtcMoment, nullable=False),
    CheckConstraint("balance_minor >= 0", name="balance"),
)

reviews = Table(
    "paysync_reviews",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("bank", String(32), nullable=False),
    Column("environment", String(16), nullable=False),
    Column("qr_id", Text, nullable=False),
    Column("qr", RowId, ForeignKey("paysync_qrs.id")),
    Column("reason", String(32), nullable=False),
    Column("news", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Column("opened_at", UtcMoment, nullable=False),
    Column("resolved_at", UtcMoment),
    Column("resolved_by", String(128)),
    Column("resolution", String(16)),
    Column("resolution_reason", Text),
    UniqueConstraint("bank", "environment", "qr_id", "news", "reason"),
    CheckConstraint("state IN ('open', 'resolved')", name="state"),
    CheckConstraint("(state = 'resolved') = (resolved_at IS NOT NULL)", name="resolved_has_moment"),
)

transitions = Table(
    "paysync_transitions",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("qr", RowId, ForeignKey("paysync_qrs.id"), nullable=False),
    Column("at", UtcMoment, nullable=False),
    Column("old", String(16)),
    Column("new", String(16), nullable=False),
    Column("cause", String(32), nullable=False),
    Column("seq", BigInteger, nullable=False),
)

audit = Table(
    "paysync_audit",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("at", UtcMoment, nullable=False),
    Column("who", String(128), nullable=False),
    Column("action", String(32), nullable=False),
    Column("object", String(128), nullable=False),
    Column("qr", RowId, ForeignKey("paysync_qrs.id")),
    Column("reason", Text),
    Column("detail", Text, nullable=False),
)

banks = Table(
    "paysync_banks",
    metadata,
    Column("bank", String(32), primary_key=True),
    Column("environment", String(16), primary_key=True),
    # The last bank day whose list was read complete by a request sent after that day's end (ISO date).
    Column("swept_day", String(10)),
    Column("swept_at", UtcMoment),
    Column("sweep_ok_at", UtcMoment),
    Column("sweep_error", Text),
    Column("paused_at", UtcMoment),
    Column("paused_until", UtcMoment),
    Column("paused_by", String(128)),
    Column("pause_reason", Text),
    Column("stopped_at", UtcMoment),
    Column("stop_reason", Text),
    # Operators' limits; NULL: the settings' ones.
    Column("rate_per_s", Float),
    Column("concurrency", Integer),
    CheckConstraint("rate_per_s > 0", name="rate_per_s"),
    CheckConstraint("concurrency > 0", name="concurrency"),
)

alerts = Table(
    "paysync_alerts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("bank", String(32), nullable=False),  # empty: the whole installation
    # What is one alert: the hour for those that come in numbers, the moment it began for a state.
    Column("bucket", String(128), nullable=False),
    Column("count", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("first_at", UtcMoment, nullable=False),
    Column("last_at", UtcMoment, nullable=False),
    Column("standing", Boolean, nullable=False),  # a state that lasts
    Column("recovered_at", UtcMoment),
    Column("news", Boolean, nullable=False),  # there is something that no message tells yet
    Column("message", RowId),  # the last one that tells of it
    Column("delivered_at", UtcMoment),
    UniqueConstraint("kind", "bank", "bucket"),
    CheckConstraint("count > 0", name="count"),
)

alert_messages = Table(
    "paysync_alert_messages",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("bank", String(32), nullable=False),
    Column("event", String(16), nullable=False),
    Column("count", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("since_at", UtcMoment, nullable=False),
    Column("until_at", UtcMoment),
    Column("at", UtcMoment, nullable=False),
    Column("delivered_at", UtcMoment),  # to every address there is
    CheckConstraint("event IN ('raised', 'recovered', 'passed')", name="event"),
)

alert_deliveries = Table(
    "paysync_alert_deliveries",
    metadata,
    Column("message", RowId, ForeignKey("paysync_alert_messages.id"), primary_key=True),
    Column("channel", String(32), primary_key=True),
    Column("claimed_until", UtcMoment, nullable=False),  # meanwhile nobody else sends it there
    Column("delivered_at", UtcMoment),
)

# An address that failed lately; the key is a hash of its URL, which is a secret.
alert_channels = Table(
    "paysync_alert_channels",
    metadata,
    Column("channel", String(32), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("next_try_at", UtcMoment, nullable=False),
    Column("error", Text, nullable=False),
)

leases = Table(
    "paysync_leases",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("owner", String(128), nullable=False),
    Column("until", UtcMoment, nullable=False),
    Column("fence", BigInteger, nullable=False),
)

runs = Table(
    "paysync_runs",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("at", UtcMoment, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", Text, nullable=False),
)

meta = Table(
    "paysync_meta",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)
