"""Bars to probe: where leaks like to hide, in turn."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from dosvotos.leakage.perturbations import DAY, close_times
from dosvotos.market.calendar import BAR, session_dates
from dosvotos.market.features import MarketHistory

_WARM_UP_BARS: Final = 60


class ProbeContext(NamedTuple):
    """What a choice of bars to probe depends on."""

    history: MarketHistory
    limit_days: Mapping[str, int]
    """Age limit of each variable that some feature uses."""
    split_ends: list[pd.Timestamp]
    """The last bar of each split."""

    def publications(self, name: str) -> pd.DatetimeIndex:
        """Return the publications of a variable, in order."""
        of_variable = self.history.macro["variable"] == name
        return pd.DatetimeIndex(self.history.macro.loc[of_variable, "published_at"]).sort_values()

    def days_between_sessions(self) -> np.ndarray:
        """Return the days between the sessions of neighbouring bars, shape (n_bars - 1,)."""
        return np.diff(session_dates(pd.DatetimeIndex(self.history.bars.index))).astype(int)


BarChoice = Callable[[ProbeContext, Generator], np.ndarray]
"""Returns the rows of some bars; rows outside the history are allowed and do not count."""


def _before_publications(context: ProbeContext, rng: Generator) -> np.ndarray:
    """Choose the last bars that close before the publications of one variable."""
    if not context.limit_days:
        return np.zeros(0, int)
    name = list(context.limit_days)[int(rng.integers(len(context.limit_days)))]
    return np.searchsorted(close_times(context.history.bars), context.publications(name)) - 1


def _at_session_ends(context: ProbeContext, rng: Generator) -> np.ndarray:
    """Choose the last bar of each session and the first of the next."""
    return _both_sides(context.days_between_sessions() > 0)


def _beside_gaps(context: ProbeContext, rng: Generator) -> np.ndarray:
    """Choose the bars on both sides of missing ones and of holidays."""
    missing = np.diff(pd.DatetimeIndex(context.history.bars.index)) > BAR
    days = context.days_between_sessions()
    return _both_sides((missing & (days == 0)) | (days > 3))


def _in_warm_up(context: ProbeContext, rng: Generator) -> np.ndarray:
    """Choose the first bars, where features have no history yet."""
    return np.arange(min(_WARM_UP_BARS, len(context.history.bars)))


def _past_age_limits(context: ProbeContext, rng: Generator) -> np.ndarray:
    """Choose the bars at which some variable's newest value is older than its limit."""
    closes = close_times(context.history.bars)
    expired = np.zeros(len(closes), bool)
    for name, limit in context.limit_days.items():
        published = context.publications(name)
        newest = np.searchsorted(published, closes, side="right") - 1
        known = newest >= 0
        expired[known] |= np.asarray(closes[known] - published[newest[known]] > limit * DAY)
    return np.flatnonzero(expired)


def _at_split_ends(context: ProbeContext, rng: Generator) -> np.ndarray:
    """Choose the last bar of each split."""
    return np.flatnonzero(context.history.bars.index.isin(context.split_ends))


def _anywhere(context: ProbeContext, rng: Generator) -> np.ndarray:
    return np.arange(len(context.history.bars))


def _both_sides(steps: np.ndarray) -> np.ndarray:
    before = np.flatnonzero(steps)
    return np.concatenate([before, before + 1])


BAR_CHOICES: Final[tuple[BarChoice, ...]] = (
    _before_publications, _anywhere, _before_publications, _at_session_ends, _before_publications,
    _in_warm_up, _past_age_limits, _before_publications, _beside_gaps, _at_split_ends,
)  # fmt: skip
"""Choices in the order of their turns; publications hide most leaks."""
