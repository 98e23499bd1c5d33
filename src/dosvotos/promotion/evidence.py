"""What a backtest proves beyond the criteria: against luck, naive strategies, bad seeds and missing data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ConfigDict, computed_field
from sqlalchemy import Row

from dosvotos.backtest.evidence import (
    FamilyTest,
    Interval,
    Moments,
    deflated_sharpe_ratio,
    family_test,
    min_track_record,
    moments_of,
    power,
    probabilistic_sharpe_ratio,
    resampled_intervals,
)
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.parameters import EvidenceParams
from dosvotos.contracts.records import LayerRecords, LedgerGenesis, Record, SeedRecord, SplitRecord
from dosvotos.promotion.reasons import Reason, sentence
from dosvotos.training.results import MIN_SEEDS

TRUE_SHARPES = (1, 2, 3)
"""Annual; for each, the chance that the window would have shown it."""


class Evidence(Record):
    """What the window proves beyond the criteria.

    Its JSON also has `passed` and `notes`, which are not read back but follow from `missing`.
    """

    model_config = ConfigDict(extra="ignore")

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
    ledger: LedgerGenesis
    missing: tuple[Reason, ...]
    """What a person has to judge; empty when the evidence is complete."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    @computed_field  # type: ignore[prop-decorator]
    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing, in words."""
        return tuple(map(sentence, self.missing))


def make_evidence(
    layers: LayerRecords, report: BacktestReport, looks: Sequence[Row[Any]], ledger: LedgerGenesis
) -> Evidence:
    """Assess what a backtest proves.

    Parameters
    ----------
    layers : LayerRecords
        For the contract's rules, the seeds, the test split's coverage and what its vintages prove.
    report : BacktestReport
    looks : sequence of rows of oos_trials
        Every look at an overlapping window, this one included.
    ledger : LedgerGenesis
    """
    parameters, seeds = layers.contract.parameters, layers.training.seeds
    settings = parameters.evidence
    returns = pd.Series(report.daily_returns, dtype=float)
    n_looks = len({row.model_hash for row in looks} | {report.model_hash}) + settings.prior_trials
    figures, luck = _assess_luck(settings, report.model_hash, returns, looks, n_looks)
    naive = _missing_naive(report)
    tolerated = parameters.quality_thresholds.max_uncovered_sessions
    uncovered = _missing_coverage(layers.dataset.splits["test"], tolerated)
    missing = (*luck, *naive, *_missing_seeds(seeds, settings), *uncovered)
    return Evidence(
        looks=n_looks,
        prior_trials=settings.prior_trials,
        **figures,
        luck_excluded=not luck,
        beats_naive=not naive,
        seeds=_seeds_in_words(seeds),
        val_returns={str(seed.seed): seed.best_val_reward for seed in seeds},
        positive_seeds=_positive(seeds) / len(seeds) if len(seeds) >= MIN_SEEDS else None,
        point_in_time=layers.dataset.point_in_time,
        covered=not uncovered,
        ledger=ledger,
        missing=missing,
    )


def _assess_luck(
    settings: EvidenceParams, model_hash: str, returns: pd.Series, looks: Sequence[Row[Any]], n_looks: int
) -> tuple[dict[str, Any], tuple[Reason, ...]]:
    """Compute the fields of `Evidence` about luck, and why luck is not excluded."""
    moments = moments_of(returns.to_numpy())
    psr = probabilistic_sharpe_ratio(moments) if moments else None
    series = _stored_series(model_hash, returns, looks)
    family = _family(settings, model_hash, series, n_looks) if n_looks > 1 else None
    figures = {
        "psr": psr,
        "deflated_sharpe": _deflated(moments, series, n_looks),
        "sessions": len(returns),
        "min_track_record": _sessions_needed(moments, settings.min_psr),
        "power": {str(s): power(moments, s, settings.min_psr) if moments else None for s in TRUE_SHARPES},
        "intervals_90": resampled_intervals(
            returns.to_numpy(), settings.bootstrap_replications, settings.seed
        ),
        "level": level_at(settings, n_looks) if family else None,
        "spa_p_value": family.spa_p_value if family else None,
        "in_superior_set": family.in_superior_set if family else None,
    }
    return figures, _missing_luck(settings, psr, n_looks, family)


def level_at(settings: EvidenceParams, n_looks: int) -> float:
    """Divide the level of SPA and StepM by the looks, so that all looks together spend little of it.

    The k-th of k looks alike is found superior by luck with about a k-th of the level. Were the level the
    same at each, those chances would add up without end, as 1 + 1/2 + 1/3 ...; divided by k they add up to
    less than 0.65 of it behind the first look.
    """
    return settings.max_spa_p_value / n_looks


def _stored_series(model_hash: str, returns: pd.Series, looks: Sequence[Row[Any]]) -> pd.DataFrame:
    """Gather daily returns of every look that covers the window's sessions, the candidate's own first."""
    series, days = {model_hash: returns.to_list()}, returns.index.to_list()
    for row in looks:
        stored = row.daily_returns or {}
        if row.model_hash not in series and all(day in stored for day in days):
            series[row.model_hash] = [stored[day] for day in days]
    return pd.DataFrame(series, index=returns.index)


def _family(settings: EvidenceParams, model_hash: str, series: pd.DataFrame, n_looks: int) -> FamilyTest:
    level = level_at(settings, n_looks)
    return family_test(model_hash, series, n_looks, level, settings.bootstrap_replications, settings.seed)


def _deflated(moments: Moments | None, series: pd.DataFrame, n_looks: int) -> float | None:
    if moments is None:
        return None
    all_moments = [moments_of(series[name].to_numpy()) for name in series]
    return deflated_sharpe_ratio(moments, np.array([one.sharpe for one in all_moments if one]), n_looks)


def _sessions_needed(moments: Moments | None, min_psr: float) -> int | None:
    needed = min_track_record(moments, min_psr) if moments else None
    return None if needed is None else int(np.ceil(needed))


def _missing_luck(
    settings: EvidenceParams, psr: float | None, looks: int, family: FamilyTest | None
) -> tuple[Reason, ...]:
    """Say why luck is not excluded, by the first look's rule or among several; empty if it is."""
    if family is None and psr is None:
        return (Reason(code="no_variation"),)
    if family is None:
        luck = Reason(code="luck", figures={"psr": psr, "needed": settings.min_psr})
        return () if psr is not None and psr >= settings.min_psr else (luck,)
    if family.spa_p_value > (level := level_at(settings, looks)):
        figures = {"looks": looks, "p_value": family.spa_p_value, "level": level}
        return (Reason(code="luck_of_many", figures=figures),)
    return () if family.in_superior_set else (Reason(code="others_stand_out", figures={"looks": looks}),)


def _missing_naive(report: BacktestReport) -> tuple[Reason, ...]:
    """Name the strategies without skill that are not beaten; empty if all are."""
    own, naive = report.metrics.sharpe_ratio, report.naive
    rivals = {
        "flat": 0.0,
        "always_long": naive.always_long.sharpe_ratio,
        "always_short": naive.always_short.sharpe_ratio,
        "random": naive.random_sharpe_p95,
    }
    if own is None:
        return (Reason(code="beats_nothing"),)
    better = {name: sharpe for name, sharpe in rivals.items() if sharpe is not None and own <= sharpe}
    return (Reason(code="naive", figures={"own": own, "rivals": better}),) if better else ()


def _missing_seeds(seeds: Sequence[SeedRecord], settings: EvidenceParams) -> tuple[Reason, ...]:
    n_positive, needed = _positive(seeds), settings.min_positive_seeds
    if len(seeds) < MIN_SEEDS or n_positive / len(seeds) >= needed:
        return ()
    return (Reason(code="seeds", figures={"positive": n_positive, "seeds": len(seeds), "needed": needed}),)


def _missing_coverage(test: SplitRecord, tolerated: float) -> tuple[Reason, ...]:
    if test.uncovered_sessions / test.sessions <= tolerated:
        return ()
    counts = {"uncovered": test.uncovered_sessions, "sessions": test.sessions}
    return (Reason(code="uncovered", figures={**counts, "features": list(test.missing_by_feature)}),)


def _positive(seeds: Sequence[SeedRecord]) -> int:
    return sum(seed.best_val_reward > 0 for seed in seeds)


def _seeds_in_words(seeds: Sequence[SeedRecord]) -> str:
    return "one seed" if len(seeds) == 1 else f"{_positive(seeds)} of {len(seeds)} seeds positive on val"
