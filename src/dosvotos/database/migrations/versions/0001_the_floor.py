"""The first schema: every table the chain from data to signal needs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from dosvotos.database.migrations.triggers import refuse

revision = "0001"
down_revision = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
APPEND_ONLY = ("experiment_contracts", "approval_audit_log")
FEATURES = (
    *("log_ret_5m", "log_ret_1h", "log_ret_4h", "rsi_9", "atr_pct", "adx_14"),
    *("dxy_z", "dxy_change_1d", "vix_z", "embi_z", "brent_change_1d", "rate_spread", "usdmxn_change_1d"),
    *("position", "time_normalized"),
)


def upgrade() -> None:
    for create in (_contracts, _market_data, _registry, _ledger, _signals, _proposals, _audit_log):
        create()
    for table in APPEND_ONLY:
        refuse(table, "UPDATE")
        refuse(table, "DELETE")
    refuse("oos_trials", "DELETE")
    refuse("oos_trials", "UPDATE", when=_TRIAL_CHANGED)


def _contracts() -> None:
    op.create_table(
        "experiment_contracts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("contract_id", sa.String(length=255), nullable=False),
        sa.Column("contract_version", sa.String(length=50), nullable=False),
        sa.Column("experiment_name", sa.String(length=255), nullable=False),
        sa.Column("experiment_version", sa.String(length=50), nullable=False),
        sa.Column("config_hash", sa.String(length=64), nullable=False),
        sa.Column("feature_order_hash", sa.String(length=64), nullable=False),
        sa.Column("reward_config_hash", sa.String(length=64), nullable=True),
        sa.Column("components", JSON, nullable=False),
        sa.Column("frozen_config", JSON, nullable=False),
        sa.Column("test_end", sa.Date(), nullable=False),
        sa.Column("data_as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trained_by", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("contract_id", "contract_version"),
    )


def _market_data() -> None:
    op.create_table(
        "usdcop_m5_ohlcv",
        sa.Column("instrument", sa.String(length=20), primary_key=True),
        sa.Column("feed", sa.String(length=64), primary_key=True),
        sa.Column("timestamp", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("fetched_at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("open", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("close", sa.Float(), nullable=False),
        sa.Column("volume", sa.Float(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
    )
    for frequency in ("daily", "monthly", "quarterly"):
        op.create_table(
            f"macro_indicators_{frequency}",
            sa.Column("instrument", sa.String(length=20), primary_key=True),
            sa.Column("feed", sa.String(length=64), primary_key=True),
            sa.Column("variable", sa.String(length=64), primary_key=True),
            sa.Column("observation_date", sa.Date(), primary_key=True),
            sa.Column("fetched_at", sa.DateTime(timezone=True), primary_key=True),
            sa.Column("value", sa.Float(), nullable=False),
            sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("vintage", sa.String(length=32), nullable=False),
            sa.Column("source", sa.String(length=64), nullable=False),
        )


def _registry() -> None:
    op.create_table(
        "instruments",
        sa.Column("instrument", sa.String(length=20), primary_key=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("production_model_id", sa.String(length=255), nullable=True),
    )
    op.create_table(
        "model_registry",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("model_id", sa.String(length=255), nullable=False, unique=True),
        sa.Column("instrument", sa.String(length=20), nullable=False),
        sa.Column("experiment_name", sa.String(length=255), nullable=False),
        sa.Column("model_path", sa.String(length=512), nullable=False),
        sa.Column("model_hash", sa.String(length=64), nullable=False),
        sa.Column("manifest_hash", sa.String(length=64), nullable=False),
        sa.Column("norm_stats_path", sa.String(length=512), nullable=True),
        sa.Column("norm_stats_hash", sa.String(length=64), nullable=True),
        sa.Column("config_hash", sa.String(length=64), nullable=True),
        sa.Column("feature_order_hash", sa.String(length=64), nullable=True),
        sa.Column("dataset_hash", sa.String(length=64), nullable=True),
        sa.Column("trained_by", sa.String(length=255), nullable=False),
        sa.Column("stage", sa.String(length=20), server_default="staging", nullable=False),
        sa.Column("metrics", JSON, nullable=True),
        sa.Column("lineage", JSON, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("stage IN ('staging', 'shadow', 'production', 'archived')", name="stage_known"),
    )
    op.create_index(
        "uq_model_registry_one_production",
        "model_registry",
        ["instrument"],
        unique=True,
        sqlite_where=sa.text("stage = 'production'"),
        postgresql_where=sa.text("stage = 'production'"),
    )


def _ledger() -> None:
    op.create_table(
        "ledger_genesis",
        sa.Column("id", sa.String(length=36), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "oos_trials",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("instrument", sa.String(length=20), nullable=False),
        sa.Column("feed", sa.String(length=64), nullable=False),
        sa.Column("experiment_name", sa.String(length=255), nullable=False),
        sa.Column("model_hash", sa.String(length=64), nullable=False),
        sa.Column("window_start", sa.Date(), nullable=False),
        sa.Column("window_end", sa.Date(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("daily_returns", JSON, nullable=True),
        sa.UniqueConstraint("instrument", "feed", "model_hash", "window_start", "window_end"),
    )


def _signals() -> None:
    op.create_table(
        "inference_features_5m",
        sa.Column("instrument", sa.String(length=20), primary_key=True),
        sa.Column("timestamp", sa.DateTime(timezone=True), primary_key=True),
        *(sa.Column(name, sa.Float(), nullable=True) for name in FEATURES),
        sa.Column("feature_order_hash", sa.String(length=64), nullable=False),
        sa.Column("feature_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "trading_signals",
        sa.Column("instrument", sa.String(length=20), primary_key=True),
        sa.Column("timestamp", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("inference_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason_code", sa.String(length=32), nullable=True),
        sa.Column("model_id", sa.String(length=255), nullable=True),
        sa.Column("model_hash", sa.String(length=64), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("signal", sa.Float(), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("position", sa.Float(), nullable=False),
        sa.Column("feature_hash", sa.String(length=64), nullable=True),
        sa.Column("inference_latency_ms", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(status = 'SIGNAL') = (signal IS NOT NULL AND reason_code IS NULL)", name="signal_or_reason"
        ),
        sa.CheckConstraint("status IN ('SIGNAL', 'NO_SIGNAL')", name="status_known"),
        sa.CheckConstraint("signal >= -1 AND signal <= 1", name="signal_range"),
    )


def _proposals() -> None:
    op.create_table(
        "promotion_proposals",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "model_id", sa.String(length=255), sa.ForeignKey("model_registry.model_id"), nullable=False
        ),
        sa.Column("instrument", sa.String(length=20), nullable=False),
        sa.Column("experiment_name", sa.String(length=255), nullable=False, index=True),
        sa.Column("recommendation", sa.String(length=20), nullable=False),
        sa.Column("confidence", sa.Numeric(precision=5, scale=4, asdecimal=False), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("vs_baseline", JSON, nullable=True),
        sa.Column("criteria_results", JSON, nullable=False),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column(
            "status", sa.String(length=24), server_default="PENDING_APPROVAL", nullable=False, index=True
        ),
        sa.Column("requires_human_approval", sa.Boolean(), nullable=False),
        sa.Column("reviewer", sa.String(length=255), nullable=True),
        sa.Column("reviewer_notes", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lineage", JSON, nullable=False),
        sa.Column("report_folder", sa.String(length=512), nullable=False),
        sa.Column("report_files", JSON, nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("recommendation IN ('PROMOTE', 'REVIEW', 'REJECT')", name="recommendation_known"),
        sa.CheckConstraint(
            "status IN ('PENDING_APPROVAL', 'MORE_TESTS_REQUESTED', 'APPROVED', 'REJECTED', 'SUPERSEDED', 'EXPIRED')",
            name="status_known",
        ),
        sa.CheckConstraint("requires_human_approval", name="human_approval"),
    )


def _audit_log() -> None:
    op.create_table(
        "approval_audit_log",
        sa.Column("id", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column("model_id", sa.String(length=255), nullable=False),
        sa.Column("proposal_id", sa.Integer(), sa.ForeignKey("promotion_proposals.id"), nullable=True),
        sa.Column("reviewer", sa.String(length=255), nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("previous_production_model", sa.String(length=255), nullable=True),
        sa.Column("new_stage", sa.String(length=20), nullable=False),
        sa.Column("self_approved", sa.Boolean(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=True),
        sa.Column("row_hash", sa.String(length=64), nullable=False, unique=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )


_TRIAL_COLUMNS = ("id", "instrument", "feed", "experiment_name", "model_hash", "window_start", "window_end")
_TRIAL_CHANGED = " OR ".join(
    ["OLD.daily_returns IS NOT NULL", "OLD.opened_at <> NEW.opened_at"]
    + [f"OLD.{name} <> NEW.{name}" for name in _TRIAL_COLUMNS]
)
