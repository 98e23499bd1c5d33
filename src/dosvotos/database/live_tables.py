"""Tables of the live loop: its rows, state, accounts and limits, and the fills it is compared with."""

import sqlalchemy as sa

from dosvotos.database.columns import UTCDateTime, json_type, metadata, one_of

LIVE_STATES = ("ACTIVE", "REDUCING", "HALTED")

live_state = sa.Table(
    "live_state",
    metadata,
    sa.Column("instrument", sa.String(20), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("changed_by", sa.String(255), nullable=False),
    sa.Column("changed_at", UTCDateTime, nullable=False),
    one_of("state", LIVE_STATES, "state_known"),
)
"""What L5 may do for an instrument; without a row it is ACTIVE. A signed HALT counts even if this row says
otherwise, until a signed RESUME."""

limit_trips = sa.Table(
    "limit_trips",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instrument", sa.String(20), nullable=False, index=True),
    sa.Column("rule", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("detail_told", json_type()),
    sa.Column("approval_id", sa.Integer),
    sa.Column("timestamp", UTCDateTime, nullable=False),
    sa.Column("log_row", sa.Integer, nullable=False),
    sa.Column("tripped_at", UTCDateTime, nullable=False),
    one_of("state", LIVE_STATES[1:], "state_known"),
)
"""Limits that were reached, at which bar; each holds until the log has a RESUME later than `log_row`.
`detail_told` has the detail in each language."""

model_accounts = sa.Table(
    "model_accounts",
    metadata,
    sa.Column("approval_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("timestamp", UTCDateTime, primary_key=True),
    sa.Column("instrument", sa.String(20), nullable=False),
    sa.Column("price", sa.Float, nullable=False),
    sa.Column("rate_difference", sa.Float),
    sa.Column("units", sa.Float, nullable=False),
    sa.Column("equity", sa.Float, nullable=False),
    sa.Column("peak", sa.Float, nullable=False),
    sa.Column("resumed_peak", sa.Float, nullable=False),
    sa.Column("resumed_by", sa.Integer, nullable=False),
)
"""What an approved model's assumed fills have made of its capital, at each bar's close after its fill.

`approval_id` is the approval's row of the log. `resumed_peak` counts from the last RESUME, row `resumed_by`.
"""

shadow_signals = sa.Table(
    "shadow_signals",
    metadata,
    sa.Column("approval_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("timestamp", UTCDateTime, primary_key=True),
    sa.Column("instrument", sa.String(20), nullable=False),
    sa.Column("model_id", sa.String(255), nullable=False),
    sa.Column("manifest_hash", sa.String(64), nullable=False),
    sa.Column("feature_hash", sa.String(64), nullable=False),
    sa.Column("target", sa.Float),
    sa.Column("confidence", sa.Float),
    sa.Column("reason_code", sa.String(32)),
    sa.Column("position", sa.Float, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.CheckConstraint("target >= -1 AND target <= 1", name="target_range"),
    sa.CheckConstraint("(target IS NULL) = (reason_code IS NOT NULL)", name="target_or_reason"),
)
"""What models approved to shadow would hold; a table of its own, so that no consumer's query finds it."""

trading_signals = sa.Table(
    "trading_signals",
    metadata,
    sa.Column("instrument", sa.String(20), primary_key=True),
    sa.Column("timestamp", UTCDateTime, primary_key=True),
    sa.Column("inference_id", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason_code", sa.String(32)),
    sa.Column("model_id", sa.String(255)),
    sa.Column("model_hash", sa.String(64)),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("signal", sa.Float),
    sa.Column("confidence", sa.Float),
    sa.Column("position", sa.Float, nullable=False),
    sa.Column("feature_hash", sa.String(64)),
    sa.Column("inference_latency_ms", sa.Float, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("manifest_hash", sa.String(64)),
    sa.Column("norm_stats_hash", sa.String(64)),
    sa.Column("inference_hash", sa.String(64)),
    sa.Column("valid_until", UTCDateTime),
    sa.Column("advised_target", sa.Float),
    sa.Column("macro_late", json_type()),
    sa.Column("detail", sa.Text),
    sa.Column("spooled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("checkpoint", sa.Text),
    one_of("status", ("SIGNAL", "NO_SIGNAL"), "status_known"),
    sa.CheckConstraint("signal >= -1 AND signal <= 1", name="signal_range"),
    sa.CheckConstraint("(status = 'SIGNAL') = (signal IS NOT NULL)", name="signal_or_none"),
    sa.CheckConstraint("status = 'SIGNAL' OR reason_code IS NOT NULL", name="reason_without_signal"),
)
"""One row an instrument and session bar. A signal with a reason is the loop's own: the flat row of a halt, or
a target that may only be reduced. `advised_target` is what a consumer should hold after the row."""

provider_calls = sa.Table(
    "provider_calls",
    metadata,
    sa.Column("provider", sa.String(32), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("calls", sa.Integer, nullable=False),
)
"""Calls to a provider on a day (UTC), counted before each is made, by whatever process."""

fills = sa.Table(
    "fills",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instrument", sa.String(20), nullable=False),
    sa.Column("feed", sa.String(64), nullable=False),
    sa.Column("time", UTCDateTime, nullable=False),
    sa.Column("side", sa.String(4), nullable=False),
    sa.Column("quantity", sa.Float, nullable=False),
    sa.Column("price", sa.Float, nullable=False),
    sa.Column("notional_usd", sa.Float, nullable=False),
    sa.Column("fill_hash", sa.String(64), nullable=False),
    sa.Column("source", sa.String(255), nullable=False),
    sa.Column("source_hash", sa.String(64), nullable=False),
    sa.Column("imported_at", UTCDateTime, nullable=False),
    sa.UniqueConstraint("fill_hash"),
    one_of("side", ("BUY", "SELL"), "side_known"),
    sa.CheckConstraint("quantity > 0 AND price > 0", name="amounts_positive"),
)
"""What a desk traded, as its own files say: USD bought or sold at a price in COP. `fill_hash` is of what was
traded and when, so that the same fill is written once, whichever files hold it; `notional_usd` is what a
target of 1 stood for when it was imported, `feed` the market whose bars it is compared with."""
