"""What a window proves beyond the criteria: against luck, against strategies without skill, and how fully."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row

from dosvotos.backtest.evidence import (
    FamilyTest,
    Interval,
    Shape,
    deflated_sharpe_ratio,
    family_test,
    min_track_record,
    power,
    probability_above,
    resampled_intervals,
    shape_of,
)
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.parameters import EvidenceParams
from dosvotos.contracts.records import SeedRecord, SplitRecord
from dosvotos.promotion.reasons import Reason, sentence
from dosvotos.training.results import MIN_SEEDS

TRUE_SHARPES = (1, 2, 3)
"""Annual; for each, the chance that the window would have shown it."""


class Evidence(BaseModel):
    """What the window proves beyond the criteria."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    looks: int
    """Distinct models that have seen this window, this one and declared prior trials included."""
    prior_trials: int
    psr: float | None
    """Probability that the true Sharpe ratio is above 0."""
    deflated_sharpe: float | None = None
    """Probability that it is above what the luckiest of all looks would show; None where that is unknown."""
    sessions: int = 0
    min_track_record: int | None = None
    """Sessions this Sharpe ratio needs to show the PSR asked for; None if it is not positive."""
    power: dict[str, float | None] = {}
    """By true annual Sharpe ratio: the chance that this window would have shown the PSR asked for."""
    intervals_90: dict[str, Interval] | None = None
    """Of sharpe_ratio, total_return and max_drawdown (between session ends), by resampled windows."""
    level: float | None = None
    """What SPA and StepM ask at this look; None at the first."""
    spa_p_value: float | None = None
    in_superior_set: bool | None = None
    luck_excluded: bool
    beats_naive: bool
    seeds: str
    """How many of the contract's seeds end with a positive return on val, in words."""
    val_returns: dict[str, float] = {}
    """Net return on val of each seed's best policy, by seed."""
    positive_seeds: float | None = None
    """Their share; None with fewer than five."""
    point_in_time: str
    covered: bool
    """Whether enough test sessions have a complete row."""
    ledger: dict[str, str]
    missing: tuple[Reason, ...]
    """What a person has to judge; empty when the evidence is complete."""

    @property
    def passed(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing, in words."""
        return tuple(map(sentence, self.missing))


def weigh(
    contract: ExperimentContract,
    test: SplitRecord,
    point_in_time: str,
    seeds: Sequence[SeedRecord],
    results: dict[str, Any],
    looks: Sequence[Row[Any]],
    ledger: dict[str, str],
) -> Evidence:
    """Weigh a backtest.

    Parameters
    ----------
    contract : ExperimentContract
    test : SplitRecord
    point_in_time : str
        What the dataset's vintages prove.
    seeds : sequence of SeedRecord
        Every seed of the contract.
    results : dict
        The backtest's report: model_hash, metrics, daily_returns (by ISO date) and naive.
    looks : sequence of rows of oos_trials
        Every look at an overlapping window, this one included.
    ledger : dict
        The ledger's id and birth.
    """
    parameters = contract.parameters
    settings = parameters.evidence
    returns = pd.Series(results["daily_returns"], dtype=float)
    shape = shape_of(returns.to_numpy())
    psr = probability_above(shape, 0.0) if shape else None
    series = _stored_series(results["model_hash"], returns, looks)
    n_looks = len({row.model_hash for row in looks} | {results["model_hash"]}) + settings.prior_trials
    family = _family(settings, results["model_hash"], series, n_looks) if n_looks > 1 else None
    if family is None:
        excluded = psr is not None and psr >= settings.min_psr
    else:
        excluded = family.spa_p_value <= level_at(settings, n_looks) and family.in_superior_set
    beats = _beats_naive(results)
    uncovered = test.uncovered_sessions / test.sessions
    covered = uncovered <= parameters.quality_thresholds.max_uncovered_sessions
    n_positive = sum(seed.best_val_reward > 0 for seed in seeds)
    share = n_positive / len(seeds) if len(seeds) >= MIN_SEEDS else None
    missing = [] if excluded else [_luck(settings, psr, n_looks, family)]
    missing += [] if beats else [_naive(results)]
    if share is not None and share < settings.min_positive_seeds:
        figures = {"positive": n_positive, "seeds": len(seeds), "needed": settings.min_positive_seeds}
        missing.append(Reason(code="seeds", figures=figures))
    missing += [] if covered else [_uncovered(test)]
    return Evidence(
        looks=n_looks,
        prior_trials=settings.prior_trials,
        psr=psr,
        deflated_sharpe=_deflated(shape, series, n_looks),
        sessions=len(returns),
        min_track_record=_sessions_needed(shape, settings.min_psr),
        power={
            str(sharpe): power(shape, sharpe, settings.min_psr) if shape else None for sharpe in TRUE_SHARPES
        },
        intervals_90=resampled_intervals(returns.to_numpy(), settings.bootstrap_replications, settings.seed),
        level=level_at(settings, n_looks) if family else None,
        spa_p_value=family.spa_p_value if family else None,
        in_superior_set=family.in_superior_set if family else None,
        luck_excluded=excluded,
        beats_naive=beats,
        seeds="one seed" if len(seeds) == 1 else f"{n_positive} of {len(seeds)} seeds positive on val",
        val_returns={str(seed.seed): seed.best_val_reward for seed in seeds},
        positive_seeds=share,
        point_in_time=point_in_time,
        covered=covered,
        ledger=ledger,
        missing=tuple(missing),
    )


def level_at(settings: EvidenceParams, n_looks: int) -> float:
    """Level of SPA and StepM at a later look: it shrinks with the looks, so that all of them spend little.

    The k-th of k looks alike is found superior by luck with about a k-th of the level. Were the level the
    same at each, those chances would add up without end, as 1 + 1/2 + 1/3 ...; divided by k they add up to
    less than 0.65 of it behind the first look.
    """
    return settings.max_spa_p_value / n_looks


def _stored_series(model_hash: str, returns: pd.Series, looks: Sequence[Row[Any]]) -> pd.DataFrame:
    """Daily returns of every look that covers the window's sessions, the candidate's own first."""
    series, days = {model_hash: returns.to_list()}, returns.index.to_list()
    for row in looks:
        stored = row.daily_returns or {}
        if row.model_hash not in series and all(day in stored for day in days):
            series[row.model_hash] = [stored[day] for day in days]
    return pd.DataFrame(series, index=returns.index)


def _family(settings: EvidenceParams, model_hash: str, series: pd.DataFrame, n_looks: int) -> FamilyTest:
    level = level_at(settings, n_looks)
    return family_test(model_hash, series, n_looks, level, settings.bootstrap_replications, settings.seed)


def _deflated(shape: Shape | None, series: pd.DataFrame, n_looks: int) -> float | None:
    if shape is None:
        return None
    shapes = [shape_of(series[name].to_numpy()) for name in series]
    return deflated_sharpe_ratio(shape, np.array([one.sharpe for one in shapes if one]), n_looks)


def _sessions_needed(shape: Shape | None, min_psr: float) -> int | None:
    needed = min_track_record(shape, min_psr) if shape else None
    return None if needed is None else int(np.ceil(needed))


def _rivals(results: dict[str, Any]) -> dict[str, float | None]:
    naive = results["naive"]
    return {
        "flat": 0.0,
        "always_long": naive["always_long"]["sharpe_ratio"],
        "always_short": naive["always_short"]["sharpe_ratio"],
        "random": naive["random_sharpe_p95"],
    }


def _beats_naive(results: dict[str, Any]) -> bool:
    own = results["metrics"]["sharpe_ratio"]
    return own is not None and all(other is None or own > other for other in _rivals(results).values())


def _naive(results: dict[str, Any]) -> Reason:
    own = results["metrics"]["sharpe_ratio"]
    if own is None:
        return Reason(code="beats_nothing")
    better = {name: other for name, other in _rivals(results).items() if other is not None and own <= other}
    return Reason(code="naive", figures={"own": own, "rivals": better})


def _luck(settings: EvidenceParams, psr: float | None, looks: int, family: FamilyTest | None) -> Reason:
    if family is None:
        if psr is None:
            return Reason(code="no_variation")
        return Reason(code="luck", figures={"psr": psr, "needed": settings.min_psr})
    level = level_at(settings, looks)
    if family.spa_p_value > level:
        figures = {"looks": looks, "p_value": family.spa_p_value, "level": level}
        return Reason(code="luck_of_many", figures=figures)
    return Reason(code="others_stand_out", figures={"looks": looks})


def _uncovered(test: SplitRecord) -> Reason:
    figures = {
        "uncovered": test.uncovered_sessions,
        "sessions": test.sessions,
        "features": list(test.missing_by_feature),
    }
    return Reason(code="uncovered", figures=figures)
