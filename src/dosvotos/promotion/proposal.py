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
    failures,
    hard_criteria,
    improvement_text,
    passed,
)
from dosvotos.promotion.evidence import Evidence
from dosvotos.promotion.reasons import Reason, explanation

CONFIDENCE = {"PROMOTE": 0.85, "REVIEW": 0.60, "REJECT": 0.90}
"""The specification's label of each rule; the probability is ``evidence.psr``."""


class Verdict(NamedTuple):
    """L4's vote."""

    recommendation: Literal["PROMOTE", "REVIEW", "REJECT"]
    reasons: tuple[Reason, ...]


class PromotionProposal(BaseModel):
    """What L4 puts before a person; the specification's fields and the evidence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    experiment_name: str
    recommendation: Literal["PROMOTE", "REVIEW", "REJECT"]
    confidence: float
    reason: str
    reasons: tuple[Reason, ...]
    """What `reason` says, for other languages."""
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
        return Verdict("REJECT", failures(criteria))
    if missing := (*_not_improved(improvement), *evidence.missing):
        return Verdict("REVIEW", missing)
    against = (
        Reason(code="no_production")
        if improvement.status == "not_applicable"
        else Reason(code="improves", figures={"sharpe": improvement.sharpe})
    )
    return Verdict("PROMOTE", (_not_luck(evidence), Reason(code="beats_naive"), against))


def _not_improved(improvement: Improvement) -> tuple[Reason, ...]:
    if improvement.status == "not_comparable":
        return (Reason(code="not_comparable"),)
    if improvement.reached is not False:
        return ()
    if improvement.sharpe is None or improvement.interval_90 is None:
        return (Reason(code="improvement_undefined"),)
    low, high = improvement.interval_90
    return (Reason(code="not_better", figures={"sharpe": improvement.sharpe, "low": low, "high": high}),)


def _not_luck(evidence: Evidence) -> Reason:
    if evidence.spa_p_value is None:
        return Reason(code="passes", figures={"psr": evidence.psr})
    figures = {"looks": evidence.looks, "p_value": evidence.spa_p_value}
    return Reason(code="passes_among_many", figures=figures)


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
    return PromotionProposal(
        model_id=model_id,
        experiment_name=contract.experiment_name,
        recommendation=verdict.recommendation,
        confidence=CONFIDENCE[verdict.recommendation],
        reason=explanation(verdict.recommendation, metrics.model_dump(), verdict.reasons),
        reasons=verdict.reasons,
        metrics=metrics,
        vs_baseline=_vs_baseline(improvement),
        criteria_results={
            **criteria,
            "improvement": improvement_text(improvement, wanted.improvement_threshold),
        },
        evidence={
            **evidence.model_dump(mode="json"),
            "passed": evidence.passed,
            "notes": evidence.notes,
        },
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
