"""Deliveries: what came when and from where; their rows can be retracted, by an appended row. Volume may be null."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from dosvotos.database.append_only import renew_guards

revision = "0010"
down_revision = "0009"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
BARS = "usdcop_m5_ohlcv"
OTHERS = (
    "macro_indicators_daily",
    "macro_indicators_monthly",
    "macro_indicators_quarterly",
    "data_quarantine",
)


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("instrument", sa.String(length=20), nullable=False),
        sa.Column("feed", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source_hash", sa.String(length=64), nullable=True),
        sa.Column("rows", JSON, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("retracts", sa.Integer(), sa.ForeignKey("deliveries.id"), nullable=True),
        sa.UniqueConstraint("retracts"),
        sa.CheckConstraint("(retracts IS NULL) = (reason IS NULL)", name="retraction_has_reason"),
    )
    op.execute(
        "INSERT INTO deliveries (id, instrument, feed, source, origin, fetched_at) "
        "VALUES (0, '*', '*', 'any', 'before deliveries', '1970-01-01 00:00:00.000000')"
    )
    _rebuild_bars()
    for table in OTHERS:
        op.add_column(table, sa.Column("delivery_id", sa.Integer(), nullable=False, server_default="0"))
    renew_guards(op.get_bind(), ("deliveries", BARS, *OTHERS))


def _rebuild_bars() -> None:
    """Add the column and let volume be null; SQLite copies the table for it, and forgets its triggers."""
    with op.batch_alter_table(BARS) as batch_op:
        batch_op.alter_column("volume", existing_type=sa.Float(), nullable=True)
        batch_op.add_column(sa.Column("delivery_id", sa.Integer(), nullable=False, server_default="0"))
