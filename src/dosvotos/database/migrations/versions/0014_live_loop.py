"""Signals by which a loop can be held to its deadline, and calls to providers counted across processes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from dosvotos.database.append_only import renew_guards

revision = "0014"
down_revision = "0012"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
SIGNALS = "trading_signals"
COLUMNS = (
    ("manifest_hash", sa.String(length=64)),
    ("norm_stats_hash", sa.String(length=64)),
    ("inference_hash", sa.String(length=64)),
    ("valid_until", sa.DateTime(timezone=True)),
    ("advised_target", sa.Float()),
    ("macro_late", JSON),
    ("detail", sa.Text()),
)
FETCHED = (
    "usdcop_m5_ohlcv",
    "macro_indicators_daily",
    "macro_indicators_monthly",
    "macro_indicators_quarterly",
)


def upgrade() -> None:
    with op.batch_alter_table(SIGNALS) as batch_op:  # SQLite copies the table, and forgets its triggers
        for name, kind in COLUMNS:
            batch_op.add_column(sa.Column(name, kind, nullable=True))
        batch_op.add_column(sa.Column("spooled", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.drop_constraint("signal_or_reason", type_="check")
        batch_op.create_check_constraint("signal_or_none", "(status = 'SIGNAL') = (signal IS NOT NULL)")
        batch_op.create_check_constraint(
            "reason_without_signal", "status = 'SIGNAL' OR reason_code IS NOT NULL"
        )
    for table in FETCHED:
        op.create_index(op.f(f"ix_{table}_fetched_at"), table, ["instrument", "feed", "fetched_at"])
    op.create_table(
        "provider_calls",
        sa.Column("provider", sa.String(length=32), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("calls", sa.Integer(), nullable=False),
    )
    renew_guards(op.get_bind(), (SIGNALS,))
