"""The first schema: every table of `store.tables` as it was then, written out, so that later changes there do not
reach back; hence the one long function.
"""

import sqlalchemy as sa
from alembic import op

from paysync_cli.store.columns import QrId, TransactionId, UtcMoment

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "paysync_accounts",
        sa.Column("bank", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=16), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", UtcMoment(), nullable=False),
        sa.CheckConstraint("balance_minor >= 0", name=op.f("ck_paysync_accounts_balance")),
        sa.PrimaryKeyConstraint("bank", "environment", "account", "currency", name=op.f("pk_paysync_accounts")),
    )
    op.create_table(
        "paysync_banks",
        sa.Column("bank", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=16), nullable=False),
        sa.Column("swept_day", sa.String(length=10), nullable=True),
        sa.Column("swept_at", UtcMoment(), nullable=True),
        sa.Column("sweep_ok_at", UtcMoment(), nullable=True),
        sa.Column("sweep_error", sa.Text(), nullable=True),
        sa.Column("paused_at", UtcMoment(), nullable=True),
        sa.Column("paused_until", UtcMoment(), nullable=True),
        sa.Column("paused_by", sa.String(length=128), nullable=True),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("stopped_at", UtcMoment(), nullable=True),
        sa.Column("stop_reason", sa.Text(), nullable=True),
        sa.Column("rate_per_s", sa.Float(), nullable=True),
        sa.Column("concurrency", sa.Integer(), nullable=True),
        sa.CheckConstraint("rate_per_s > 0", name=op.f("ck_paysync_banks_rate_per_s")),
        sa.CheckConstraint("concurrency > 0", name=op.f("ck_paysync_banks_concurrency")),
        sa.PrimaryKeyConstraint("bank", "environment", name=op.f("pk_paysync_banks")),
    )
    op.create_table(
        "paysync_alerts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("bank", sa.String(length=32), nullable=False),
        sa.Column("bucket", sa.String(length=128), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("first_at", UtcMoment(), nullable=False),
        sa.Column("last_at", UtcMoment(), nullable=False),
        sa.Column("standing", sa.Boolean(), nullable=False),
        sa.Column("recovered_at", UtcMoment(), nullable=True),
        sa.Column("news", sa.Boolean(), nullable=False),
        sa.Column("message", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("delivered_at", UtcMoment(), nullable=True),
        sa.CheckConstraint("count > 0", name=op.f("ck_paysync_alerts_count")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paysync_alerts")),
        sa.UniqueConstraint("kind", "bank", "bucket", name=op.f("uq_paysync_alerts_kind_bank_bucket")),
    )
    op.create_index("ix_paysync_alerts_first_at", "paysync_alerts", ["first_at"], unique=False)
    op.create_index(
        "ix_paysync_alerts_standing",
        "paysync_alerts",
        ["kind", "bank"],
        unique=True,
        sqlite_where=sa.text("standing = 1"),
        postgresql_where=sa.text("standing"),
    )
    op.create_index(
        "ix_paysync_alerts_news",
        "paysync_alerts",
        ["id"],
        unique=False,
        sqlite_where=sa.text("news = 1"),
        postgresql_where=sa.text("news"),
    )
    op.create_table(
        "paysync_alert_messages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("bank", sa.String(length=32), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("since_at", UtcMoment(), nullable=False),
        sa.Column("until_at", UtcMoment(), nullable=True),
        sa.Column("at", UtcMoment(), nullable=False),
        sa.Column("delivered_at", UtcMoment(), nullable=True),
        sa.CheckConstraint("event IN ('raised', 'recovered', 'passed')", name=op.f("ck_paysync_alert_messages_event")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paysync_alert_messages")),
    )
    op.create_index(
        "ix_paysync_alert_messages_undelivered",
        "paysync_alert_messages",
        ["id"],
        unique=False,
        sqlite_where=sa.text("delivered_at IS NULL"),
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.create_index("ix_paysync_alert_messages_kind", "paysync_alert_messages", ["kind", "bank", "at"], unique=False)
    op.create_index("ix_paysync_alert_messages_at", "paysync_alert_messages", ["at"], unique=False)
    op.create_table(
        "paysync_alert_deliveries",
        sa.Column("message", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("claimed_until", UtcMoment(), nullable=False),
        sa.Column("delivered_at", UtcMoment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["message"], ["paysync_alert_messages.id"], name=op.f("fk_paysync_alert_deliveries_message")
        ),
        sa.PrimaryKeyConstraint("message", "channel", name=op.f("pk_paysync_alert_deliveries")),
    )
    op.create_table(
        "paysync_alert_channels",
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_try_at", UtcMoment(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_paysync_alert_channels")),
    )
    op.create_table(
        "paysync_leases",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("until", UtcMoment(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_paysync_leases")),
    )
    op.create_table(
        "paysync_meta",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_paysync_meta")),
    )
    op.create_table(
        "paysync_qrs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bank", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=16), nullable=False),
        sa.Column("qr_id", QrId, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("multi_use", sa.Boolean(), nullable=False),
        sa.Column("issued_at", UtcMoment(), nullable=False),
        sa.Column("registered_at", UtcMoment(), nullable=False),
        sa.Column("due_at", UtcMoment(), nullable=True),
        sa.Column("plan_state", sa.String(length=16), nullable=False),
        sa.Column("next_check_at", UtcMoment(), nullable=True),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("max_checks", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("free", sa.Boolean(), nullable=False),
        sa.Column("queued_at", UtcMoment(), nullable=True),
        sa.Column("details_missing_since", UtcMoment(), nullable=True),
        sa.Column("notified_at", UtcMoment(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(plan_state <> 'queued') OR (queued_at IS NOT NULL)",
            name=op.f("ck_paysync_qrs_queued_has_moment"),
        ),
        sa.CheckConstraint(
            "(plan_state = 'done') = (next_check_at IS NULL)", name=op.f("ck_paysync_qrs_open_has_next_check")
        ),
        sa.CheckConstraint(
            "plan_state <> 'done' OR status IN ('completed', 'cancelled', 'expired')",
            name=op.f("ck_paysync_qrs_done_is_final"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('completed', 'cancelled', 'expired') OR plan_state = 'done' "
            "OR (plan_state IN ('planned', 'queued') AND free AND notified_at IS NOT NULL)",
            name=op.f("ck_paysync_qrs_final_is_done_or_noticed"),
        ),
        sa.CheckConstraint(
            "plan_state IN ('planned', 'queued', 'exhausted', 'held', 'done')",
            name=op.f("ck_paysync_qrs_plan_state"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'processing', 'active', 'completed', 'cancelled', 'expired')",
            name=op.f("ck_paysync_qrs_status"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_paysync_qrs_amount")),
        sa.CheckConstraint("length(qr_id) BETWEEN 1 AND 64", name=op.f("ck_paysync_qrs_qr_id")),
        sa.CheckConstraint("priority BETWEEN 0 AND 2", name=op.f("ck_paysync_qrs_priority")),
        sa.CheckConstraint(
            "seq >= 0 AND checks >= 0 AND max_checks >= 0 AND attempts >= 0",
            name=op.f("ck_paysync_qrs_counters"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paysync_qrs")),
        sa.UniqueConstraint("bank", "environment", "qr_id", name=op.f("uq_paysync_qrs_bank_environment_qr_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_paysync_qrs_due",
        "paysync_qrs",
        ["bank", "environment", "priority", "next_check_at"],
        unique=False,
        sqlite_where=sa.text("plan_state IN ('planned', 'exhausted')"),
        postgresql_where=sa.text("plan_state IN ('planned', 'exhausted')"),
    )
    op.create_index("ix_paysync_qrs_registered_at", "paysync_qrs", ["registered_at", "id"], unique=False)
    op.create_index("ix_paysync_qrs_amount", "paysync_qrs", ["amount_minor", "id"], unique=False)
    op.create_index("ix_paysync_qrs_account", "paysync_qrs", ["account", "id"], unique=False)
    op.create_index("ix_paysync_qrs_qr_id", "paysync_qrs", ["qr_id"], unique=False)
    op.create_index(
        "ix_paysync_qrs_queued",
        "paysync_qrs",
        ["bank", "environment", "queued_at"],
        unique=False,
        sqlite_where=sa.text("plan_state = 'queued'"),
        postgresql_where=sa.text("plan_state = 'queued'"),
    )
    op.create_index("ix_paysync_qrs_overview", "paysync_qrs", ["bank", "plan_state", "status"], unique=False)
    op.create_table(
        "paysync_runs",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("at", UtcMoment(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_paysync_runs")),
    )
    op.create_table(
        "paysync_audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", UtcMoment(), nullable=False),
        sa.Column("who", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("object", sa.String(length=128), nullable=False),
        sa.Column("qr", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["qr"], ["paysync_qrs.id"], name=op.f("fk_paysync_audit_qr")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paysync_audit")),
    )
    op.create_index("ix_paysync_audit_at", "paysync_audit", ["at"], unique=False)
    op.create_index("ix_paysync_audit_qr", "paysync_audit", ["qr"], unique=False)
    op.create_table(
        "paysync_checks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("qr", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", UtcMoment(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("bank_status", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["qr"], ["paysync_qrs.id"], name=op.f("fk_paysync_checks_qr")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paysync_checks")),
        sa.UniqueConstraint("qr", "seq", name=op.f("uq_paysync_checks_qr_seq")),
    )
    op.create_index("ix_paysync_checks_at", "paysync_checks", ["at"], unique=False)
    op.create_table(
        "paysync_movements",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("qr", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bank", sa.String(length=32), nullable=False),
        sa.Column("bank_transaction_id", TransactionId, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("paid_at", UtcMoment(), nullable=True),
        sa.Column("booked_at", UtcMoment(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_paysync_movements_amount")),
        sa.ForeignKeyConstraint(["qr"], ["paysync_qrs.id"], name=op.f("fk_paysync_movements_qr")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paysync_movements")),
        sa.UniqueConstraint("qr", "bank_transaction_id", name=op.f("uq_paysync_movements_qr_bank_transaction_id")),
    )
    op.create_index("ix_paysync_movements_booked_at", "paysync_movements", ["booked_at"], unique=False)
    op.create_index(
        "ix_paysync_movements_transaction", "paysync_movements", ["bank_transaction_id", "bank"], unique=False
    )
    op.create_index("ix_paysync_movements_amount", "paysync_movements", ["amount_minor", "id"], unique=False)
    op.create_index(
        "ix_paysync_movements_sums", "paysync_movements", ["bank", "account", "currency", "amount_minor"], unique=False
    )
    op.create_table(
        "paysync_reviews",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bank", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=16), nullable=False),
        sa.Column("qr_id", sa.Text(), nullable=False),
        sa.Column("qr", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("news", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("opened_at", UtcMoment(), nullable=False),
        sa.Column("resolved_at", UtcMoment(), nullable=True),
        sa.Column("resolved_by", sa.String(length=128), nullable=True),
        sa.Column("resolution", sa.String(length=16), nullable=True),
        sa.Column("resolution_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'resolved') = (resolved_at IS NOT NULL)",
            name=op.f("ck_paysync_reviews_resolved_has_moment"),
        ),
        sa.CheckConstraint("state IN ('open', 'resolved')", name=op.f("ck_paysync_reviews_state")),
        sa.ForeignKeyConstraint(["qr"], ["paysync_qrs.id"], name=op.f("fk_paysync_reviews_qr")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paysync_reviews")),
        sa.UniqueConstraint(
            "bank",
            "environment",
            "qr_id",
            "news",
            "reason",
            name=op.f("uq_paysync_reviews_bank_environment_qr_id_news_reason"),
        ),
    )
    op.create_index("ix_paysync_reviews_qr", "paysync_reviews", ["qr"], unique=False)
    op.create_index("ix_paysync_reviews_state", "paysync_reviews", ["state"], unique=False)
    op.create_table(
        "paysync_transitions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("qr", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", UtcMoment(), nullable=False),
        sa.Column("old", sa.String(length=16), nullable=True),
        sa.Column("new", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["qr"], ["paysync_qrs.id"], name=op.f("fk_paysync_transitions_qr")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paysync_transitions")),
    )
    op.create_index("ix_paysync_transitions_qr", "paysync_transitions", ["qr"], unique=False)
    for statement in _GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)


# What is booked or audited is never altered, and a completed QR stays completed, whoever writes to the tables.
_GUARDS = {
    "sqlite": [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in ("paysync_movements", "paysync_audit")
        for verb in ("UPDATE", "DELETE")
    ]
    + [
        "CREATE TRIGGER paysync_qrs_completed_stays BEFORE UPDATE OF status ON paysync_qrs "
        "WHEN OLD.status = 'completed' AND NEW.status <> 'completed' "
        "BEGIN SELECT RAISE(ABORT, 'a completed QR stays completed'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION paysync_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% on % is refused', TG_OP, TG_TABLE_NAME; END $$",
        "CREATE TRIGGER paysync_append_only BEFORE UPDATE OR DELETE ON paysync_movements "
        "FOR EACH ROW EXECUTE FUNCTION paysync_refuse()",
        "CREATE TRIGGER paysync_append_only BEFORE UPDATE OR DELETE ON paysync_audit "
        "FOR EACH ROW EXECUTE FUNCTION paysync_refuse()",
        "CREATE TRIGGER paysync_completed_stays BEFORE UPDATE OF status ON paysync_qrs FOR EACH ROW "
        "WHEN (OLD.status = 'completed' AND NEW.status <> 'completed') EXECUTE FUNCTION paysync_refuse()",
    ],
}
