"""Every table of the database; the Alembic migrations build exactly these.

Times are timezone-aware UTC. Append-only tables are listed in `append_only`.
"""

import sqlalchemy as sa

from dosvotos.contracts.features import FEATURE_ORDER
from dosvotos.database import live_tables, people_tables  # noqa: F401 -- of the same schema
from dosvotos.database.columns import UTCDateTime, json_type, one_of
from dosvotos.database.columns import metadata as metadata  # noqa: PLC0414 -- whole only with these tables

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


experiment_contracts = sa.Table(
    "experiment_contracts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("contract_id", sa.String(255), nullable=False),
    sa.Column("contract_version", sa.String(50), nullable=False),
    sa.Column("experiment_name", sa.String(255), nullable=False),
    sa.Column("experiment_version", sa.String(50), nullable=False),
    sa.Column("config_hash", sa.String(64), nullable=False),
    sa.Column("feature_order_hash", sa.String(64), nullable=False),
    sa.Column("reward_config_hash", sa.String(64)),
    sa.Column("components", json_type(), nullable=False),
    sa.Column("frozen_config", json_type(), nullable=False),
    sa.Column("test_end", sa.Date, nullable=False),
    sa.Column("data_as_of", UTCDateTime, nullable=False),
    sa.Column("trained_by", sa.String(255), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("window_status", sa.String(16)),
    sa.Column("window_facts", json_type()),
    sa.Column("schema", sa.Integer, nullable=False, server_default="1"),
    sa.Column("stated", json_type()),
    sa.UniqueConstraint("contract_id", "contract_version"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instrument", sa.String(20), nullable=False),
    sa.Column("feed", sa.String(64), nullable=False),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("fetched_at", UTCDateTime, nullable=False),
    sa.Column("source_hash", sa.String(64)),
    sa.Column("rows", json_type()),
    sa.Column("reason", sa.Text),
    sa.Column("retracts", sa.Integer, sa.ForeignKey("deliveries.id")),
    sa.UniqueConstraint("retracts"),
    sa.CheckConstraint("(retracts IS NULL) = (reason IS NULL)", name="retraction_has_reason"),
)
"""What came when and from where; `rows` counts what was stored of it by table, written once. A row with
`retracts` withdraws that delivery from its `fetched_at` on. Row 0 stands for all before deliveries."""


def _delivery_id() -> sa.Column[int]:
    """The delivery a row came with; no foreign key, which would be looked up for each of a million rows."""
    return sa.Column("delivery_id", sa.Integer, nullable=False, server_default="0")


usdcop_m5_ohlcv = sa.Table(
    "usdcop_m5_ohlcv",
    metadata,
    sa.Column("instrument", sa.String(20), primary_key=True),
    sa.Column("feed", sa.String(64), primary_key=True),
    sa.Column("timestamp", UTCDateTime, primary_key=True),
    sa.Column("fetched_at", UTCDateTime, primary_key=True),
    sa.Column("open", sa.Float, nullable=False),
    sa.Column("high", sa.Float, nullable=False),
    sa.Column("low", sa.Float, nullable=False),
    sa.Column("close", sa.Float, nullable=False),
    sa.Column("volume", sa.Float),
    sa.Column("source", sa.String(64), nullable=False),
    _delivery_id(),
    sa.Index("ix_usdcop_m5_ohlcv_fetched_at", "instrument", "feed", "fetched_at"),
)


def _macro_table(frequency: str) -> sa.Table:
    return sa.Table(
        f"macro_indicators_{frequency}",
        metadata,
        sa.Column("instrument", sa.String(20), primary_key=True),
        sa.Column("feed", sa.String(64), primary_key=True),
        sa.Column("variable", sa.String(64), primary_key=True),
        sa.Column("observation_date", sa.Date, primary_key=True),
        sa.Column("vintage", sa.String(32), primary_key=True),
        sa.Column("fetched_at", UTCDateTime, primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("published_at", UTCDateTime, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        _delivery_id(),
        sa.Index(f"ix_macro_indicators_{frequency}_fetched_at", "instrument", "feed", "fetched_at"),
    )


macro_indicators = {name: _macro_table(name) for name in ("daily", "monthly", "quarterly")}

data_quarantine = sa.Table(
    "data_quarantine",
    metadata,
    sa.Column("instrument", sa.String(20), primary_key=True),
    sa.Column("feed", sa.String(64), primary_key=True),
    sa.Column("finding", sa.String(64), primary_key=True),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("subject", sa.String(64), nullable=False),
    sa.Column("at", UTCDateTime, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("found_at", UTCDateTime, nullable=False),
    _delivery_id(),
    one_of("severity", ("quarantined", "reported"), "severity_known"),
)
"""What is wrong or odd in the data that came: `at` is the bar's open, or midnight UTC of the observation;
`finding` hashes the content, so that the same finding is written once."""

instruments = sa.Table(
    "instruments",
    metadata,
    sa.Column("instrument", sa.String(20), primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("production_model_id", sa.String(255)),
)
"""The head row of each instrument: locked by whoever changes its production model; the epoch only rises.

The row `HOUSE` is of no instrument: every decision locks it first; its epoch rises with people and policy.
"""

HOUSE = "none"
"""Head row of decisions about no instrument, named as the decision's text writes it."""

model_registry = sa.Table(
    "model_registry",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model_id", sa.String(255), nullable=False, unique=True),
    sa.Column("instrument", sa.String(20), nullable=False),
    sa.Column("experiment_name", sa.String(255), nullable=False),
    sa.Column("model_path", sa.String(512), nullable=False),
    sa.Column("model_hash", sa.String(64), nullable=False),
    sa.Column("manifest_hash", sa.String(64), nullable=False),
    sa.Column("norm_stats_path", sa.String(512)),
    sa.Column("norm_stats_hash", sa.String(64)),
    sa.Column("config_hash", sa.String(64)),
    sa.Column("feature_order_hash", sa.String(64)),
    sa.Column("dataset_hash", sa.String(64)),
    sa.Column("trained_by", sa.String(255), nullable=False),
    sa.Column("stage", sa.String(20), nullable=False, server_default="staging"),
    sa.Column("metrics", json_type()),
    sa.Column("lineage", json_type()),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("promoted_at", UTCDateTime),
    sa.Column("archived_at", UTCDateTime),
    one_of("stage", STAGES, "stage_known"),
    sa.Index(
        "uq_model_registry_one_production",
        "instrument",
        unique=True,
        sqlite_where=sa.text("stage = 'production'"),
        postgresql_where=sa.text("stage = 'production'"),
    ),
)

promotion_proposals = sa.Table(
    "promotion_proposals",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model_id", sa.String(255), sa.ForeignKey("model_registry.model_id"), nullable=False),
    sa.Column("instrument", sa.String(20), nullable=False),
    sa.Column("experiment_name", sa.String(255), nullable=False, index=True),
    sa.Column("recommendation", sa.String(20), nullable=False),
    sa.Column("confidence", sa.Numeric(5, 4, asdecimal=False)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("reasons", json_type()),
    sa.Column("metrics", json_type(), nullable=False),
    sa.Column("vs_baseline", json_type()),
    sa.Column("criteria_results", json_type(), nullable=False),
    sa.Column("criteria", json_type()),
    sa.Column("evidence", json_type(), nullable=False),
    sa.Column("status", sa.String(24), nullable=False, server_default="PENDING_APPROVAL", index=True),
    sa.Column("requires_human_approval", sa.Boolean, nullable=False),
    sa.Column("reviewer", sa.String(255)),
    sa.Column("reviewer_notes", sa.Text),
    sa.Column("approved_at", UTCDateTime),
    sa.Column("reopened_at", UTCDateTime),
    sa.Column("lineage", json_type(), nullable=False),
    sa.Column("report_folder", sa.String(512), nullable=False),
    sa.Column("report_files", json_type(), nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("dossier_hash", sa.String(64)),
    sa.Column("run", json_type()),
    sa.Column("created_at", UTCDateTime, nullable=False),
    one_of("recommendation", RECOMMENDATIONS, "recommendation_known"),
    one_of("status", PROPOSAL_STATES, "status_known"),
    sa.CheckConstraint("requires_human_approval", name="human_approval"),
)

approval_audit_log = sa.Table(
    "approval_audit_log",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("action", sa.String(50), nullable=False, index=True),
    sa.Column("model_id", sa.String(255)),
    sa.Column("proposal_id", sa.Integer, sa.ForeignKey("promotion_proposals.id")),
    sa.Column("reviewer", sa.String(255), nullable=False),
    sa.Column("notes", sa.Text),
    sa.Column("previous_production_model", sa.String(255)),
    sa.Column("new_stage", sa.String(20)),
    sa.Column("self_approved", sa.Boolean, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("previous_hash", sa.String(64)),
    sa.Column("row_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("instrument", sa.String(20)),
    sa.Column("mode", sa.String(16)),
    sa.Column("trained_by", sa.String(255)),
    sa.Column("agreement", sa.String(64)),
    sa.Column("approvals", sa.Integer),
    sa.Column("quorum", sa.Integer),
    sa.Column("subject", json_type()),
    sa.Column("lapses", json_type()),
    sa.Column("text", sa.Text),
    sa.Column("text_hash", sa.String(64)),
    sa.Column("signature", sa.Text),
    sa.Column("second_reviewer", sa.String(255)),
    sa.Column("second_signature", sa.Text),
    sa.Column("countersignature", sa.Text),
    sa.Column("seal", sa.String(64)),
    sa.UniqueConstraint("text_hash"),
    sa.UniqueConstraint("proposal_id", "agreement", "reviewer"),
    sa.CheckConstraint(
        "(text IS NULL) = (signature IS NULL) AND (text IS NULL) = (text_hash IS NULL)", name="text_is_signed"
    ),
    sa.CheckConstraint(
        "action <> 'APPROVE' OR new_stage <> 'production' OR approvals IS NULL OR approvals >= quorum",
        name="quorum_reached",
    ),
    sa.CheckConstraint(
        "action <> 'APPROVE' OR trained_by IS NULL OR mode = 'single-user' "
        "OR lower(trim(reviewer)) <> lower(trim(trained_by))",
        name="not_own_model",
    ),
)
"""Every decision, each row carrying the hash of the row before it; `id` is the sequence.

`text` is what its reviewer signed. Rows without one are of before signatures, or change nothing (requests of
extra backtests). Rows of approvals count those that agree (`approvals`), which have one `agreement`: the
hash of what their texts have in common. What else was decided is `subject`, when it lapses `lapses`.
`seal` hashes text, signatures, subject and lapses, and is what of them the row's hash covers.
"""

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("audit_id", sa.Integer, sa.ForeignKey("approval_audit_log.id"), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
)
"""Decisions by the key their senders gave them: the same request again gets the first one's answer."""

api_tokens = sa.Table(
    "api_tokens",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("added_in", sa.Integer, sa.ForeignKey("approval_audit_log.id"), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("salt", sa.String(32), nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("made_by", sa.String(255), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Column("revoked_at", UTCDateTime),
    sa.Column("revoked_by", sa.String(255)),
    sa.CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked_by_somebody"),
)
"""What programs show instead of a passkey, as scrypt hashes; `added_in` is the row that added the person, so
that a token ends with them for good."""

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("subject", sa.String(255), nullable=False),
    sa.Column("payload", json_type(), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_try_at", UTCDateTime, nullable=False, index=True),
    sa.Column("problem", sa.Text),
    sa.Column("problem_told", json_type()),
    sa.Column("done_at", UTCDateTime),
)
"""What other systems are to be told, written in the transaction it follows from and sent after its commit.
`problem_told` has the problem in each language, as in `backtest_requests`."""

backtest_requests = sa.Table(
    "backtest_requests",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("proposal_id", sa.Integer, sa.ForeignKey("promotion_proposals.id"), nullable=False, index=True),
    sa.Column("start_date", sa.Date, nullable=False),
    sa.Column("end_date", sa.Date, nullable=False),
    sa.Column("sample", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False, server_default="queued", index=True),
    sa.Column("requested_by", sa.String(255), nullable=False),
    sa.Column("requested_at", UTCDateTime, nullable=False),
    sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
    sa.Column("claimed_by", sa.String(64)),
    sa.Column("claimed_until", UTCDateTime),
    sa.Column("finished_at", UTCDateTime),
    sa.Column("problem", sa.Text),
    sa.Column("problem_told", json_type()),
    sa.Column("result_file", sa.String(512)),
    sa.Column("result_hash", sa.String(64)),
    sa.Column("metrics", json_type()),
    one_of("status", REQUEST_STATES, "status_known"),
    one_of("sample", ("OUT-OF-SAMPLE", "IN-SAMPLE"), "sample_known"),
    sa.CheckConstraint("start_date <= end_date", name="dates_in_order"),
    sa.CheckConstraint("(status = 'done') = (result_hash IS NOT NULL)", name="done_has_result"),
)
"""Extra backtests that people asked for; a running one belongs to its claimant until `claimed_until`."""

ledger_genesis = sa.Table(
    "ledger_genesis",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("created_at", UTCDateTime, nullable=False),
)
"""The trial ledger's identity: one row, made with the database by the database's own clock."""

oos_trials = sa.Table(
    "oos_trials",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instrument", sa.String(20), nullable=False),
    sa.Column("feed", sa.String(64), nullable=False),
    sa.Column("experiment_name", sa.String(255), nullable=False),
    sa.Column("model_hash", sa.String(64), nullable=False),
    sa.Column("window_start", sa.Date, nullable=False),
    sa.Column("window_end", sa.Date, nullable=False),
    sa.Column("opened_at", UTCDateTime, nullable=False),
    sa.Column("daily_returns", json_type()),
    sa.Column("account_digest", sa.String(64), nullable=False),
    sa.UniqueConstraint("instrument", "feed", "model_hash", "window_start", "window_end", "account_digest"),
)
"""Every look at an out-of-sample window, written before the window is opened; its returns follow once."""

UNKNOWN_ACCOUNT = "before accounts were told apart"
"""The account digest of looks that were written before there was one."""
gate_policies = sa.Table(
    "gate_policies",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("content", json_type(), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("set_by", sa.String(255), nullable=False),
    sa.Column("signature", sa.Text),
    sa.Column("created_at", UTCDateTime, nullable=False),
)
"""The house's policies after the packaged version 1; the last one counts."""

inference_features_5m = sa.Table(
    "inference_features_5m",
    metadata,
    sa.Column("instrument", sa.String(20), primary_key=True),
    sa.Column("timestamp", UTCDateTime, primary_key=True),
    *(sa.Column(name, sa.Float) for name in FEATURE_ORDER),
    sa.Column("feature_order_hash", sa.String(64), nullable=False),
    sa.Column("feature_hash", sa.String(64), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
)
