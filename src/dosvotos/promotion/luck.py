"""Whether a result may be luck: the looks that count, the level they leave, and what the returns show.

Everything here is a function of daily returns and of ledger rows, so that the gate can be measured by the
code that votes.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from dosvotos.backtest.evidence import FamilyTest, family_test, moments_of, probabilistic_sharpe_ratio
from dosvotos.backtest.luck import hac_psr, last_third_share, luck_p_value
from dosvotos.market.calendar import scheduled_sessions
from dosvotos.promotion.gate_policy import EvidenceFloors
from dosvotos.promotion.reasons import Reason

LEAST_LEVEL = 0.0005
"""Below it a p-value is not honest enough to be compared with."""
LEAST_LAST_THIRD = 0.10
"""Share of the sum of squared returns that the last third of the sessions has to hold."""
LEAST_SESSIONS = 100
"""Of a window nobody has looked at before."""


class LookRow(Protocol):
    """What a row of oos_trials tells of a look."""

    @property
    def model_hash(self) -> str:
        """Whose."""

    @property
    def window_start(self) -> date:
        """First session."""

    @property
    def window_end(self) -> date:
        """Last session."""

    @property
    def daily_returns(self) -> Mapping[str, float] | None:
        """Net, by ISO date; None where the look left none."""


class LookCount(NamedTuple):
    """How often a question was asked before it was asked like this."""

    looks: int
    """Related earlier looks, this one and declared ones."""
    models: int
    """Distinct models among those at sessions of this window, this one and declared ones."""


class Luck(NamedTuple):
    """What is known about luck, and the reasons why it is not excluded, or a person has to judge."""

    look_count: LookCount
    level: float
    p_value: float | None
    psr: float | None
    hac_psr: float | None
    last_third_share: float | None
    sessions: int
    sessions_traded: int
    family: FamilyTest | None
    """Of this model among the others; None where it was not asked."""
    not_excluded: tuple[Reason, ...]
    for_a_person: tuple[Reason, ...]


def count_looks(own: LookRow, earlier: Sequence[LookRow], prior_trials: int) -> LookCount:
    """Count the looks related to one: at its sessions by any model, and of its model at any sessions.

    Parameters
    ----------
    own : LookRow
    earlier : sequence of LookRow
        Every look at the same market that the ledger has before this one; no later one, so that a later look
        never changes an older verdict.
    prior_trials : int
        Declared looks outside the ledger, each of a model of its own.
    """
    overlapping = [one for one in earlier if _overlap(own, one)]
    elsewhere = sum(one.model_hash == own.model_hash for one in earlier if not _overlap(own, one))
    models = {own.model_hash, *(one.model_hash for one in overlapping)}
    return LookCount(len(overlapping) + elsewhere + 1 + prior_trials, len(models) + prior_trials)


def level_of(count: LookCount, floors: EvidenceFloors) -> float:
    """Compute the chance of luck tolerated at a look."""
    if count.looks == 1:
        return floors.first_look_level
    return floors.later_look_level / (count.looks * count.models)


def judge_luck(
    returns: pd.Series, own: LookRow, earlier: Sequence[LookRow], prior_trials: int, floors: EvidenceFloors
) -> Luck:
    """Judge whether daily returns may be luck.

    Parameters
    ----------
    returns : Series of shape (n_sessions,), float
        Daily net returns of all scheduled sessions by ISO date, zeros included.
    own, earlier, prior_trials
        As `count_looks` takes them.
    floors : EvidenceFloors
        The house's levels.

    Notes
    -----
    SPA and StepM are asked only where the p-value passes: they guard against a better sibling.
    """
    values = returns.to_numpy()
    count = count_looks(own, earlier, prior_trials)
    level, p_value = level_of(count, floors), _known(luck_p_value(values))
    moments = moments_of(values)
    family = None
    if p_value is not None and p_value <= level and count.looks > 1:
        family = _judge_family(returns, own, earlier, count, floors)
    luck = Luck(
        look_count=count,
        level=level,
        p_value=p_value,
        psr=probabilistic_sharpe_ratio(moments) if moments else None,
        hac_psr=_known(hac_psr(values)),
        last_third_share=_known(last_third_share(values)),
        sessions=len(values),
        sessions_traded=int(np.count_nonzero(values)),
        family=family,
        not_excluded=(),
        for_a_person=(),
    )
    others = _doubts(luck, own, earlier, floors)
    return luck._replace(not_excluded=_not_excluded(luck, floors), for_a_person=others)


def series_on(returns: pd.Series, own: LookRow, earlier: Sequence[LookRow]) -> pd.DataFrame:
    """Gather daily returns of every model whose look covers the sessions, the candidate's own first."""
    series, days = {own.model_hash: returns.to_list()}, returns.index.to_list()
    for row in earlier:
        stored = row.daily_returns or {}
        if row.model_hash not in series and all(day in stored for day in days):
            series[row.model_hash] = [stored[day] for day in days]
    return pd.DataFrame(series, index=returns.index)


def _judge_family(
    returns: pd.Series, own: LookRow, earlier: Sequence[LookRow], count: LookCount, floors: EvidenceFloors
) -> FamilyTest | None:
    """Ask SPA and StepM; None without a second series."""
    series = series_on(returns, own, earlier)
    if series.shape[1] < 2:
        return None
    return family_test(own.model_hash, series, count.models, floors.family_level, floors.bootstrap)


def _not_excluded(luck: Luck, floors: EvidenceFloors) -> tuple[Reason, ...]:
    """Say why luck is not excluded; empty if it is."""
    figures = {"looks": luck.look_count.looks, "models": luck.look_count.models, "level": luck.level}
    if luck.p_value is None:
        return (Reason(code="no_variation"),)
    if luck.p_value > luck.level:
        return (Reason(code="luck_p_value", figures={"p_value": luck.p_value, **figures}),)
    if luck.family and luck.family.spa_p_value > floors.family_level:
        spa = {"p_value": luck.family.spa_p_value, "level": floors.family_level}
        return (Reason(code="luck_of_models", figures={**figures, **spa}),)
    if luck.family and not luck.family.in_superior_set:
        return (Reason(code="others_stand_out", figures={"looks": luck.look_count.models}),)
    return ()


def _doubts(
    luck: Luck, own: LookRow, earlier: Sequence[LookRow], floors: EvidenceFloors
) -> tuple[Reason, ...]:
    """Name what a person has to judge whatever the p-value is."""
    found: list[Reason] = []
    if luck.look_count.looks > 1 and luck.level < LEAST_LEVEL:
        figures = {"looks": luck.look_count.looks, "models": luck.look_count.models, "level": luck.level}
        untouched = untouched_from(own, earlier).isoformat()
        found.append(Reason(code="too_many_looks", figures={**figures, "from": untouched}))
    if luck.look_count.looks == 1 and luck.sessions < LEAST_SESSIONS:
        figures = {"sessions": luck.sessions, "needed": LEAST_SESSIONS}
        found.append(Reason(code="short_window", figures=figures))
    if luck.last_third_share is not None and luck.last_third_share < LEAST_LAST_THIRD:
        figures = {"share": luck.last_third_share, "needed": LEAST_LAST_THIRD}
        found.append(Reason(code="stopped_trading", figures=figures))
    needed = 1 - floors.first_look_level
    if luck.psr is not None and luck.psr >= needed and (luck.hac_psr is None or luck.hac_psr < needed):
        probabilities = {"psr": luck.psr, "hac_psr": luck.hac_psr, "needed": needed}
        found.append(Reason(code="serial_correlation", figures=probabilities))
    return tuple(found)


def untouched_from(own: LookRow, earlier: Sequence[LookRow]) -> date:
    """Return the day by which 100 sessions will have been scheduled that neither look has seen."""
    newest = max(one.window_end for one in (own, *earlier))
    later = scheduled_sessions(newest + timedelta(days=1), newest + timedelta(days=2 * LEAST_SESSIONS))
    day: date = later[LEAST_SESSIONS - 1].astype(object)
    return day


def _overlap(one: LookRow, other: LookRow) -> bool:
    return one.window_start <= other.window_end and other.window_start <= one.window_end


def _known(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)


class Questions(NamedTuple):
    """What has been asked of an instrument so far."""

    asked: int
    """Looks without a related earlier one."""
    expected_false_votes: float
    """At most so many of all first votes are false, if no model has skill."""


def questions_of(looks: Sequence[Any], floors: EvidenceFloors) -> Questions:
    """Count the questions asked on an instrument and the false first votes to expect among all of them.

    Parameters
    ----------
    looks : sequence of rows of oos_trials
        All of one instrument, oldest first.
    floors : EvidenceFloors

    Notes
    -----
    Declared trials are an experiment's, not the ledger's, and would only lower the levels.
    """
    counts: list[LookCount] = []
    by_feed: dict[str, list[Any]] = {}
    for look in looks:
        earlier = by_feed.setdefault(look.feed, [])
        counts.append(count_looks(look, earlier, 0))
        earlier.append(look)
    levels = (level_of(count, floors) for count in counts)
    return Questions(sum(count.looks == 1 for count in counts), float(sum(levels)))
