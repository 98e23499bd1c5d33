"""Macro values by the moment they became known: no bar ever sees one earlier."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import pandas as pd

Z_WINDOW = 252
MAX_BUSINESS_DAYS_APART = 5


_DATED = r"^\d{4}-\d\d-\d\d$"


def is_dated(vintage: pd.Series) -> pd.Series:
    """Which vintages are days on which the vendor published that value; others are words."""
    return vintage.astype("str").str.match(_DATED).astype(bool)


def weekday_observations(macro: pd.DataFrame, name: str) -> pd.DataFrame:
    """The observations of one variable that feed features: those of Mondays to Fridays."""
    rows = macro[macro["variable"] == name]
    return rows[pd.DatetimeIndex(rows["observation_date"]).weekday < 5]


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
        same observation_date. Values are finite.
    max_age_days : int
        Days after its publication at which a value counts as missing.

    Returns
    -------
    KnownHistory

    Notes
    -----
    After each publication the latest observation known gives the value; its z-score is taken over the 252
    latest observations, itself included, with ddof 1, and its change against the observation before, unless
    they lie more than 5 business days apart. On equal `published_at` the later observation wins.
    """
    events = observations.sort_values(["published_at", "observation_date"], kind="stable")
    published = _utc(pd.DatetimeIndex(events["published_at"]))
    days = events["observation_date"].to_numpy("datetime64[D]")
    values = events["value"].to_numpy(float)
    states = np.full((len(events), 3), np.nan)
    expires = np.empty(len(events), dtype=published.dtype)
    known_days: list[np.datetime64] = []
    known_values: list[float] = []
    expiry = np.datetime64(0, "us")
    for i, (day, value) in enumerate(zip(days, values, strict=True)):
        place = bisect_left(known_days, day)
        if place < len(known_days) and known_days[place] == day:
            known_values[place] = value
        else:
            known_days.insert(place, day)
            known_values.insert(place, value)
        if place == len(known_days) - 1:
            expiry = published[i] + np.timedelta64(max_age_days, "D")
        states[i] = known_values[-1], _z_score(known_values), _change(known_days, known_values)
        expires[i] = expiry
    return KnownHistory(published, expires, states[:, 0], states[:, 1], states[:, 2])


def _z_score(values: list[float]) -> float:
    if len(values) < Z_WINDOW:
        return np.nan
    window = np.array(values[-Z_WINDOW:])
    if window.min() == window.max():
        return np.nan
    return float((window[-1] - window.mean()) / window.std(ddof=1))


def _change(days: list[np.datetime64], values: list[float]) -> float:
    if len(values) < 2 or values[-2] == 0.0:
        return np.nan
    apart = np.busday_count(days[-2], days[-1])
    return values[-1] / values[-2] - 1 if apart <= MAX_BUSINESS_DAYS_APART else np.nan


def _pick(states: np.ndarray, last: np.ndarray, visible: np.ndarray) -> np.ndarray:
    picked = np.full(len(last), np.nan)
    picked[visible] = states[last[visible]]
    return picked


def _utc(instants: pd.DatetimeIndex) -> np.ndarray:
    return instants.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]")
