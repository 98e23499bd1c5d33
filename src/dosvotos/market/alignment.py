"""Macro values by the moment they became known: no bar ever sees one earlier."""

from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.compiled import njit
from dosvotos.errors import DataError

Z_WINDOW = 252
MAX_BUSINESS_DAYS_APART = 5

FIRST, END, EXPIRES, VALUE, Z_SCORE, CHANGE = range(6)
"""What is kept of a variable beside its observations: where its window lies, and what the latest one says."""

IN_PLACE: Final = {"error_model": "numpy", "_nrt": False}
"""How compiled code that makes no array is compiled: counting references would take longer than its work."""

_ROOM = 2 * Z_WINDOW
_LANES, _THIRD = Z_WINDOW // 7, Z_WINDOW // 21
_MICROSECONDS_A_DAY = 86_400_000_000
_ORDINAL_OF_1970 = date(1970, 1, 1).toordinal()

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
    max_age = max_age_days * _MICROSECONDS_A_DAY
    _replay(*empty_window(1), published, days, values, max_age, room_for_sums(), states)
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
    days = _days(observations["observation_date"])
    values = observations["value"].to_numpy(float)
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"macro: values must be finite, that of {observations['observation_date'].iloc[bad]} "
            f"is {values[bad]}"
        )
    order = np.lexsort((days, published))
    return published[order], days[order], values[order], order


@njit(error_model="numpy")
def room_for_sums() -> np.ndarray:
    """What a z-score's partial sums are written to."""
    return np.empty(2 * _LANES)


@njit(**IN_PLACE, inline="always")
def window_of(
    known: np.ndarray,
    of: int,
) -> tuple[int, int]:
    """Where a variable's window begins, and where it ends."""
    return int(known[of, FIRST]), int(known[of, END])


@njit(**IN_PLACE, inline="always")
def publish(  # noqa: PLR0913, PLR0917
    days: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    of: int,
    window: tuple[int, int],
    day: int,
    value: float,
    published: int,
    max_age: int,
) -> tuple[int, int]:
    """Take one publication into a variable's window; `restate` then says what its latest observation does.

    Parameters
    ----------
    days, values, known : a Window's arrays, changed in place
    of : the variable's place in them
    window : where it lies, from `window_of` or the publication before; the result is where it lies then
    day : days since 1970
    value : finite
    published, max_age : microseconds

    Notes
    -----
    An observation older than all of a full window changes nothing.
    """
    first, end = window
    if first < end and day <= days[of, end - 1]:
        first, end = _revise(days, values, known, of, first, end, day, value, published + max_age)
        return first, end
    if end == _ROOM:
        first, end = 0, _move_to_front(days, values, of, first)
    days[of, end], values[of, end] = day, value
    known[of, EXPIRES] = published + max_age
    return max(first, end + 1 - Z_WINDOW), end + 1


@njit(**IN_PLACE)
def _revise(  # noqa: PLR0913, PLR0917
    days: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    of: int,
    first: int,
    end: int,
    day: int,
    value: float,
    expires: int,
) -> tuple[int, int]:
    """Take a value of the latest observation's day, or of one before it."""
    place = end - 1
    while place > first and days[of, place - 1] >= day:
        place -= 1
    if days[of, place] == day:
        values[of, place] = value
        if place == end - 1:
            known[of, EXPIRES] = expires
        return first, end
    if place == first and end - first == Z_WINDOW:
        return first, end
    if end == _ROOM:
        place, first, end = place - first, 0, _move_to_front(days, values, of, first)
    for i in range(end, place, -1):
        days[of, i], values[of, i] = days[of, i - 1], values[of, i - 1]
    days[of, place], values[of, place] = day, value
    return max(first, end + 1 - Z_WINDOW), end + 1


@njit(**IN_PLACE, inline="always")
def restate(
    days: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    of: int,
    window: tuple[int, int],
    with_z: bool,
    with_change: bool,
    sums: np.ndarray,
) -> None:
    """Refresh what a variable's latest observation says, after one or more publications.

    Parameters
    ----------
    days, values, known : a Window's arrays, of which `known` is changed in place
    of : the variable's place in them
    window : where it lies
    with_z, with_change : whether the features need them; else they stay NaN
    sums : room to work in, from `room_for_sums`

    Notes
    -----
    The z-score is summed over the window anew, and never a running sum: it depends on the window alone, not
    on how that came about.
    """
    first, end = window
    known[of, FIRST], known[of, END] = first, end
    known[of, VALUE] = values[of, end - 1]
    if with_z and end - first == Z_WINDOW:
        known[of, Z_SCORE] = _z_score(values, of, first, sums)
    if with_change:
        known[of, CHANGE] = _change(days, values, of, first, end)


@njit(**IN_PLACE)
def _move_to_front(
    days: np.ndarray,
    values: np.ndarray,
    of: int,
    first: int,
) -> int:
    for i in range(first, _ROOM):
        days[of, i - first], values[of, i - first] = days[of, i], values[of, i]
    return _ROOM - first


@njit(**IN_PLACE)
def _replay(  # noqa: PLR0913, PLR0917
    days: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    published: np.ndarray,
    observed: np.ndarray,
    news: np.ndarray,
    max_age: int,
    sums: np.ndarray,
    states: np.ndarray,
) -> None:
    window = window_of(known, 0)
    for i in range(len(news)):
        window = publish(days, values, known, 0, window, observed[i], news[i], published[i], max_age)
        restate(days, values, known, 0, window, True, True, sums)
        for j in range(states.shape[1]):
            states[i, j] = known[0, j]


@njit(**IN_PLACE, inline="always")
def _change(
    days: np.ndarray,
    values: np.ndarray,
    of: int,
    first: int,
    end: int,
) -> float:
    if end - first < 2 or values[of, end - 2] == 0.0:
        return np.nan
    # as many weekdays lie no further apart than days do
    if days[of, end - 1] - days[of, end - 2] > MAX_BUSINESS_DAYS_APART:
        apart = _weekdays_before(days[of, end - 1]) - _weekdays_before(days[of, end - 2])
        if apart > MAX_BUSINESS_DAYS_APART:
            return np.nan
    change: float = values[of, end - 1] / values[of, end - 2] - 1
    return change


@njit(**IN_PLACE, inline="always")
def _weekdays_before(
    day: int,
) -> int:
    """Weekdays from Monday 29 December 1969 up to, not including, a day: `busday_count` in integers."""
    since_monday = day + 3
    return since_monday // 7 * 5 + min(since_monday % 7, 5)


@njit(**IN_PLACE, inline="always")
def _z_score(
    values: np.ndarray,
    of: int,
    first: int,
    sums: np.ndarray,
) -> float:
    """Distance of the last of 252 values from their mean, in standard deviations; NaN where none moves.

    One pass over distances from the last value itself: they are 0 where nothing moves, and as that value is
    one of the window, squares less the mean's never cancel. Every sum has one fixed order, which processors
    with wide registers and with narrow ones share.
    """
    window = values[of, first : first + Z_WINDOW]
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


def _pick(states: np.ndarray, last: np.ndarray, visible: np.ndarray) -> np.ndarray:
    picked = np.full(len(last), np.nan)
    picked[visible] = states[last[visible]]
    return picked


def _days(dates: pd.Series) -> np.ndarray:
    """Days since 1970 of dates or of midnights; NumPy takes ten times as long over date objects."""
    if dates.dtype != object:
        return dates.to_numpy("datetime64[D]").astype("int64")
    ordinals = np.fromiter(map(date.toordinal, dates.tolist()), np.int64, len(dates))
    return ordinals - _ORDINAL_OF_1970


def _utc(instants: pd.DatetimeIndex) -> np.ndarray:
    return instants.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]")
