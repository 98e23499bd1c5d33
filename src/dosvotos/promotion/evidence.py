"""What a window proves beyond the criteria: against luck, against strategies without skill, and how fully."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row

from dosvotos.backtest.evidence import FamilyTest, family_test, probabilistic_sharpe_ratio
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.parameters import EvidenceParams
from dosvotos.contracts.records import SeedRecord, SplitRecord
from dosvotos.training.results import MIN_SEEDS


class Evidence(BaseModel):
    """What the window proves beyond the criteria."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    looks: int
    """Distinct models that have seen this window, this one and declared prior trials included."""
    prior_trials: int
    psr: float | None
    spa_p_value: float | None = None
    in_superior_set: bool | None = None
    luck_excluded: bool
    beats_naive: bool
    seeds: str
    """How many of the contract's seeds end with a positive return on val, in words."""
    positive_seeds: float | None = None
    """Their share; None with fewer than five."""
    point_in_time: str
    covered: bool
    """Whether enough test sessions have a complete row."""
    ledger: dict[str, str]
    notes: tuple[str, ...]
    """What is missing, as sentences; empty when the evidence is complete."""

    @property
    def passed(self) -> bool:
        """Whether nothing is missing."""
        return not self.notes


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
    psr = probabilistic_sharpe_ratio(returns.to_numpy())
    n_looks, family = _family(settings, results["model_hash"], returns, looks)
    if family is None:
        excluded = psr is not None and psr >= settings.min_psr
    else:
        excluded = family.spa_p_value <= level_at(settings, n_looks) and family.in_superior_set
    beats = _beats_naive(results)
    uncovered = test.uncovered_sessions / test.sessions
    covered = uncovered <= parameters.quality_thresholds.max_uncovered_sessions
    n_positive = sum(seed.best_val_reward > 0 for seed in seeds)
    share = n_positive / len(seeds) if len(seeds) >= MIN_SEEDS else None
    notes = [] if excluded else [_luck_note(settings, psr, n_looks, family)]
    notes += [] if beats else ["it does not beat the naive strategies"]
    if share is not None and share < settings.min_positive_seeds:
        notes.append(
            f"only {n_positive} of {len(seeds)} seeds end with a positive return on val, a share of "
            f"{settings.min_positive_seeds:.0%} is needed"
        )
    notes += (
        []
        if covered
        else [
            f"{test.uncovered_sessions} of {test.sessions} test sessions have no bar with all features "
            f"({', '.join(test.missing_by_feature)})"
        ]
    )
    return Evidence(
        looks=n_looks,
        prior_trials=settings.prior_trials,
        psr=psr,
        spa_p_value=family.spa_p_value if family else None,
        in_superior_set=family.in_superior_set if family else None,
        luck_excluded=excluded,
        beats_naive=beats,
        seeds="one seed" if len(seeds) == 1 else f"{n_positive} of {len(seeds)} seeds positive on val",
        positive_seeds=share,
        point_in_time=point_in_time,
        covered=covered,
        ledger=ledger,
        notes=tuple(notes),
    )


def level_at(settings: EvidenceParams, n_looks: int) -> float:
    """Level of SPA and StepM at a later look: it shrinks with the looks, so that all of them spend little.

    The k-th of k looks alike is found superior by luck with about a k-th of the level: at a level of 0.05 that
    sums to 0.05 (1 + 1/2 + 1/3 ...), which never ends; at 0.05 / k to less than 0.05 x pi^2 / 6.
    """
    return settings.max_spa_p_value / n_looks


def _family(
    settings: EvidenceParams, model_hash: str, returns: pd.Series, looks: Sequence[Row[Any]]
) -> tuple[int, FamilyTest | None]:
    n_looks = len({row.model_hash for row in looks}) + settings.prior_trials
    if n_looks <= 1:
        return 1, None
    series = {model_hash: returns.to_list()}
    for row in looks:
        stored = row.daily_returns or {}
        if row.model_hash not in series and all(day in stored for day in returns.index):
            series[row.model_hash] = [stored[day] for day in returns.index]
    return n_looks, family_test(
        model_hash,
        pd.DataFrame(series),
        n_looks,
        level_at(settings, n_looks),
        settings.bootstrap_replications,
        settings.seed,
    )


def _beats_naive(results: dict[str, Any]) -> bool:
    own = results["metrics"]["sharpe_ratio"]
    naive = results["naive"]
    others = [naive["always_long"]["sharpe_ratio"], naive["always_short"]["sharpe_ratio"]]
    others += [naive["random_sharpe_p95"], 0.0]
    return own is not None and all(other is None or own > other for other in others)


def _luck_note(settings: EvidenceParams, psr: float | None, looks: int, family: FamilyTest | None) -> str:
    if family is None:
        shown = "undefined" if psr is None else f"{psr:.3f}"
        return f"the probabilistic Sharpe ratio is {shown}, {settings.min_psr} is needed"
    member = "in" if family.in_superior_set else "not in"
    return (
        f"as one of {looks} looks at this window it does not stand out (SPA p-value "
        f"{family.spa_p_value:.3f}, {settings.max_spa_p_value} is needed; {member} the superior set)"
    )
