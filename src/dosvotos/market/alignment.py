"""Macro values by the moment they became known: no bar ever sees one earlier."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit

from dosvotos.errors import DataError

Z_WINDOW = 252
MAX_BUSINESS_DAYS_APART = 5

FIRST, END, EXPIRES, VALUE, Z_SCORE, CHANGE = range(6)
"""What is kept of a variable beside its observations: where its window lies, and what the latest one says."""

_ROOM = 2 * Z_WINDOW
_U = tuple(np.uint64(i) for i in range(9))
_MICROSECONDS_A_DAY = 86_400_000_000

_DATED = r"^\d{4}-\d\d-\d\d$"


def is_dated(vintage: pd.Series) -> pd.Series:
    """Which vintages are days on which the vendor published that value; others are words."""
    return vintage.astype("str").str.match(_DATED).astype(bool)


def weekday_observations(macro: pd.DataFrame, name: str) -> pd.DataFrame:
    """The observations of one variable that feed features: those of Mondays to Fridays."""
    rows = macro[macro["variable"] == name]
    return rows[pd.DatetimeIndex(rows["observation_date"]).weekday < 5]


class Window(NamedTuple):
    """What is remembered of variables: O(1) a variable, however long their histories.

    `days` (since 1970) and `values`, of shape (n_variables, 504), hold between FIRST and END the latest 252
    observations known, in the order of their dates; the rest is room to append without moving them each time.
    `known` of shape (n_variables, 6) holds FIRST, END, EXPIRES (microseconds UTC), VALUE, Z_SCORE, CHANGE.
    """

    days: np.ndarray
    values: np.ndarray
    known: np.ndarray


def empty_window(n_variables: int) -> Window:
    """Nothing known yet."""
    known = np.full((n_variables, 6), np.nan)
    known[:, [FIRST, END]], known[:, EXPIRES] = 0.0, -np.inf
    return Window(np.zeros((n_variables, _ROOM), dtype=np.int64), np.zeros((n_variables, _ROOM)), known)


@dataclass(frozen=True)
class Known:
    """One variable seen from a set of instants; arrays of shape (n,), NaN where nothing valid was known."""

    value: np.ndarray
    z_score: np.ndarray
    change: np.ndarray


@dataclass(frozen=True)
class KnownHistory:
    """What was known of one variable after each publication; arrays of shape (n_publications,)."""

    published: np.ndarray
    """Sorted ``datetime64[us]``, UTC."""
    expires: np.ndarray
    """Instant after which the value counts as missing."""
    value: np.ndarray
    z_score: np.ndarray
    change: np.ndarray

    def at(self, instants: pd.DatetimeIndex) -> Known:
        """What was known at each instant (UTC): the last publication at or before it, unless aged out."""
        moments = _utc(instants)
        last = np.searchsorted(self.published, moments, side="right") - 1
        visible = last >= 0
        visible[visible] = moments[visible] <= self.expires[last[visible]]
        return Known(*(_pick(a, last, visible) for a in (self.value, self.z_score, self.change)))


def known_history(observations: pd.DataFrame, max_age_days: int) -> KnownHistory:
    """Replay the publications of one variable in the order they happened.

    Parameters
    ----------
    observations : DataFrame
        observation_date, published_at (UTC) and value of one variable; a revision is a further row of the
        same observation_date.
    max_age_days : int
        Days after its publication at which a value counts as missing.

    Returns
    -------
    KnownHistory

    Raises
    ------
    DataError
        If a value is not finite.

    Notes
    -----
    After each publication the latest observation known gives the value; its z-score is taken over the 252
    latest observations, itself included, with ddof 1, and its change against the observation before, unless
    they lie more than 5 business days apart. On equal `published_at` the later observation wins.
    """
    published, days, values, _ = in_order(observations)
    states = np.empty((len(values), 6))
    _replay(*empty_window(1), published, days, values, max_age_days * _MICROSECONDS_A_DAY, states)
    expires = states[:, EXPIRES].astype("int64").astype("datetime64[us]")
    return KnownHistory(
        published.astype("datetime64[us]"), expires, states[:, VALUE], states[:, Z_SCORE], states[:, CHANGE]
    )


def in_order(observations: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Publications as they happened: microseconds UTC, days since 1970, values, and their rows' places.

    Raises
    ------
    DataError
        If a value is not finite.
    """
    published = _utc(pd.DatetimeIndex(observations["published_at"])).astype("int64")
    days = observations["observation_date"].to_numpy("datetime64[D]").astype("int64")
    values = observations["value"].to_numpy(float)
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"macro: values must be finite, that of {observations['observation_date'].iloc[bad]} "
            f"is {values[bad]}"
        )
    order = np.lexsort((days, published))
    return published[order], days[order], values[order], order


@njit(cache=True, error_model="numpy")
def publish(  # noqa: PLR0913, PLR0917
    days: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    of: int,
    day: int,
    value: float,
    published: int,
    max_age: int,
    with_z: bool,
    with_change: bool,
) -> None:
    """Take one publication into a variable's window and refresh what its latest observation says.

    Parameters
    ----------
    days, values, known : a Window's arrays, changed in place
    of : the variable's place in them
    day : days since 1970
    value : finite
    published, max_age : microseconds
    with_z, with_change : whether the features need them; else they stay NaN

    Notes
    -----
    The z-score is a direct two-pass sum over the window, in NumPy's own order, and never a running one: it
    depends on the window alone, not on how that came about. An observation older than all of a full window
    changes nothing.
    """
    first, end = int(known[of, FIRST]), int(known[of, END])
    place = end
    while place > first and days[of, place - 1] >= day:
        place -= 1
    if place < end and days[of, place] == day:
        values[of, place] = value
    elif place == first and end - first == Z_WINDOW:
        return
    else:
        if end == _ROOM:
            place, end = place - first, _move_to_front(days, values, of, first)
            first = 0
        for i in range(end, place, -1):
            days[of, i], values[of, i] = days[of, i - 1], values[of, i - 1]
        days[of, place], values[of, place] = day, value
        end += 1
        first = max(first, end - Z_WINDOW)
        known[of, FIRST], known[of, END] = first, end
    if place == end - 1:
        known[of, EXPIRES] = published + max_age
    known[of, VALUE] = values[of, end - 1]
    if with_z and end - first == Z_WINDOW:
        known[of, Z_SCORE] = _z_score(values[of], first)
    if with_change:
        known[of, CHANGE] = _change(days, values, of, first, end)


@njit(cache=True, error_model="numpy")
def _move_to_front(
    days: np.ndarray,
    values: np.ndarray,
    of: int,
    first: int,
) -> int:
    for i in range(first, _ROOM):
        days[of, i - first], values[of, i - first] = days[of, i], values[of, i]
    return _ROOM - first


@njit(cache=True, error_model="numpy")
def _replay(
    days: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    published: np.ndarray,
    observed: np.ndarray,
    news: np.ndarray,
    max_age: int,
    states: np.ndarray,
) -> None:
    for i in range(len(news)):
        publish(days, values, known, 0, observed[i], news[i], published[i], max_age, True, True)
        states[i] = known[0]


@njit(cache=True, error_model="numpy")
def _change(
    days: np.ndarray,
    values: np.ndarray,
    of: int,
    first: int,
    end: int,
) -> float:
    if end - first < 2 or values[of, end - 2] == 0.0:
        return np.nan
    apart = _weekdays_before(days[of, end - 1]) - _weekdays_before(days[of, end - 2])
    return values[of, end - 1] / values[of, end - 2] - 1 if apart <= MAX_BUSINESS_DAYS_APART else np.nan


@njit(cache=True, error_model="numpy")
def _weekdays_before(
    day: int,
) -> int:
    """Weekdays from Monday 29 December 1969 up to, not including, a day: `busday_count` in integers."""
    since_monday = day + 3
    return since_monday // 7 * 5 + min(since_monday % 7, 5)


@njit(cache=True, error_model="numpy")
def _z_score(
    values: np.ndarray,
    first: int,
) -> float:
    """Distance of the last of 252 values from their mean, in standard deviations; NaN where none moves."""
    last = first + Z_WINDOW - 1
    i = first
    while i < last and values[i] == values[last]:
        i += 1
    if i == last:
        return np.nan
    mean = _window_sum(values, first) / Z_WINDOW
    spread = np.sqrt(_window_squares(values, first, mean) / (Z_WINDOW - 1))
    z_score: float = (values[last] - mean) / spread
    return z_score


@njit(cache=True, error_model="numpy")
def _window_sum(
    values: np.ndarray,
    first: int,
) -> float:
    """The sum of a window's 252 values in NumPy's pairwise order: blocks of 120, 64 and 68 in eight lanes."""
    tail: float = _lanes(values, first + 184, 8)
    for i in range(first + 248, first + Z_WINDOW):
        tail += values[i]
    total: float = _lanes(values, first, 15) + (_lanes(values, first + 120, 8) + tail)
    return total


@njit(cache=True, error_model="numpy")
def _window_squares(
    values: np.ndarray,
    first: int,
    mean: float,
) -> float:
    """The sum of a window's squared distances from its mean, in the same order."""
    tail: float = _lanes_squared(values, first + 184, 8, mean)
    for i in range(first + 248, first + Z_WINDOW):
        tail += (values[i] - mean) * (values[i] - mean)
    middle = _lanes_squared(values, first + 120, 8, mean)
    total: float = _lanes_squared(values, first, 15, mean) + (middle + tail)
    return total


@njit(cache=True, error_model="numpy")
def _lanes(
    values: np.ndarray,
    start: int,
    n: int,
) -> float:
    a = b = c = d = e = f = g = h = 0.0
    i = np.uint64(start)  # unsigned: no index can count from the end, which doubles the speed
    for _ in range(n):
        a += values[i]
        b += values[i + _U[1]]
        c += values[i + _U[2]]
        d += values[i + _U[3]]
        e += values[i + _U[4]]
        f += values[i + _U[5]]
        g += values[i + _U[6]]
        h += values[i + _U[7]]
        i += _U[8]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@njit(cache=True, error_model="numpy")
def _lanes_squared(
    values: np.ndarray,
    start: int,
    n: int,
    mean: float,
) -> float:
    a = b = c = d = e = f = g = h = 0.0
    i = np.uint64(start)
    for _ in range(n):
        a += _square(values[i] - mean)
        b += _square(values[i + _U[1]] - mean)
        c += _square(values[i + _U[2]] - mean)
        d += _square(values[i + _U[3]] - mean)
        e += _square(values[i + _U[4]] - mean)
        f += _square(values[i + _U[5]] - mean)
        g += _square(values[i + _U[6]] - mean)
        h += _square(values[i + _U[7]] - mean)
        i += _U[8]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@njit(cache=True, error_model="numpy")
def _square(
    distance: float,
) -> float:
    return distance * distance


def _pick(states: np.ndarray, last: np.ndarray, visible: np.ndarray) -> np.ndarray:
    picked = np.full(len(last), np.nan)
    picked[visible] = states[last[visible]]
    return picked


def _utc(instants: pd.DatetimeIndex) -> np.ndarray:
    return instants.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]")
