"""Append-only means it: REPLACE and TRUNCATE are refused too, and the ledger is born with its database."""

import uuid

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from dosvotos.database.append_only import renew_guards

revision = "0009"
down_revision = "0008"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
GUARDED = (
    "experiment_contracts", "usdcop_m5_ohlcv", "macro_indicators_daily", "macro_indicators_monthly",
    "macro_indicators_quarterly", "data_quarantine", "approval_audit_log", "ledger_genesis", "oos_trials",
    "gate_policies", "inference_features_5m", "trading_signals",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "gate_policies",
        sa.Column("version", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("content", JSON, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_by", sa.String(length=255), nullable=False),
        sa.Column("signature", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    genesis = sa.table("ledger_genesis", sa.column("id"), sa.column("created_at"))
    if op.get_bind().execute(sa.select(genesis.c.id)).first() is None:
        op.execute(sa.insert(genesis).values(id=str(uuid.uuid4()), created_at=sa.func.current_timestamp()))
    renew_guards(op.get_bind(), GUARDED)
