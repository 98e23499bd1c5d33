"""Experiments that ask less of themselves than the house does: refused, or a REVIEW that says so."""

from typing import Any, NamedTuple

from dosvotos.errors import ParameterError
from dosvotos.promotion.criteria import hard_criteria, improvement_criterion, loosened_limits, loosened_reason
from dosvotos.promotion.floors import refuse_looser
from dosvotos.promotion.gate_policy import packaged_policy
from dosvotos.promotion.proposal import recommend
from dosvotos.promotion.reasons import sentence
from tests.conftest import parameter_tree, parameters_of
from tests.report_factory import comparison_of, evidence_of, metrics_of, report_of

CRITERIA = {
    "min_sharpe": (0.49, 0.0, -1.0), "max_drawdown": (0.1500001, 0.3, 1.0), "min_win_rate": (0.44, 0.0),
    "min_trades": (49, 0), "improvement_threshold": (0.049, 0.0),
}  # fmt: skip
EVIDENCE = {
    "min_positive_seeds": (0.59, 0.0), "n_random_traders": (199, 20), "naive_percentile": (94.9, 50.0),
    "min_psr": (0.51, 0.0), "max_spa_p_value": (0.5,), "bootstrap_replications": (100,), "seed": (7,),
}  # fmt: skip


class LooseningCount(NamedTuple):
    """How many weaker gates were tried, and which were taken in silence."""

    tried: int
    accepted: list[str]


def loosen() -> LooseningCount:
    """Weaken each limit in turn."""
    accepted, tried = [], 0
    for name, values in CRITERIA.items():
        for value in values:
            tried += 1
            if _promotes(name, value):
                accepted.append(f"success_criteria.{name} = {value}")
    evidence, quality = parameter_tree()["evidence"], parameter_tree()["quality_thresholds"]
    weaker: list[dict[str, Any]] = [
        {"evidence": {**evidence, name: value}} for name, values in EVIDENCE.items() for value in values
    ]
    weaker += [{"quality_thresholds": {**quality, "max_uncovered_sessions": share}} for share in (0.11, 1.0)]
    for sections in weaker:
        tried += 1
        try:
            refuse_looser(parameters_of(**sections), packaged_policy())
            accepted.append(str(sections))
        except ParameterError:
            pass
    return LooseningCount(tried, accepted)


def _promotes(name: str, value: float) -> bool:
    """Tell whether a weaker criterion reaches PROMOTE, or a REVIEW that does not say so."""
    house = packaged_policy().success_criteria
    stated = house.model_copy(update={name: value})
    hard = hard_criteria(metrics_of(), stated)
    improvement = improvement_criterion(comparison_of(report_of()), stated.improvement_threshold)
    limits = loosened_limits(stated, house)
    made = recommend(hard, improvement, evidence_of(), loosened_reason(limits))
    return made.recommendation == "PROMOTE" or f"{name} " not in sentence(made.reasons[0])
