"""The first vote's criteria, each answered with its figures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from dosvotos.backtest.metrics import SpecifiedMetrics
from dosvotos.backtest.production import ComparisonReport
from dosvotos.contracts.quality_thresholds import SuccessCriteriaParams
from dosvotos.contracts.records import ChainRecord, LinkRecord, Record
from dosvotos.hashing import short
from dosvotos.promotion.reasons import Reason, format_distinct

Sign = Literal[">", "<", ">=", "<=", "="]
Verdict = Literal["PASS", "FAIL", "NOT REACHED", "NOT APPLICABLE"]
NotCompared = Literal["not_applicable", "not_comparable", "undefined"]

_FAILED_SIGN: dict[Sign, Sign] = {">": "<=", "<": ">="}
_CEILINGS = ("max_drawdown",)
"""Limits that are the looser the higher they are; all others the lower."""
LIMITED = {"improvement_threshold": "improvement"}
"""The criterion a limit belongs to, where it has another name."""
_UNDEFINED = {"min_sharpe": "no_sharpe", "min_win_rate": "no_trade"}
_NOT_COMPARED = {
    "not_applicable": "no production model",
    "not_comparable": "the window touches the production model's train or val",
    "undefined": "a Sharpe ratio is undefined",
}


class CriterionResult(Record):
    """One criterion's answer."""

    name: str
    found: int | float | None
    """Of the lineage the links that hold; None where the figure is not defined."""
    sign: Sign
    """How `found` compares with `needed`; where it is not defined, how it would have to."""
    needed: int | float
    verdict: Verdict
    interval_90: tuple[float, float] | None = None
    """Of the improvement: the paired interval of the difference of Sharpe ratios."""
    not_compared: NotCompared | None = None
    """Of the improvement: why there is none."""
    broken: tuple[LinkRecord, ...] = ()
    """Of the lineage: the links that do not hold."""
    floor: int | float | None = None
    """The house's limit, where the experiment's own, `needed`, is looser."""


def loosened_limits(
    stated: SuccessCriteriaParams, house: SuccessCriteriaParams
) -> dict[str, tuple[float, float]]:
    """Give the limits of an experiment that ask less than the house's: both values, by name."""
    pairs = {
        name: (getattr(stated, name), getattr(house, name)) for name in SuccessCriteriaParams.model_fields
    }
    return {
        name: pair
        for name, pair in pairs.items()
        if (pair[0] - pair[1]) * (-1 if name in _CEILINGS else 1) < 0
    }


def loosened_reason(limits: Mapping[str, tuple[float, float]]) -> tuple[Reason, ...]:
    """Say that a person has to judge, since the experiment asks less than the house; empty if it does not."""
    return (Reason(code="loosened", figures={"limits": dict(limits)}),) if limits else ()


def mark_loosened(
    criteria: Iterable[CriterionResult], limits: Mapping[str, tuple[float, float]]
) -> tuple[CriterionResult, ...]:
    """Put the house's limit beside every criterion in which the experiment asks less."""
    by_criterion = {LIMITED.get(name, name): house for name, (_, house) in limits.items()}
    return tuple(
        criterion.model_copy(update={"floor": by_criterion.get(criterion.name)}) for criterion in criteria
    )


def hard_criteria(metrics: SpecifiedMetrics, wanted: SuccessCriteriaParams) -> tuple[CriterionResult, ...]:
    """Judge the specification's four criteria; a figure that is not defined fails."""
    return (
        _criterion("min_sharpe", metrics.sharpe_ratio, ">", wanted.min_sharpe),
        _criterion("max_drawdown", metrics.max_drawdown, "<", wanted.max_drawdown),
        _criterion("min_win_rate", metrics.win_rate, ">", wanted.min_win_rate),
        _criterion("min_trades", metrics.total_trades, ">", wanted.min_trades),
    )


def lineage_criterion(chain: ChainRecord) -> CriterionResult:
    """Judge the chain from L0 to L4, which must be unbroken."""
    n_links, n_broken = len(chain.links), len(chain.broken)
    return CriterionResult(
        name="lineage",
        found=n_links - n_broken,
        sign="<" if n_broken else "=",
        needed=n_links,
        verdict="FAIL" if n_broken else "PASS",
        broken=chain.broken,
    )


def improvement_criterion(comparison: ComparisonReport, threshold: float) -> CriterionResult:
    """Judge the improvement over production, which may stop a PROMOTE but rejects nothing."""
    found = comparison.sharpe_improvement
    verdict: Verdict = "PASS" if comparison.reached else "NOT REACHED"
    not_compared: NotCompared | None = None if comparison.status == "compared" else comparison.status
    if not_compared is None and (found is None or comparison.interval_90 is None):
        not_compared = "undefined"
    return CriterionResult(
        name="improvement",
        found=found,
        sign="<=" if found is not None and found <= threshold else ">",
        needed=threshold,
        verdict="NOT APPLICABLE" if not_compared == "not_applicable" else verdict,
        interval_90=comparison.interval_90,
        not_compared=not_compared,
    )


def is_passed(criteria: Iterable[CriterionResult]) -> bool:
    """Tell whether no criterion fails."""
    return all(criterion.verdict != "FAIL" for criterion in criteria)


def failure_reasons(criteria: Iterable[CriterionResult]) -> tuple[Reason, ...]:
    """Give the reasons why criteria fail, one reason each."""
    return tuple(_reason(criterion) for criterion in criteria if criterion.verdict == "FAIL")


def criterion_text(criterion: CriterionResult) -> str:
    """Write a criterion as the specification does: ``PASS (1.2 > 0.5)``.

    Figures get as many digits as tell them apart.
    """
    return f"{criterion.verdict} ({_figures_text(criterion)}{_floor_text(criterion)})"


def _floor_text(criterion: CriterionResult) -> str:
    if criterion.floor is None:
        return ""
    shown = f"{criterion.floor:.1%}" if criterion.name == "improvement" else _plain(criterion.floor, 4)
    return f"; the house asks {shown}"


def _figures_text(criterion: CriterionResult) -> str:
    if criterion.name == "lineage":
        return name_links(criterion.broken) or f"{criterion.found} links from L0 to L4 hold"
    if criterion.not_compared:
        return _NOT_COMPARED[criterion.not_compared]
    if criterion.found is None:
        return f"undefined, needs {criterion.sign} {_plain(criterion.needed, 4)}"
    if criterion.interval_90 is None:
        found, needed = format_distinct(criterion.found, criterion.needed, _plain, 4)
        return f"{found} {criterion.sign} {needed}"
    found, needed = format_distinct(criterion.found, criterion.needed, lambda value, n: f"{value:.{n}%}", 1)
    plus, (low, high) = "+" if criterion.found > 0 else "", criterion.interval_90
    return f"{plus}{found} {criterion.sign} {needed}; 90% interval of the difference {low:.2f} to {high:.2f}"


def _criterion(name: str, found: int | float | None, sign: Sign, needed: int | float) -> CriterionResult:
    passes = found is not None and (found > needed if sign == ">" else found < needed)
    return CriterionResult(
        name=name,
        found=found,
        sign=sign if passes or found is None else _FAILED_SIGN[sign],
        needed=needed,
        verdict="PASS" if passes else "FAIL",
    )


def _reason(criterion: CriterionResult) -> Reason:
    if criterion.name == "lineage":
        return Reason(code="lineage", figures={"said": name_links(criterion.broken)})
    if criterion.found is None:
        return Reason(code=_UNDEFINED[criterion.name])
    return Reason(code=criterion.name, figures={"found": criterion.found, "needed": criterion.needed})


def name_links(links: Sequence[LinkRecord]) -> str:
    """Write links with both of their values, as a proposal names those that do not hold."""
    return "; ".join(
        f"{link.record}: {link.field} is {short(link.recorded)}, {link.source} {short(link.recomputed)}"
        for link in links
    )


def _plain(value: int | float, digits: int) -> str:
    """Write a figure with significant digits and no exponent."""
    if isinstance(value, int):
        return str(value)
    return np.format_float_positional(value, precision=digits, fractional=False, trim="-")
