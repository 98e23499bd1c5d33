"""What a backtest proves beyond the criteria: against luck, naive strategies, bad seeds and missing data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field, computed_field

from dosvotos.backtest.evidence import (
    Interval,
    Moments,
    deflated_sharpe_ratio,
    min_track_record,
    moments_of,
    power,
    resampled_intervals,
)
from dosvotos.backtest.linear_rival import RivalDifference
from dosvotos.backtest.luck import passing_sharpe
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import LayerRecords, LedgerGenesis, Record, SeedRecord, SplitRecord, is_absent
from dosvotos.contracts.window import WindowFacts, WindowStatus
from dosvotos.promotion.gate_policy import EvidenceFloors, GatePolicy
from dosvotos.promotion.luck import LookRow, Luck, judge_luck, series_on
from dosvotos.promotion.reasons import Reason, sentence
from dosvotos.training.results import MIN_SEEDS

TRUE_SHARPES = (1, 2, 3)
"""Annual; for each, the chance that the window would have shown it."""


class Evidence(Record):
    """What the window proves beyond the criteria.

    Its JSON also has `passed` and `notes`, which are not read back but follow from `missing`.
    """

    model_config = ConfigDict(extra="ignore")

    policy: int
    """Version of the house's policy whose levels count."""
    looks: int
    """Related looks so far, this one and declared prior trials included."""
    models: int
    """Distinct models among those at sessions of this window, this one and declared ones included."""
    prior_trials: int
    level: float
    """Chance of luck tolerated at this look."""
    p_value: float | None
    """Chance that returns without skill are as good; None if returns do not vary."""
    passing_sharpe: float | None
    """Annual Sharpe ratio at which `p_value` would be `level`; None if none would do."""
    psr: float | None
    """Probability that the true Sharpe ratio is above 0."""
    hac_psr: float | None
    """The same with a standard error that allows for serial correlation."""
    deflated_sharpe: float | None = None
    """Probability that it is above what the luckiest of all models would show; None where that is unknown."""
    sessions: int
    sessions_traded: int
    """Sessions with a return that is not 0."""
    last_third_share: float | None
    """Of the sum of squared returns, the share in the last third of the sessions."""
    min_track_record: int | None = None
    """Sessions this Sharpe ratio needs to show the level by its PSR; None if it is not positive."""
    power: dict[str, float | None] = {}
    """By true annual Sharpe ratio: the chance that this window would have shown the level."""
    intervals_90: dict[str, Interval] | None = None
    """Of sharpe_ratio, total_return and max_drawdown (between session ends), by resampled windows."""
    family_level: float | None = None
    """What SPA and StepM ask among several models; None where they were not asked."""
    spa_p_value: float | None = None
    in_superior_set: bool | None = None
    luck_excluded: bool
    window_status: WindowStatus | None
    """Who chose the window; None in contracts from before windows were judged."""
    beats_naive: bool
    linear_rival: RivalDifference | None = Field(default=None, exclude_if=is_absent)
    """The candidate against its linear rival; None in contracts from before it."""
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
    layers: LayerRecords,
    report: BacktestReport,
    own: LookRow,
    earlier: Sequence[LookRow],
    ledger: LedgerGenesis,
    policy: GatePolicy,
) -> Evidence:
    """Assess what a backtest proves.

    Parameters
    ----------
    layers : LayerRecords
        For the contract's rules, the seeds, the test split's coverage and what its vintages prove.
    report : BacktestReport
    own : LookRow
        The look whose result this is.
    earlier : sequence of LookRow
        Every look at the same market that the ledger has before it.
    ledger : LedgerGenesis
    policy : GatePolicy
        The house's; where the experiment is stricter, it counts.
    """
    contract, seeds, floors = layers.contract, layers.training.seeds, policy.evidence
    asked, data = contract.parameters.evidence, contract.parameters.quality_thresholds
    returns = pd.Series(report.daily_returns, dtype=float)
    luck = judge_luck(returns, own, earlier, asked.prior_trials, floors)
    naive, linear = _missing_naive(report), _missing_linear(report)
    too_few = _missing_seeds(seeds, max(asked.min_positive_seeds, floors.min_positive_seeds))
    tolerated = min(data.max_uncovered_sessions, floors.max_uncovered_sessions)
    uncovered = _missing_coverage(layers.dataset.splits["test"], tolerated)
    window = (*_missing_calendar(contract), *_missing_first_sight(returns, own))
    others = (*_missing_leak_check(contract), *naive, *linear)
    missing = (*luck.not_excluded, *luck.for_a_person, *window, *others, *too_few, *uncovered)
    return Evidence(
        policy=policy.version,
        prior_trials=asked.prior_trials,
        **_figures_of(luck, floors),
        **_shown(luck, returns, series_on(returns, own, earlier), floors),
        luck_excluded=not luck.not_excluded,
        window_status=contract.window_status,
        beats_naive=not naive,
        linear_rival=report.linear_rival and report.linear_rival.difference,
        seeds=_seeds_in_words(seeds),
        val_returns={str(seed.seed): seed.best_val_reward for seed in seeds},
        positive_seeds=_positive(seeds) / len(seeds) if len(seeds) >= MIN_SEEDS else None,
        point_in_time=layers.dataset.point_in_time,
        covered=not uncovered,
        ledger=ledger,
        missing=missing,
    )


def _figures_of(luck: Luck, floors: EvidenceFloors) -> dict[str, Any]:
    """Name the figures by which luck was judged as `Evidence` does."""
    names = ("level", "p_value", "psr", "hac_psr", "sessions", "sessions_traded", "last_third_share")
    family = luck.family
    return {
        **luck.look_count._asdict(),
        **{name: getattr(luck, name) for name in names},
        "family_level": floors.family_level if family else None,
        "spa_p_value": family.spa_p_value if family else None,
        "in_superior_set": family.in_superior_set if family else None,
    }


def _shown(luck: Luck, returns: pd.Series, series: pd.DataFrame, floors: EvidenceFloors) -> dict[str, Any]:
    """Compute the figures that inform a person and do not vote."""
    moments, level = moments_of(returns.to_numpy()), luck.level
    needed = None
    if moments:
        needed = passing_sharpe(moments.n_sessions, moments.skew, moments.kurtosis, level)
    return {
        "passing_sharpe": needed,
        "deflated_sharpe": _deflated(moments, series, luck.look_count.models),
        "min_track_record": _sessions_needed(moments, 1 - level),
        "power": {str(s): power(moments, s, level) if moments else None for s in TRUE_SHARPES},
        "intervals_90": resampled_intervals(returns.to_numpy(), floors.bootstrap),
    }


def _deflated(moments: Moments | None, series: pd.DataFrame, n_models: int) -> float | None:
    if moments is None:
        return None
    all_moments = [moments_of(series[name].to_numpy()) for name in series]
    return deflated_sharpe_ratio(moments, np.array([one.sharpe for one in all_moments if one]), n_models)


def _sessions_needed(moments: Moments | None, confidence: float) -> int | None:
    needed = min_track_record(moments, confidence) if moments else None
    return None if needed is None else int(np.ceil(needed))


def _missing_calendar(contract: ExperimentContract) -> tuple[Reason, ...]:
    """Name what a person chose about the window; empty if the calendar did."""
    found = []
    if contract.window_facts is None:
        found.append(Reason(code="window_not_judged"))
    elif contract.window_status != "calendar":
        found += _chosen(contract.window_status, contract.window_facts)
    splits = contract.parameters.splits
    if splits.fold is not None:
        found.append(Reason(code="one_fold", figures={"fold": splits.fold, "folds": splits.folds}))
    return tuple(found)


def _chosen(status: WindowStatus | None, facts: WindowFacts) -> list[Reason]:
    """Name what of a window was a person's choice: its ends, sessions between them, or its age."""
    figures = facts.model_dump(mode="json")
    edited = figures.pop("edited_sessions", [])
    found = (
        [Reason(code="edited_sessions", figures={"count": len(edited), "sessions": edited})] if edited else []
    )
    by_calendar = (facts.first_session, facts.last_session) == (facts.calendar_first, facts.calendar_last)
    if not (edited and by_calendar):
        found.append(Reason(code=str(status), figures=figures))
    return found


def _missing_first_sight(returns: pd.Series, own: LookRow) -> tuple[Reason, ...]:
    """Name that this look has shown other returns before: its data or its calendar have changed since."""
    if own.daily_returns is None:
        return ()
    both = pd.concat([returns, pd.Series(own.daily_returns, dtype=float)], axis=1)
    changed = int((~np.isclose(both[0], both[1], rtol=1e-9, atol=1e-12)).sum())  # a day of one alone too
    return (Reason(code="seen_before", figures={"count": changed}),) if changed else ()


def _missing_leak_check(contract: ExperimentContract) -> tuple[Reason, ...]:
    """Say that targets come from a file, which no leak check can ask again; empty if they do not."""
    own = contract.parameters.candidate
    return (Reason(code="unchecked_targets", figures={"file": own.targets}),) if own and own.is_file else ()


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


def _missing_linear(report: BacktestReport) -> tuple[Reason, ...]:
    """Say that the linear rival does better, the interval of the difference clear of 0; empty if not."""
    rival = report.linear_rival
    if rival is None or not rival.difference.rival_is_better:
        return ()
    figures = {"own": report.metrics.sharpe_ratio, **rival_figures(rival.difference)}
    return (Reason(code="linear_rival", figures=figures),)


def rival_figures(difference: RivalDifference) -> dict[str, Any]:
    """Give the figures of a comparison with the linear rival, as reasons write them."""
    low, high = difference.interval_90 or (None, None)
    return {"rival": difference.sharpe_ratio, "low": low, "high": high}


def _missing_seeds(seeds: Sequence[SeedRecord], needed: float) -> tuple[Reason, ...]:
    n_positive = _positive(seeds)
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
    if not seeds:
        return "nothing trained"
    return "one seed" if len(seeds) == 1 else f"{_positive(seeds)} of {len(seeds)} seeds positive on val"
