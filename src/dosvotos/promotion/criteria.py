"""The first vote's questions, each answered with its figures."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from dosvotos.contracts.parameters import SuccessCriteriaParams
from dosvotos.contracts.records import ChainRecord
from dosvotos.hashing import short
from dosvotos.promotion.reasons import Reason

_MIN_OLD_SHARPE = 0.10
_COMPARED = re.compile(r"(?:PASS|FAIL) \((\S+) (>|<|<=|>=) (\S+)\)")
_LINKS = re.compile(r"PASS \((\d+) links from L0 to L4 hold\)")
_UNDEFINED = {"min_sharpe": "no_sharpe", "min_win_rate": "no_trade"}


class Figures(NamedTuple):
    """A criterion's two figures, and how they compare."""

    found: float
    sign: str
    needed: float


class Improvement(NamedTuple):
    """How a candidate compares with the production model on the same bars."""

    status: str
    """``not_applicable``, ``not_comparable`` or ``compared``."""
    sharpe: float | None
    drawdown: float | None
    interval_90: tuple[float, float] | None
    reached: bool | None


def hard_criteria(metrics: Mapping[str, Any], wanted: SuccessCriteriaParams) -> dict[str, str]:
    """The specification's four criteria as ``PASS (1.2 > 0.5)`` or ``FAIL (...)``; undefined figures fail."""
    return {
        "min_sharpe": _above(metrics["sharpe_ratio"], wanted.min_sharpe),
        "max_drawdown": _below(metrics["max_drawdown"], wanted.max_drawdown),
        "min_win_rate": _above(metrics["win_rate"], wanted.min_win_rate),
        "min_trades": _above(metrics["total_trades"], wanted.min_trades),
    }


def chain_text(chain: ChainRecord) -> str:
    """The unbroken chain from L0 to L4 as a criterion; every link that does not hold is named."""
    if not chain.broken:
        return f"PASS ({len(chain.links)} links from L0 to L4 hold)"
    said = (
        f"{link.record}: {link.field} is {short(link.said)}, {link.where} {short(link.found)}"
        for link in chain.broken
    )
    return f"FAIL ({'; '.join(said)})"


def figures_of(text: str) -> Figures | None:
    """The figures in a criterion's result; None where it compares none."""
    found = _COMPARED.fullmatch(text)
    return Figures(float(found[1]), found[2], float(found[3])) if found else None


def links_of(text: str) -> int | None:
    """How many links of the chain hold, if all do."""
    found = _LINKS.fullmatch(text)
    return int(found[1]) if found else None


def passed(results: Mapping[str, str]) -> bool:
    """Whether no criterion fails."""
    return not any(text.startswith("FAIL") for text in results.values())


def failures(results: Mapping[str, str]) -> tuple[Reason, ...]:
    """Why criteria fail, one reason each."""
    return tuple(_failure(name, text) for name, text in results.items() if text.startswith("FAIL"))


def _failure(name: str, text: str) -> Reason:
    if figures := figures_of(text):
        return Reason(code=name, figures={"found": figures.found, "needed": figures.needed})
    if text.startswith("FAIL (undefined"):
        return Reason(code=_UNDEFINED[name])
    return Reason(code=name, figures={"said": text.removeprefix("FAIL (").removesuffix(")")})


def improvement_over(
    new: Mapping[str, Any],
    old: Mapping[str, Any],
    interval_90: tuple[float, float] | None,
    threshold: float,
) -> Improvement:
    """Compare a candidate's metrics with the production model's on the same bars.

    Notes
    -----
    ``sharpe = (new - old) / max(|old|, 0.10)``; ``drawdown = (old - new) / old``, None if the old one is 0.
    Reached when the Sharpe improvement exceeds the threshold and the paired 90% interval of the difference
    lies above 0.
    """
    new_sharpe, old_sharpe = new["sharpe_ratio"], old["sharpe_ratio"]
    old_drawdown = old["max_drawdown"]
    drawdown = (old_drawdown - new["max_drawdown"]) / old_drawdown if old_drawdown > 0 else None
    if new_sharpe is None or old_sharpe is None:
        return Improvement("compared", None, drawdown, interval_90, False)
    sharpe = (new_sharpe - old_sharpe) / max(abs(old_sharpe), _MIN_OLD_SHARPE)
    clear = interval_90 is not None and interval_90[0] > 0
    return Improvement("compared", sharpe, drawdown, interval_90, sharpe > threshold and clear)


def improvement_text(improvement: Improvement, threshold: float) -> str:
    """The improvement criterion in the criteria's form."""
    if improvement.status == "not_applicable":
        return "NOT APPLICABLE (no production model)"
    if improvement.status == "not_comparable":
        return "NOT REACHED (the window touches the production model's train or val)"
    if improvement.sharpe is None:
        return "NOT REACHED (a Sharpe ratio is undefined)"
    low, high = improvement.interval_90 or (float("nan"), float("nan"))
    word = "PASS" if improvement.reached else "NOT REACHED"
    sign = ">" if improvement.sharpe > threshold else "<="
    return (
        f"{word} ({improvement.sharpe:+.1%} {sign} {threshold:.0%}; 90% interval of the difference "
        f"{low:.2f} to {high:.2f})"
    )


def _above(value: float | None, threshold: float) -> str:
    if value is None:
        return f"FAIL (undefined, needs > {threshold:.4g})"
    return (
        f"PASS ({value:.4g} > {threshold:.4g})"
        if value > threshold
        else f"FAIL ({value:.4g} <= {threshold:.4g})"
    )


def _below(value: float, threshold: float) -> str:
    return (
        f"PASS ({value:.4g} < {threshold:.4g})"
        if value < threshold
        else f"FAIL ({value:.4g} >= {threshold:.4g})"
    )
