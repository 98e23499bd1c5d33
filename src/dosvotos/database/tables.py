"""Every table of the house; the Alembic migrations build exactly these.

Times are timezone-aware UTC. Append-only tables refuse UPDATE and DELETE by trigger.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from dosvotos.contracts.features import FEATURE_ORDER

STAGES = ("staging", "shadow", "production", "archived")
RECOMMENDATIONS = ("PROMOTE", "REVIEW", "REJECT")
PROPOSAL_STATES = (
    "PENDING_APPROVAL",
    "MORE_TESTS_REQUESTED",
    "APPROVED",
    "REJECTED",
    "SUPERSEDED",
    "EXPIRED",
)
REQUEST_STATES = ("queued", "running", "done", "failed")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UTCDateTime(TypeDecorator[datetime]):
    """A timezone-aware instant, stored in UTC; naive values are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC on the way in."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive timestamp {value!r}: the database takes timezone-aware times only")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Label as UTC on the way out; SQLite keeps no zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _json() -> Any:
    return JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def _one_of(column: str, values: tuple[str, ...], name: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name)


experiment_contracts = Table(
    "experiment_contracts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("contract_id", String(255), nullable=False),
    Column("contract_version", String(50), nullable=False),
    Column("experiment_name", String(255), nullable=False),
    Column("experiment_version", String(50), nullable=False),
    Column("config_hash", String(64), nullable=False),
    Column("feature_order_hash", String(64), nullable=False),
    Column("reward_config_hash", String(64)),
    Column("components", _json(), nullable=False),
    Column("frozen_config", _json(), nullable=False),
    Column("test_end", Date, nullable=False),
    Column("data_as_of", UTCDateTime, nullable=False),
    Column("trained_by", String(255), nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    UniqueConstraint("contract_id", "contract_version"),
)

usdcop_m5_ohlcv = Table(
    "usdcop_m5_ohlcv",
    metadata,
    Column("instrument", String(20), primary_key=True),
    Column("feed", String(64), primary_key=True),
    Column("timestamp", UTCDateTime, primary_key=True),
    Column("fetched_at", UTCDateTime, primary_key=True),
    Column("open", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("close", Float, nullable=False),
    Column("volume", Float, nullable=False),
    Column("source", String(64), nullable=False),
)


def _macro_table(frequency: str) -> Table:
    return Table(
        f"macro_indicators_{frequency}",
        metadata,
        Column("instrument", String(20), primary_key=True),
        Column("feed", String(64), primary_key=True),
        Column("variable", String(64), primary_key=True),
        Column("observation_date", Date, primary_key=True),
        Column("vintage", String(32), primary_key=True),
        Column("fetched_at", UTCDateTime, primary_key=True),
        Column("value", Float, nullable=False),
        Column("published_at", UTCDateTime, nullable=False),
        Column("source", String(64), nullable=False),
    )


macro_indicators = {name: _macro_table(name) for name in ("daily", "monthly", "quarterly")}

data_quarantine = Table(
    "data_quarantine",
    metadata,
    Column("instrument", String(20), primary_key=True),
    Column("feed", String(64), primary_key=True),
    Column("finding", String(64), primary_key=True),
    Column("rule", String(64), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("value", Float),
    Column("source", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("found_at", UTCDateTime, nullable=False),
    _one_of("severity", ("quarantined", "reported"), "severity_known"),
)
"""What is wrong or odd in the data that came: `at` is the bar's open, or midnight UTC of the observation;
`finding` hashes the content, so that the same finding is written once."""

instruments = Table(
    "instruments",
    metadata,
    Column("instrument", String(20), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("production_model_id", String(255)),
)
"""The head row of each instrument: locked by whoever changes its production model; the epoch only rises."""

model_registry = Table(
    "model_registry",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", String(255), nullable=False, unique=True),
    Column("instrument", String(20), nullable=False),
    Column("experiment_name", String(255), nullable=False),
    Column("model_path", String(512), nullable=False),
    Column("model_hash", String(64), nullable=False),
    Column("manifest_hash", String(64), nullable=False),
    Column("norm_stats_path", String(512)),
    Column("norm_stats_hash", String(64)),
    Column("config_hash", String(64)),
    Column("feature_order_hash", String(64)),
    Column("dataset_hash", String(64)),
    Column("trained_by", String(255), nullable=False),
    Column("stage", String(20), nullable=False, server_default="staging"),
    Column("metrics", _json()),
    Column("lineage", _json()),
    Column("created_at", UTCDateTime, nullable=False),
    Column("promoted_at", UTCDateTime),
    Column("archived_at", UTCDateTime),
    _one_of("stage", STAGES, "stage_known"),
    Index(
        "uq_model_registry_one_production",
        "instrument",
        unique=True,
        sqlite_where=text("stage = 'production'"),
        postgresql_where=text("stage = 'production'"),
    ),
)

promotion_proposals = Table(
    "promotion_proposals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", String(255), ForeignKey("model_registry.model_id"), nullable=False),
    Column("instrument", String(20), nullable=False),
    Column("experiment_name", String(255), nullable=False, index=True),
    Column("recommendation", String(20), nullable=False),
    Column("confidence", Numeric(5, 4, asdecimal=False)),
    Column("reason", Text, nullable=False),
    Column("reasons", _json()),
    Column("metrics", _json(), nullable=False),
    Column("vs_baseline", _json()),
    Column("criteria_results", _json(), nullable=False),
    Column("criteria", _json()),
    Column("evidence", _json(), nullable=False),
    Column("status", String(24), nullable=False, server_default="PENDING_APPROVAL", index=True),
    Column("requires_human_approval", Boolean, nullable=False),
    Column("reviewer", String(255)),
    Column("reviewer_notes", Text),
    Column("approved_at", UTCDateTime),
    Column("lineage", _json(), nullable=False),
    Column("report_folder", String(512), nullable=False),
    Column("report_files", _json(), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    _one_of("recommendation", RECOMMENDATIONS, "recommendation_known"),
    _one_of("status", PROPOSAL_STATES, "status_known"),
    CheckConstraint("requires_human_approval", name="human_approval"),
)

approval_audit_log = Table(
    "approval_audit_log",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("action", String(50), nullable=False),
    Column("model_id", String(255), nullable=False),
    Column("proposal_id", Integer, ForeignKey("promotion_proposals.id")),
    Column("reviewer", String(255), nullable=False),
    Column("notes", Text),
    Column("previous_production_model", String(255)),
    Column("new_stage", String(20), nullable=False),
    Column("self_approved", Boolean, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("previous_hash", String(64)),
    Column("row_hash", String(64), nullable=False, unique=True),
    Column("created_at", UTCDateTime, nullable=False),
)
"""The second votes, each row carrying the hash of the row before it; `id` is the sequence."""

backtest_requests = Table(
    "backtest_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("proposal_id", Integer, ForeignKey("promotion_proposals.id"), nullable=False, index=True),
    Column("start_date", Date, nullable=False),
    Column("end_date", Date, nullable=False),
    Column("sample", String(16), nullable=False),
    Column("status", String(16), nullable=False, server_default="queued", index=True),
    Column("requested_by", String(255), nullable=False),
    Column("requested_at", UTCDateTime, nullable=False),
    Column("claims", Integer, nullable=False, server_default="0"),
    Column("claimed_by", String(64)),
    Column("claimed_until", UTCDateTime),
    Column("finished_at", UTCDateTime),
    Column("problem", Text),
    Column("result_file", String(512)),
    Column("result_hash", String(64)),
    Column("metrics", _json()),
    _one_of("status", REQUEST_STATES, "status_known"),
    _one_of("sample", ("OUT-OF-SAMPLE", "IN-SAMPLE"), "sample_known"),
    CheckConstraint("start_date <= end_date", name="dates_in_order"),
    CheckConstraint("(status = 'done') = (result_hash IS NOT NULL)", name="done_has_result"),
)
"""Extra backtests that people asked for; a running one belongs to its claimant until `claimed_until`."""

ledger_genesis = Table(
    "ledger_genesis",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("created_at", UTCDateTime, nullable=False),
)

oos_trials = Table(
    "oos_trials",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instrument", String(20), nullable=False),
    Column("feed", String(64), nullable=False),
    Column("experiment_name", String(255), nullable=False),
    Column("model_hash", String(64), nullable=False),
    Column("window_start", Date, nullable=False),
    Column("window_end", Date, nullable=False),
    Column("opened_at", UTCDateTime, nullable=False),
    Column("daily_returns", _json()),
    UniqueConstraint("instrument", "feed", "model_hash", "window_start", "window_end"),
)
"""Every look at an out-of-sample window, written before the window is opened; its returns follow once."""

inference_features_5m = Table(
    "inference_features_5m",
    metadata,
    Column("instrument", String(20), primary_key=True),
    Column("timestamp", UTCDateTime, primary_key=True),
    *(Column(name, Float) for name in FEATURE_ORDER),
    Column("feature_order_hash", String(64), nullable=False),
    Column("feature_hash", String(64), nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)

trading_signals = Table(
    "trading_signals",
    metadata,
    Column("instrument", String(20), primary_key=True),
    Column("timestamp", UTCDateTime, primary_key=True),
    Column("inference_id", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason_code", String(32)),
    Column("model_id", String(255)),
    Column("model_hash", String(64)),
    Column("epoch", Integer, nullable=False),
    Column("signal", Float),
    Column("confidence", Float),
    Column("position", Float, nullable=False),
    Column("feature_hash", String(64)),
    Column("inference_latency_ms", Float, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    _one_of("status", ("SIGNAL", "NO_SIGNAL"), "status_known"),
    CheckConstraint("signal >= -1 AND signal <= 1", name="signal_range"),
    CheckConstraint(
        "(status = 'SIGNAL') = (signal IS NOT NULL AND reason_code IS NULL)", name="signal_or_reason"
    ),
)
