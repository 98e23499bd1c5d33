"""Frames of bars and of macro observations as the arrays that compiled code computes features from."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.market.alignment import is_weekday, sort_publications
from dosvotos.market.calendar import LAST_SLOT, REGULAR, session_dates, session_numbers, slots
from dosvotos.market.features.definition import VARIABLES
from dosvotos.market.microseconds import US_PER_BAR, US_PER_DAY, to_microseconds

RangeSource = Literal["close", "bars"]
"""What true ranges are taken from: closes alone, or each bar's own high and low."""


class MarketHistory(NamedTuple):
    """What features are computed from, all of it already filtered to what was known."""

    bars: pd.DataFrame
    """Session bars in time order, index ``timestamp`` (bar open, UTC); open, high, low, close."""
    macro: pd.DataFrame
    """Observations: variable, observation_date, published_at (UTC), value."""


class BarArrays(NamedTuple):
    """Bars in time order; arrays of shape (n_bars,)."""

    close_time: np.ndarray
    """int64 microseconds UTC."""
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    time_normalized: np.ndarray
    """Slot / 59."""
    session: np.ndarray
    """int64, `session_numbers`: what lies between two bars is a hole."""


class Bar(NamedTuple):
    """One of `BarArrays`."""

    close_time: int
    high: float
    low: float
    close: float
    time_normalized: float
    session: int

    def as_arrays(self) -> BarArrays:
        """Convert to arrays of shape (1,)."""
        return BarArrays(*(np.array([number]) for number in self))


class PublicationArrays(NamedTuple):
    """Published observations of VARIABLES in the order of publication; arrays of shape (n_publications,)."""

    published_at: np.ndarray
    """int64 microseconds UTC."""
    variable: np.ndarray
    """int64, index in VARIABLES."""
    day: np.ndarray
    """Observation date, int64 days since 1970."""
    value: np.ndarray

    def select(self, start: int, stop: int | None = None) -> "PublicationArrays":
        """Select the publications from index `start` to before `stop`."""
        return PublicationArrays(*(array[start:stop] for array in self))


_NONE = np.empty(0, dtype=np.int64)
NO_PUBLICATIONS = PublicationArrays(_NONE, _NONE, _NONE, np.empty(0))


def bar_arrays(
    bars: pd.DataFrame, range_source: RangeSource, calendar: CalendarParams = REGULAR
) -> BarArrays:
    """Convert bars (index: bar open, UTC); under ``range_source: close`` high and low are the close."""
    times = pd.DatetimeIndex(bars.index)
    close = high = low = owned_array(bars["close"])
    if range_source == "bars":
        high, low = owned_array(bars["high"]), owned_array(bars["low"])
    close_time = to_microseconds(times) + US_PER_BAR
    days, bar_of_day = np.unique(session_dates(times), return_inverse=True)
    session = session_numbers(days, calendar)[bar_of_day]
    return BarArrays(close_time, high, low, close, slots(times) / LAST_SLOT, session)


def publication_arrays(macro: pd.DataFrame) -> PublicationArrays:
    """Convert the observations that feed features: of VARIABLES, of daily ones those of weekdays alone.

    Raises
    ------
    DataError
        If a value is not finite.
    """
    variable = pd.Index(VARIABLES).get_indexer(pd.Index(macro["variable"]))
    used = np.flatnonzero(variable >= 0)
    published_at, day, value, order = sort_publications(macro.iloc[used])
    variable = variable[used][order].astype(np.int64)
    kept = is_weekday(day) | (variable >= len(MACRO_SOURCES))
    return PublicationArrays(published_at[kept], variable[kept], day[kept], value[kept])


def max_ages(variables: Mapping[str, MacroVariable]) -> np.ndarray:
    """List for each of VARIABLES after how many microseconds a published value counts as missing."""
    return np.array([variables[name].ffill_max_days * US_PER_DAY for name in VARIABLES])


def owned_array(values: np.ndarray | pd.Series) -> np.ndarray:
    """Make values contiguous, writable float64: for another kind of array the kernel is compiled anew."""
    return np.require(values, dtype=float, requirements=["C", "W"])
