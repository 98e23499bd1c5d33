"""Reasons why a feature is missing at a bar, with the macro variable that lacks a value."""

from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import MACRO_SOURCES, MARKET_FEATURES, SOURCES_BY_FEATURE, TECHNICAL_FEATURES
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.market.alignment import Z_WINDOW, known_at, weekday_observations
from dosvotos.market.calendar import BAR, REGULAR, session_dates, session_numbers
from dosvotos.market.features import MarketHistory
from dosvotos.market.features.definition import BARS_AFTER_HOLE, MAX_MISSED_SESSIONS, RETURN_BARS

WARM_UP: Final = "warm_up"  # too few bars before this one
GAP: Final = "GAP"  # it would reach across more than 3 scheduled sessions without bars
UNPUBLISHED: Final = "unpublished"  # nothing of the variable was published yet
AGED_OUT: Final = "aged_out"  # the last value known was older than its limit
TOO_SHORT: Final = "too_short"  # fewer values known than the feature needs
UNDEFINED: Final = "undefined"  # enough values, but no spread between them, or the last two too far apart

_BARS_NEEDED: Final = dict(zip(TECHNICAL_FEATURES, (*RETURN_BARS, *[BARS_AFTER_HOLE] * 3), strict=True))
"""Bars after a hole until which a feature reaches across it."""
_VALUES_NEEDED: Final = {"_z": Z_WINDOW, "_change_1d": 2}


def missing_reasons(
    features: pd.DataFrame,
    history: MarketHistory,
    variables: dict[str, MacroVariable],
    calendar: CalendarParams = REGULAR,
) -> pd.DataFrame:
    """Give each missing feature the reason why it is missing.

    Parameters
    ----------
    features : DataFrame of shape (n_bars, n)
        Index bar open (UTC); MARKET_FEATURES among its columns, computed from `history`.
    history : MarketHistory
    variables : dict of MacroVariable by full name
    calendar : CalendarParams
        With which `features` were computed.

    Returns
    -------
    DataFrame of shape (n_bars, 13), text
        Empty where the feature is there; else ``warm_up`` or ``GAP``, or ``unpublished``, ``aged_out``,
        ``too_short`` or ``undefined``, followed by the variable's name. Where two variables are behind a
        feature, the first that lacks a value is named.
    """
    close_times = pd.DatetimeIndex(features.index) + BAR
    since_hole = _bars_since_hole(features, history, calendar)
    reasons = pd.DataFrame("", index=features.index, columns=list(MARKET_FEATURES), dtype=object)
    for feature in MARKET_FEATURES:
        missing = features[feature].isna().to_numpy()
        if not missing.any():
            continue
        limit = _BARS_NEEDED.get(feature, 0)
        own = WARM_UP if limit else ""
        found = np.where(since_hole[missing] < limit, GAP, own).astype(object)
        for short in SOURCES_BY_FEATURE.get(feature, ()):
            name = MACRO_SOURCES[short]
            observations = weekday_observations(history.macro, name)
            max_age_days = variables[name].ffill_max_days
            lacking = _reasons_of_variable(feature, observations, close_times[missing], max_age_days)
            found = np.where((found == "") & (lacking != ""), lacking + f" {name}", found)
        reasons.loc[missing, feature] = found
    return reasons


def count_reasons(reasons: pd.DataFrame) -> dict[str, int]:
    """Count rows by ``feature: reason``; a row that misses several features counts under each."""
    return {
        f"{feature}: {reason}": int(count)
        for feature in reasons.columns
        for reason, count in reasons[feature].value_counts().sort_index().items()
        if reason
    }


def _bars_since_hole(features: pd.DataFrame, history: MarketHistory, calendar: CalendarParams) -> np.ndarray:
    """Count the bars between each row and the last hole before it; infinite without one."""
    times = pd.DatetimeIndex(history.bars.index)
    days, bar_of_day = np.unique(session_dates(times), return_inverse=True)
    session = session_numbers(days, calendar)[bar_of_day]
    holes = np.flatnonzero(np.diff(session) > MAX_MISSED_SESSIONS + 1) + 1
    bars = times.get_indexer(pd.DatetimeIndex(features.index))
    last = np.searchsorted(holes, bars, side="right") - 1
    return np.where(last < 0, np.inf, bars - np.append(holes, 0)[last])


def _reasons_of_variable(
    feature: str, observations: pd.DataFrame, close_times: pd.DatetimeIndex, max_age_days: int
) -> np.ndarray:
    first_published = observations.groupby("observation_date")["published_at"].min().sort_values()
    n_known = np.searchsorted(first_published.to_numpy(), close_times.to_numpy(), side="right")
    fresh = np.isfinite(known_at(observations, max_age_days, close_times).value)
    needed = next((n for end, n in _VALUES_NEEDED.items() if feature.endswith(end)), 0)
    conditions = [n_known == 0, ~fresh, n_known < needed]
    otherwise = "" if needed == 0 else UNDEFINED
    return np.select(conditions, [UNPUBLISHED, AGED_OUT, TOO_SHORT], otherwise).astype(object)
