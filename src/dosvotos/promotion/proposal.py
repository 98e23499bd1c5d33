"""The first vote: criteria, improvement and evidence become one recommendation, for a person to confirm."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator
from sqlalchemy import Row

from dosvotos.backtest.metrics import Metrics, SpecifiedMetrics
from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestFigures, BacktestReport, figures_of
from dosvotos.contracts.records import LayerRecords, Record
from dosvotos.promotion.criteria import (
    CriterionResult,
    criterion_text,
    failure_reasons,
    hard_criteria,
    improvement_criterion,
    is_passed,
    lineage_criterion,
    loosened_limits,
    loosened_reason,
    mark_loosened,
)
from dosvotos.promotion.evidence import Evidence, rival_figures
from dosvotos.promotion.gate_policy import GatePolicy
from dosvotos.promotion.reasons import Reason, explanation

Recommendation = Literal["PROMOTE", "REVIEW", "REJECT"]

CONFIDENCE = {"PROMOTE": 0.85, "REVIEW": 0.60, "REJECT": 0.90}
"""The specification's label of each rule; the probability is ``evidence.psr``."""


class Recommended(NamedTuple):
    """L4's vote."""

    recommendation: Recommendation
    reasons: tuple[Reason, ...]


class ProposalLineage(Record):
    """What a proposal rests on, from the data to the vote."""

    acquisition_hash: str
    dataset_hash: str
    config_hash: str
    feature_order_hash: str
    norm_stats_hash: str
    model_hash: str
    manifest_hash: str
    reward_config_hash: str
    backtest_hash: str | None
    """None of a refit, whose test was not opened."""
    test_dataset_hash: str
    test_period: str
    baseline_model_id: str | None
    """The production model then."""
    refit_of: Annotated[str | None, Field(exclude_if=lambda model: model is None)] = None
    """Of a refit: the approved model whose contract it runs on later data."""
    mlflow_run_id: str | None
    targets: Annotated[str | None, Field(exclude_if=lambda own: own is None)] = None
    """Of an own strategy, which cannot be served: its ``candidate.targets``."""
    folds: Annotated[int | None, Field(exclude_if=lambda folds: folds is None)] = None
    """Of a walk-forward line: how many. The proposal is about the method, the candidate the last fold's."""
    planted_edge: float | None
    """Of a sample market that has one."""
    oracle_sharpe: float | None
    promotion_decision: str = "PENDING_APPROVAL"


class PromotionProposal(Record):
    """What L4 puts before a person; the specification's fields and the evidence.

    `vs_baseline` and `criteria_results` are the specification's strings, written here for those who read the
    files; programs read the comparison report and `criteria`.
    """

    run_fields: ClassVar[Mapping[str, Any]] = {"lineage": {"mlflow_run_id"}}

    model_id: str
    experiment_name: str
    recommendation: Recommendation
    confidence: float
    reason: str
    reasons: tuple[Reason, ...]
    """What `reason` says, for other languages."""
    metrics: Metrics | None
    """None of a refit, as `evidence` and `findings`: its test was not opened."""
    vs_baseline: dict[str, str | None] | None
    criteria_results: dict[str, str]
    criteria: tuple[CriterionResult, ...] = ()
    """Empty in files of proposals made before there were records."""
    evidence: Evidence | None
    requires_human_approval: Literal[True] = True
    status: Literal["PENDING_APPROVAL"] = "PENDING_APPROVAL"
    lineage: ProposalLineage
    findings: BacktestFigures | None
    """The result at other costs, delays and financing, and in parts."""

    @model_validator(mode="after")
    def _figures_of_what_was_tested(self) -> Self:
        """Ask for all figures of a model that was tested, and for none of a refit."""
        figures = (self.metrics, self.evidence, self.findings, self.lineage.backtest_hash)
        if len({value is None for value in (*figures, None if self.lineage.refit_of else self)}) != 1:
            raise ValueError("metrics, evidence, findings and backtest_hash: all, or of a refit none")
        return self


def recommend(
    criteria: Sequence[CriterionResult],
    improvement: CriterionResult,
    evidence: Evidence,
    loosened: tuple[Reason, ...] = (),
) -> Recommended:
    """Apply the decision table.

    A failed hard criterion is REJECT; all hard criteria passed, improvement reached or not applicable and
    evidence complete is PROMOTE; anything between is REVIEW, with what is missing. Criteria that ask less
    than the house's policy are REVIEW at best.
    """
    if not is_passed(criteria):
        return Recommended("REJECT", failure_reasons(criteria))
    if missing := (*loosened, *_not_improved(improvement), *evidence.missing):
        return Recommended("REVIEW", missing)
    against = (
        Reason(code="no_production")
        if improvement.verdict == "NOT APPLICABLE"
        else Reason(code="improves", figures={"sharpe": improvement.found})
    )
    beaten = (Reason(code="beats_naive"), *_beside_linear(evidence))
    return Recommended("PROMOTE", (_not_luck(evidence), *beaten, against))


def _not_improved(improvement: CriterionResult) -> tuple[Reason, ...]:
    if improvement.verdict != "NOT REACHED":
        return ()
    if improvement.not_compared == "not_comparable":
        return (Reason(code="not_comparable"),)
    if improvement.interval_90 is None or improvement.not_compared:
        return (Reason(code="improvement_undefined"),)
    low, high = improvement.interval_90
    return (Reason(code="not_better", figures={"sharpe": improvement.found, "low": low, "high": high}),)


def _beside_linear(evidence: Evidence) -> tuple[Reason, ...]:
    """Say how a model that is not worse than its linear rival compares with it; empty where there is none."""
    if (rival := evidence.linear_rival) is None or rival.status == "undefined":
        return ()
    if rival.status == "same_policy":
        return (Reason(code="is_linear"),)
    code = "beats_linear" if rival.rival_is_worse else "like_linear"
    return (Reason(code=code, figures=rival_figures(rival)),)


def _not_luck(evidence: Evidence) -> Reason:
    names = ("p_value", "level", "looks", "models", "sessions")
    figures = {name: getattr(evidence, name) for name in names}
    return Reason(code="passes_luck", figures={**figures, "traded": evidence.sessions_traded})


def served_statistics(layers: LayerRecords) -> str:
    """Give the hash of the statistics that the candidate normalises with: of a line, the last fold's."""
    folds = layers.training.folds
    return folds[-1].norm_stats_hash if folds else layers.dataset.norm_stats_hash


def lineage_of(layers: LayerRecords, report: BacktestReport) -> ProposalLineage:
    """Gather what the layers' records say a proposal rests on."""
    backtest = layers.tested
    return ProposalLineage(
        **layer_hashes(layers),
        backtest_hash=backtest.backtest_hash,
        test_dataset_hash=backtest.test_dataset_hash,
        test_period=backtest.test_period,
        baseline_model_id=backtest.baseline_model_id,
        targets=layers.training.targets,
        folds=len(layers.training.folds) or None,
        oracle_sharpe=report.oracle_sharpe,
    )


def layer_hashes(layers: LayerRecords) -> dict[str, Any]:
    """Gather what L0 to L3 record of a proposal's lineage."""
    contract, dataset, training = layers.contract, layers.dataset, layers.training
    edge = contract.parameters.sample_market.edge
    return {
        "acquisition_hash": dataset.acquisition_hash,
        "dataset_hash": dataset.dataset_hash,
        "config_hash": contract.config_hash,
        "feature_order_hash": dataset.feature_order_hash,
        "norm_stats_hash": served_statistics(layers),
        "model_hash": training.model_hash,
        "manifest_hash": training.manifest_hash,
        "reward_config_hash": contract.reward_config_hash,
        "mlflow_run_id": training.mlflow_run_id,
        "planted_edge": edge if dataset.point_in_time == "simulated" and edge > 0 else None,
    }


def make_proposal(
    layers: LayerRecords,
    report: BacktestReport,
    comparison: ComparisonReport,
    evidence: Evidence,
    policy: GatePolicy,
) -> PromotionProposal:
    """Put criteria, improvement, evidence and lineage together into L4's vote, under the house's policy."""
    wanted = layers.contract.parameters.quality_thresholds.success_criteria
    hard = (*hard_criteria(report.metrics, wanted), lineage_criterion(layers.chain))
    improvement = improvement_criterion(comparison, wanted.improvement_threshold)
    limits = loosened_limits(wanted, policy.success_criteria)
    recommendation, reasons = recommend(hard, improvement, evidence, loosened_reason(limits))
    criteria = mark_loosened((*hard, improvement), limits)
    return PromotionProposal(
        model_id=report.model_id,
        experiment_name=report.experiment_name,
        recommendation=recommendation,
        confidence=CONFIDENCE[recommendation],
        reason=explanation(recommendation, report.metrics, reasons),
        reasons=reasons,
        metrics=report.metrics,
        vs_baseline=_vs_baseline(comparison),
        criteria_results={criterion.name: criterion_text(criterion) for criterion in criteria},
        criteria=criteria,
        evidence=evidence,
        lineage=lineage_of(layers, report),
        findings=figures_of(report),
    )


def stored_criteria(row: Row[Any]) -> tuple[CriterionResult, ...] | None:
    """Read the criteria in a proposal's row; None where it has the specification's strings only."""
    return tuple(map(CriterionResult.model_validate, row.criteria)) if row.criteria else None


def stored_metrics(row: Row[Any]) -> SpecifiedMetrics | None:
    """Read the figures in the row of a proposal or model; None of a refit, whose test was not opened."""
    return SpecifiedMetrics.model_validate(row.metrics) if row.metrics else None


def stored_evidence(row: Row[Any]) -> Evidence | None:
    """Read the evidence in a proposal's row; None of a refit, or as an older version wrote it."""
    try:
        return Evidence.model_validate(row.evidence)
    except ValidationError:
        return None


def _vs_baseline(comparison: ComparisonReport) -> dict[str, str | None] | None:
    if comparison.status != "compared":
        return None
    return {
        "sharpe_improvement": _percent(comparison.sharpe_improvement),
        "drawdown_improvement": _percent(comparison.drawdown_improvement),
    }


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:+.0%}"
