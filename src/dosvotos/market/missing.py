"""Reasons why a feature is missing at a bar, with the macro variable that lacks a value."""

from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import MACRO_SOURCES, MARKET_FEATURES, SOURCES_BY_FEATURE
from dosvotos.market.alignment import Z_WINDOW, known_at, weekday_observations
from dosvotos.market.calendar import BAR
from dosvotos.market.features import MarketHistory

WARM_UP: Final = "warm_up"  # too few bars before this one
UNPUBLISHED: Final = "unpublished"  # nothing of the variable was published yet
AGED_OUT: Final = "aged_out"  # the last value known was older than its limit
TOO_SHORT: Final = "too_short"  # fewer values known than the feature needs
UNDEFINED: Final = "undefined"  # enough values, but no spread between them, or the last two too far apart

_VALUES_NEEDED: Final = {"_z": Z_WINDOW, "_change_1d": 2}


def missing_reasons(
    features: pd.DataFrame, history: MarketHistory, variables: dict[str, MacroVariable]
) -> pd.DataFrame:
    """Give each missing feature the reason why it is missing.

    Parameters
    ----------
    features : DataFrame of shape (n_bars, n)
        Index bar open (UTC); MARKET_FEATURES among its columns, computed from `history`.
    history : MarketHistory
    variables : dict of MacroVariable by full name

    Returns
    -------
    DataFrame of shape (n_bars, 13), text
        Empty where the feature is there; else ``warm_up``, or ``unpublished``, ``aged_out``, ``too_short`` or
        ``undefined``, followed by the variable's name. Where two variables are behind a feature, the
        first that lacks a value is named.
    """
    close_times = pd.DatetimeIndex(features.index) + BAR
    reasons = pd.DataFrame("", index=features.index, columns=list(MARKET_FEATURES), dtype=object)
    for feature in MARKET_FEATURES:
        missing = features[feature].isna().to_numpy()
        if not missing.any():
            continue
        reason = "" if feature in SOURCES_BY_FEATURE else WARM_UP
        found = np.full(int(missing.sum()), reason, dtype=object)
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
