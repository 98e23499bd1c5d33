"""The first vote: criteria, improvement and evidence become one recommendation, for a person to confirm."""

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from dosvotos.backtest.metrics import Metrics
from dosvotos.backtest.report import Findings
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import ChainRecord
from dosvotos.hashing import digest_json
from dosvotos.promotion.criteria import (
    Improvement,
    chain_text,
    failure_of,
    hard_criteria,
    improvement_text,
    passed,
)
from dosvotos.promotion.evidence import Evidence, chance_text

CONFIDENCE = {"PROMOTE": 0.85, "REVIEW": 0.60, "REJECT": 0.90}
"""The specification's label of each rule; the probability is ``evidence.psr``."""


class Verdict(NamedTuple):
    """L4's vote."""

    recommendation: Literal["PROMOTE", "REVIEW", "REJECT"]
    reason: str


class PromotionProposal(BaseModel):
    """What L4 puts before a person; the specification's fields and the evidence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    experiment_name: str
    recommendation: Literal["PROMOTE", "REVIEW", "REJECT"]
    confidence: float
    reason: str
    metrics: Metrics
    vs_baseline: dict[str, str | None] | None
    criteria_results: dict[str, str]
    evidence: dict[str, Any]
    requires_human_approval: Literal[True] = True
    status: Literal["PENDING_APPROVAL"] = "PENDING_APPROVAL"
    lineage: dict[str, Any]
    findings: Findings
    """The result at other costs, delays and financing, and in parts."""

    @property
    def content_hash(self) -> str:
        """Hash of what the proposal says; the MLflow run, which differs each time, stands beside it."""
        content = self.model_dump(mode="json")
        content["lineage"].pop("mlflow_run_id")
        return digest_json(content)


def judge(criteria: dict[str, str], improvement: Improvement, evidence: Evidence) -> Verdict:
    """Apply the decision table.

    A failed hard criterion is REJECT; all hard criteria passed, improvement reached or not applicable and
    evidence complete is PROMOTE; anything between is REVIEW, with what is missing.
    """
    if not passed(criteria):
        failed = [failure_of(name, text) for name, text in criteria.items() if text.startswith("FAIL")]
        return Verdict("REJECT", f"Rejected: {'; '.join(failed)}.")
    missing = _improvement_notes(improvement) + list(evidence.notes)
    if missing:
        return Verdict("REVIEW", f"It passes the criteria, but a person has to judge: {'; '.join(missing)}.")
    against = (
        "There is no production model to compare it with."
        if improvement.status == "not_applicable"
        else f"Its Sharpe ratio improves on production's by {improvement.sharpe:+.0%}, clear of luck."
    )
    return Verdict("PROMOTE", f"{_not_luck(evidence)} It beats the naive strategies. {against}")


def _improvement_notes(improvement: Improvement) -> list[str]:
    if improvement.status == "not_comparable":
        return [
            "it cannot be compared with the production model, "
            "which was trained or chosen on part of this window"
        ]
    if improvement.reached is not False:
        return []
    if improvement.sharpe is None or improvement.interval_90 is None:
        return ["it cannot be compared with the production model, because a Sharpe ratio is undefined"]
    low, high = improvement.interval_90
    return [
        f"it is not clearly better than the production model: its Sharpe ratio differs by "
        f"{improvement.sharpe:+.0%}, and the difference lies between {low:.2f} and {high:.2f} (90%)"
    ]


def _not_luck(evidence: Evidence) -> str:
    if evidence.spa_p_value is None:
        shown = f"with a probability of {chance_text(evidence.psr)} its true Sharpe ratio is above 0"
    else:
        shown = (
            f"the best of {evidence.looks} models without skill would do as well with a probability of "
            f"{chance_text(evidence.spa_p_value, 2)}"
        )
    return f"It passes the criteria, and luck is unlikely: {shown}."


def make_proposal(
    contract: ExperimentContract,
    model_id: str,
    findings: Findings,
    improvement: Improvement,
    evidence: Evidence,
    lineage: dict[str, Any],
    chain: ChainRecord,
) -> PromotionProposal:
    """Put the first vote together."""
    wanted = contract.parameters.quality_thresholds.success_criteria
    metrics = findings.metrics
    criteria = {**hard_criteria(metrics.model_dump(), wanted), "lineage": chain_text(chain)}
    verdict = judge(criteria, improvement, evidence)
    sharpe = metrics.sharpe_ratio
    summary = f"Sharpe {sharpe:.2f}" if sharpe is not None else "Sharpe undefined"
    return PromotionProposal(
        model_id=model_id,
        experiment_name=contract.experiment_name,
        recommendation=verdict.recommendation,
        confidence=CONFIDENCE[verdict.recommendation],
        reason=f"{summary}, {metrics.total_trades} trades. {verdict.reason}",
        metrics=metrics,
        vs_baseline=_vs_baseline(improvement),
        criteria_results={
            **criteria,
            "improvement": improvement_text(improvement, wanted.improvement_threshold),
        },
        evidence={**evidence.model_dump(mode="json"), "passed": evidence.passed},
        lineage={**lineage, "promotion_decision": "PENDING_APPROVAL"},
        findings=findings,
    )


def _vs_baseline(improvement: Improvement) -> dict[str, str | None] | None:
    if improvement.status != "compared":
        return None
    return {
        "sharpe_improvement": _percent(improvement.sharpe),
        "drawdown_improvement": _percent(improvement.drawdown),
    }


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:+.0%}"
