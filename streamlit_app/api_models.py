"""What the REST API takes and gives, each with an example that the docs page shows."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dosvotos.backtest.report import BacktestReport, ExtraBacktestReport
from dosvotos.backtest.window import Sample
from dosvotos.database.outbox import LateMessage
from dosvotos.promotion.criteria import CriterionResult
from dosvotos.promotion.own_strategy import Kind
from dosvotos.promotion.reasons import Reason
from dosvotos.promotion.tripwires import StatedTripwires
from dosvotos.promotion.vote_rules import MAX_REASON, Decision, EarlierVote
from dosvotos.refusals import Phrase

_MAX_SIGNED = 8_192


class Problem(BaseModel):
    """An error, as RFC 9457 describes it; `code` is stable, `detail` in the caller's language."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Conflict",
                "status": 409,
                "code": "proposal_closed",
                "detail": "proposal 12 of 2026-01-31 is REJECTED: it can no longer be voted on",
                "figures": {"proposal": 12, "made": "2026-01-31", "status": "REJECTED"},
            }
        }
    )

    type: str
    title: str
    status: int
    code: str
    detail: str
    figures: dict[str, Any] | None = None
    """What the detail is written with, where the code has figures."""
    errors: list[dict[str, str]] | None = None
    """Of a request that is not as documented: what is wrong where."""


class Health(BaseModel):
    """Whether the app can work."""

    status: Literal["ok", "degraded"]
    """Degraded: votes go on, but nobody runs the extra backtests asked for, or messages wait too long."""
    database: str
    schema_version: str | None
    pending: int
    worker: Literal["up", "down"]
    retracted_data: list[str]
    """Production models and open proposals that are built on data retracted since."""
    late_messages: list[LateMessage]
    """What people and other systems should have been told more than five minutes ago."""


class Experiment(BaseModel):
    """A proposal in the list."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 12,
                "experiment_name": "demo",
                "model_id": "demo_20260131_3f9a0c5d21be",
                "instrument": "USD/COP.SIM",
                "status": "PENDING_APPROVAL",
                "kind": "model",
                "recommendation": "PROMOTE",
                "confidence": 0.85,
                "created_at": "2026-01-31T14:05:00Z",
            }
        }
    )

    id: int
    experiment_name: str
    model_id: str
    instrument: str
    status: str
    kind: Kind
    """An own strategy cannot be served; of a line an approval serves the last fold's model."""
    recommendation: str
    confidence: float | None
    created_at: datetime


class Notice(Reason):
    """What a reader must know besides the first vote, as of now."""

    text: str


class QuestionsAsked(BaseModel):
    """What was asked of the proposal's instrument so far, and what the first vote does not promise."""

    asked: int
    expected_false_votes: float
    """At most so many false first votes are to be expected among them, if no model had any skill."""
    text: str


class ExperimentDetail(Experiment):
    """A proposal with all it stands on."""

    reason: str
    reasons: list[Reason] | None
    """What `reason` says, as codes with figures; null in proposals made before there were codes."""
    requires_human_approval: bool
    metrics: dict[str, Any]
    """Empty of a refit, as `evidence`: its test was not opened."""
    vs_baseline: dict[str, Any] | None
    criteria_results: dict[str, Any]
    criteria: list[CriterionResult] | None
    """`criteria_results` as figures; null in proposals made before there were records."""
    evidence: dict[str, Any]
    lineage: dict[str, Any]
    reviewer: str | None
    reviewer_notes: str | None
    approved_at: datetime | None
    votes: list[EarlierVote]
    notices: list[Notice]
    questions: QuestionsAsked
    dossier_hash: str | None
    """Of the dossier's manifest: what a vote is about; null in proposals made before dossiers."""
    backtest_results: BacktestReport | None
    report_problem: str | None
    """Why there are no backtest results: the file is missing, altered or another version's."""


class VoteRequest(BaseModel):
    """A second vote; `reviewer` may repeat who you are, and must then be right.

    On a log with people an approval and a rejection carry the decision's `text` and your `signature` of it.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "example": {
                "decision": "APPROVE",
                "notes": "Equity, costs and drawdown were read.",
                "promote_to_production": True,
                "text": "dosvotos decision v1\ninstrument: USD/COP.SIM\n...",
                "signature": "-----BEGIN SSH SIGNATURE-----\n...",
            }
        },
    )

    decision: Decision
    notes: Annotated[str, Field(max_length=MAX_REASON)] = ""
    """At least 20 characters of plain text that say why, for APPROVE and REJECT."""
    promote_to_production: bool = True
    lapses: StatedTripwires = StatedTripwires()
    """When the approval ends; what is left out is the policy's bound."""
    reviewer: str | None = None
    text: Annotated[str, Field(max_length=_MAX_SIGNED)] | None = None
    """What `/api/experiments/{id}/decision-text` gave, to the byte."""
    signature: Annotated[str, Field(max_length=_MAX_SIGNED)] | None = None
    """Armored SSHSIG of the text, namespace vote@dosvotos."""

    @model_validator(mode="after")
    def _are_both_there(self) -> "VoteRequest":
        if (self.text is None) != (self.signature is None):
            raise ValueError(Phrase.of("text_and_signature"))
        return self


class VoteResult(BaseModel):
    """What the vote did."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"success": True, "model_id": "demo_20260131_3f9a0c5d21be", "new_stage": "production"}
        }
    )

    success: Literal[True] = True
    model_id: str
    new_stage: str
    missing_approvals: int | None = None
    """How many other people have to approve before the model is in production; left out where none has to."""


class PeriodRequest(BaseModel):
    """The sessions an extra backtest is about, both included: any whose bars are stored."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"start_date": "2026-01-05", "end_date": "2026-01-30"}}
    )

    start_date: date
    end_date: date


class Requested(BaseModel):
    """An extra backtest that waits for its worker, or was asked for before."""

    model_config = ConfigDict(json_schema_extra={"example": {"backtest_id": 3, "status": "queued"}})

    backtest_id: int
    status: str


class ExtraBacktest(BaseModel):
    """An extra backtest; IN-SAMPLE where the period touches what the model was trained or chosen on."""

    backtest_id: int
    status: str
    proposal_id: int
    start_date: date
    end_date: date
    sample: Sample
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    metrics: dict[str, Any] | None
    result_hash: str | None
    backtest_results: ExtraBacktestReport | None
    trouble: str | None
    """Why it failed, or why its results cannot be shown."""


class Signal(BaseModel):
    """One bar's signal, or the reason there is none."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "instrument": "USD/COP.SIM",
                "timestamp": "2026-01-30T13:05:00Z",
                "status": "SIGNAL",
                "reason_code": None,
                "signal": 1.0,
                "confidence": 0.71,
                "position": 0.0,
                "valid_until": "2026-01-30T13:15:00Z",
                "model_id": "demo_20260131_3f9a0c5d21be",
                "model_hash": "77c1a2...",
                "feature_hash": "0b1f9d...",
                "inference_id": "5f0c6a...",
                "inference_latency_ms": 1.9,
                "created_at": "2026-01-30T13:10:01Z",
            }
        }
    )

    instrument: str
    timestamp: datetime
    """The bar's open."""
    status: str
    reason_code: str | None
    signal: float | None
    """The target position, -1 to 1."""
    confidence: float | None
    position: float
    valid_until: datetime | None
    """Close of the bar the order fills at; later than that the signal is void."""
    model_id: str | None
    model_hash: str | None
    feature_hash: str | None
    inference_id: str
    inference_latency_ms: float
    created_at: datetime
