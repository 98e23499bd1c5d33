"""Limits that hold until a signed RESUME, model accounts bar by bar, and shadow models' targets."""

import sqlalchemy as sa
from alembic import op

from dosvotos.database.append_only import renew_guards

revision = "0020"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "limit_trips",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("instrument", sa.String(length=20), nullable=False),
        sa.Column("rule", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("approval_id", sa.Integer(), nullable=True),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("log_row", sa.Integer(), nullable=False),
        sa.Column("tripped_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('REDUCING', 'HALTED')", name="state_known"),
    )
    op.create_index("ix_limit_trips_instrument", "limit_trips", ["instrument"])
    op.create_table(
        "model_accounts",
        sa.Column("approval_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("instrument", sa.String(length=20), nullable=False),
        sa.Column("price", sa.Float(), nullable=False),
        sa.Column("rate_difference", sa.Float(), nullable=True),
        sa.Column("units", sa.Float(), nullable=False),
        sa.Column("equity", sa.Float(), nullable=False),
        sa.Column("peak", sa.Float(), nullable=False),
        sa.Column("resumed_peak", sa.Float(), nullable=False),
        sa.Column("resumed_by", sa.Integer(), nullable=False),
    )
    op.create_table(
        "shadow_signals",
        sa.Column("approval_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("instrument", sa.String(length=20), nullable=False),
        sa.Column("model_id", sa.String(length=255), nullable=False),
        sa.Column("manifest_hash", sa.String(length=64), nullable=False),
        sa.Column("feature_hash", sa.String(length=64), nullable=False),
        sa.Column("target", sa.Float(), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("reason_code", sa.String(length=32), nullable=True),
        sa.Column("position", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("target >= -1 AND target <= 1", name="target_range"),
        sa.CheckConstraint("(target IS NULL) = (reason_code IS NOT NULL)", name="target_or_reason"),
    )
    renew_guards(op.get_bind(), ("limit_trips", "model_accounts", "shadow_signals"))
