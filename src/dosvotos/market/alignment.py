"""Macro values by the moment they became known: no bar ever sees one earlier."""

from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.compiled import njit
from dosvotos.errors import DataError
from dosvotos.market.microseconds import US_PER_DAY, to_microseconds

Z_WINDOW = 252
MAX_BUSINESS_DAYS_APART = 5

FIRST, END, EXPIRES, VALUE, Z_SCORE, CHANGE = range(6)
"""Columns of `MacroState.summary`."""

NO_ALLOCATION: Final = {"error_model": "numpy", "_nrt": False}
"""Options of compiled code that allocates no array: counting references would take longer than its work."""

_CAPACITY = 2 * Z_WINDOW
_LANES, _THIRD = Z_WINDOW // 7, Z_WINDOW // 21
_ORDINAL_OF_1970 = date(1970, 1, 1).toordinal()


def is_dated(vintage: pd.Series) -> pd.Series:
    """Mask the vintages that are days on which the vendor published the value; others are words."""
    return vintage.astype("str").str.match(r"^\d{4}-\d\d-\d\d$").astype(bool)


def weekday_observations(macro: pd.DataFrame, name: str) -> pd.DataFrame:
    """Select the observations of one daily variable that feed features: those of Mondays to Fridays."""
    rows = macro[macro["variable"] == name]
    return rows[pd.DatetimeIndex(rows["observation_date"]).weekday < 5]


def is_weekday(days: np.ndarray) -> np.ndarray:
    """Mask the Mondays to Fridays among days since 1970."""
    mask: np.ndarray = (days + 3) % 7 < 5
    return mask


class MacroState(NamedTuple):
    """The latest observations of several variables, and what they say: O(1) for any history.

    `days` (since 1970) and `values`, of shape (n_variables, 504), hold between FIRST and END the 252 latest
    observations known, ordered by date; the other half is capacity, so that appending seldom moves them.
    `summary` of shape (n_variables, 6) holds FIRST, END, EXPIRES (microseconds UTC), VALUE, Z_SCORE, CHANGE.
    """

    days: np.ndarray
    values: np.ndarray
    summary: np.ndarray

    def copy(self) -> "MacroState":
        """Copy it, sharing no memory."""
        return MacroState(*(array.copy() for array in self))


def empty_macro_state(n_variables: int) -> MacroState:
    """Make the state before any publication: all values NaN."""
    summary = np.full((n_variables, 6), np.nan)
    summary[:, [FIRST, END]], summary[:, EXPIRES] = 0.0, -np.inf
    shape = (n_variables, _CAPACITY)
    return MacroState(np.zeros(shape, dtype=np.int64), np.zeros(shape), summary)


@dataclass(frozen=True)
class Known:
    """What was known of one variable at n instants; arrays of shape (n,), NaN where nothing valid was."""

    value: np.ndarray
    z_score: np.ndarray
    change: np.ndarray


def known_at(observations: pd.DataFrame, max_age_days: int, instants: pd.DatetimeIndex) -> Known:
    """Compute what was known of one variable at each instant.

    Parameters
    ----------
    observations : DataFrame
        observation_date, published_at (UTC) and value of one variable; a revision is a further row of the
        same observation_date.
    max_age_days : int
        Days after its publication at which a value counts as missing.
    instants : DatetimeIndex of shape (n,)

    Raises
    ------
    DataError
        If a value is not finite.

    Notes
    -----
    After each publication the latest observation known gives the value; its z-score is taken over the 252
    latest observations, itself included, with ddof 1, and its change against the observation before, unless
    they lie more than 5 business days apart. On equal `published_at` the later observation wins. Age counts
    from the first publication of an observation: a revision of it is no news of a later day.
    """
    published, days, values, _ = sort_publications(observations)
    summaries, max_age = np.empty((len(values), 6)), max_age_days * US_PER_DAY
    _replay(empty_macro_state(1), published, days, values, max_age, z_score_buffer(), summaries)
    moments = to_microseconds(instants)
    last = np.searchsorted(published, moments, side="right") - 1
    visible = last >= 0
    visible[visible] = moments[visible] <= summaries[last[visible], EXPIRES]
    known = np.full((3, len(moments)), np.nan)
    known[:, visible] = summaries[last[visible]][:, [VALUE, Z_SCORE, CHANGE]].T
    return Known(*known)


def sort_publications(observations: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sort observations by publication, then by date.

    Returns published_at (int64 microseconds UTC), days (int64 since 1970), values and the row of each.

    Raises
    ------
    DataError
        If a value is not finite.
    """
    published = to_microseconds(pd.DatetimeIndex(observations["published_at"]))
    days = _days(observations["observation_date"])
    values = observations["value"].to_numpy(float)
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"macro: values must be finite, that of {observations['observation_date'].iloc[bad]} "
            f"is {values[bad]}; correct that row"
        )
    order = np.lexsort((days, published))
    return published[order], days[order], values[order], order


@njit(error_model="numpy")
def z_score_buffer() -> np.ndarray:
    """Allocate the working memory that `update_summary` needs."""
    return np.empty(2 * _LANES)


@njit(**NO_ALLOCATION, inline="always")
def observation_bounds(macro: MacroState, variable: int) -> tuple[int, int]:
    """Return where a variable's observations begin and end in `macro`."""
    return int(macro.summary[variable, FIRST]), int(macro.summary[variable, END])


@njit(**NO_ALLOCATION, inline="always")
def insert_observation(
    macro: MacroState, variable: int, bounds: tuple[int, int], day: int, value: float, expires: int
) -> tuple[int, int]:
    """Insert a published observation, or replace that of the same day; then call `update_summary`.

    `bounds` come from `observation_bounds` or the insertion before; the result is the bounds afterwards.
    `day` counts from 1970, `expires` is in microseconds UTC. An observation before 252 others is ignored.
    """
    first, end = bounds
    if first < end and day <= macro.days[variable, end - 1]:
        return _insert_before_last(macro, variable, first, end, day, value)
    if end == _CAPACITY:
        first, end = 0, _move_to_front(macro, variable, first)
    macro.days[variable, end], macro.values[variable, end] = day, value
    macro.summary[variable, EXPIRES] = expires
    return max(first, end + 1 - Z_WINDOW), end + 1


@njit(**NO_ALLOCATION)
def _insert_before_last(
    macro: MacroState, variable: int, first: int, end: int, day: int, value: float
) -> tuple[int, int]:
    """Insert an observation no later than the latest, or replace that of its day and keep its age."""
    days, values, index = macro.days, macro.values, end - 1
    while index > first and days[variable, index - 1] >= day:
        index -= 1
    if days[variable, index] == day:
        values[variable, index] = value
        return first, end
    if index == first and end - first == Z_WINDOW:
        return first, end
    if end == _CAPACITY:
        index, first, end = index - first, 0, _move_to_front(macro, variable, first)
    for i in range(end, index, -1):
        days[variable, i], values[variable, i] = days[variable, i - 1], values[variable, i - 1]
    days[variable, index], values[variable, index] = day, value
    return max(first, end + 1 - Z_WINDOW), end + 1


@njit(**NO_ALLOCATION)
def _move_to_front(macro: MacroState, variable: int, first: int) -> int:
    for i in range(first, _CAPACITY):
        macro.days[variable, i - first] = macro.days[variable, i]
        macro.values[variable, i - first] = macro.values[variable, i]
    return _CAPACITY - first


@njit(**NO_ALLOCATION, inline="always")
def update_summary(
    macro: MacroState,
    variable: int,
    bounds: tuple[int, int],
    with_z_score: bool,
    with_change: bool,
    buffer: np.ndarray,
) -> None:
    """Refresh a variable's VALUE, Z_SCORE and CHANGE after one or more insertions.

    Z_SCORE and CHANGE stay NaN where they are not asked for. The z-score is summed over its window anew, not
    as a running sum: it depends on the window alone, not on the order in which its observations came.
    """
    first, end = bounds
    macro.summary[variable, FIRST], macro.summary[variable, END] = first, end
    macro.summary[variable, VALUE] = macro.values[variable, end - 1]
    if with_z_score and end - first == Z_WINDOW:
        macro.summary[variable, Z_SCORE] = _z_score(macro.values[variable, first : first + Z_WINDOW], buffer)
    if with_change:
        macro.summary[variable, CHANGE] = _change(macro, variable, first, end)


@njit(**NO_ALLOCATION)
def _replay(
    macro: MacroState,
    published: np.ndarray,
    days: np.ndarray,
    values: np.ndarray,
    max_age: int,
    buffer: np.ndarray,
    summaries: np.ndarray,
) -> None:
    """Insert one variable's publications; write the summary after each into a row of `summaries`."""
    bounds = observation_bounds(macro, 0)
    for i in range(len(values)):
        bounds = insert_observation(macro, 0, bounds, days[i], values[i], published[i] + max_age)
        update_summary(macro, 0, bounds, True, True, buffer)
        for j in range(summaries.shape[1]):
            summaries[i, j] = macro.summary[0, j]


@njit(**NO_ALLOCATION, inline="always")
def _change(macro: MacroState, variable: int, first: int, end: int) -> float:
    days, values = macro.days[variable], macro.values[variable]
    if end - first < 2 or values[end - 2] == 0.0:
        return np.nan
    # weekdays between two days are no more than the days between them
    if days[end - 1] - days[end - 2] > MAX_BUSINESS_DAYS_APART:
        apart = _weekdays_before(days[end - 1]) - _weekdays_before(days[end - 2])
        if apart > MAX_BUSINESS_DAYS_APART:
            return np.nan
    change: float = values[end - 1] / values[end - 2] - 1
    return change


@njit(**NO_ALLOCATION, inline="always")
def _weekdays_before(day: int) -> int:
    """Weekdays from Monday 29 December 1969 up to, not including, a day: `busday_count` in integers."""
    since_monday = day + 3
    return since_monday // 7 * 5 + min(since_monday % 7, 5)


@njit(**NO_ALLOCATION, inline="always")
def _z_score(window: np.ndarray, sums: np.ndarray) -> float:
    """Distance of the last of 252 values from their mean, in standard deviations; NaN without spread.

    One pass over distances from the last value itself: they are 0 where nothing moves, and as that value is
    one of the window, squares less the mean's never cancel. Every sum has one fixed order, which processors
    with wide registers and with narrow ones share.
    """
    last = window[Z_WINDOW - 1]
    for i in range(_LANES):
        a, b, c = window[i] - last, window[i + _LANES] - last, window[i + 2 * _LANES] - last
        d, e, f = window[i + 3 * _LANES] - last, window[i + 4 * _LANES] - last, window[i + 5 * _LANES] - last
        g = window[i + 6 * _LANES] - last
        sums[i] = ((a + b) + (c + d)) + ((e + f) + g)
        sums[_LANES + i] = ((a * a + b * b) + (c * c + d * d)) + ((e * e + f * f) + g * g)
    distance = squares = 0.0
    for i in range(_THIRD):
        distance += (sums[i] + sums[i + _THIRD]) + sums[i + 2 * _THIRD]
        squares += (sums[_LANES + i] + sums[_LANES + i + _THIRD]) + sums[_LANES + i + 2 * _THIRD]
    if squares == 0.0:
        return np.nan
    mean = distance / Z_WINDOW
    z_score: float = -mean / np.sqrt((squares - distance * mean) / (Z_WINDOW - 1))
    return z_score


def _days(dates: pd.Series) -> np.ndarray:
    """Days since 1970 of dates or of midnights; NumPy takes ten times as long over date objects."""
    if dates.dtype != object:
        return dates.to_numpy("datetime64[D]").astype("int64")
    return np.fromiter(map(date.toordinal, dates.tolist()), np.int64, len(dates)) - _ORDINAL_OF_1970
