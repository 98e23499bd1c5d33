"""Why a feature is missing at a bar: a word and, where macro data are behind it, the variable."""

from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import MACRO_SOURCES, MARKET_FEATURES, SOURCES_BY_FEATURE
from dosvotos.market.alignment import Z_WINDOW, known_history, weekday_observations
from dosvotos.market.calendar import BAR
from dosvotos.market.features import MarketHistory

WARM_UP: Final = "warm_up"
"""Too few bars before this one."""
UNPUBLISHED: Final = "unpublished"
"""Nothing of the variable was published yet."""
AGED_OUT: Final = "aged_out"
"""The last value known was older than its limit."""
TOO_SHORT: Final = "too_short"
"""Fewer values known than the feature looks back on."""
UNDEFINED: Final = "undefined"
"""Enough values, but no spread between them, or the last two too far apart."""

_LOOK_BACK: Final = {"_z": Z_WINDOW, "_change_1d": 2}


def missing_reasons(
    features: pd.DataFrame, history: MarketHistory, variables: dict[str, MacroVariable]
) -> pd.DataFrame:
    """Say of each missing feature why it is missing.

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
    closes_at = pd.DatetimeIndex(features.index) + BAR
    reasons = pd.DataFrame("", index=features.index, columns=list(MARKET_FEATURES), dtype=object)
    for feature in MARKET_FEATURES:
        missing = features[feature].isna().to_numpy()
        if not missing.any():
            continue
        found = np.full(
            int(missing.sum()), WARM_UP if feature not in SOURCES_BY_FEATURE else "", dtype=object
        )
        for short in SOURCES_BY_FEATURE.get(feature, ()):
            name = MACRO_SOURCES[short]
            observations = weekday_observations(history.macro, name)
            max_age_days = variables[name].ffill_max_days
            words = _of_variable(feature, observations, closes_at[missing], max_age_days)
            found = np.where((found == "") & (words != ""), words + f" {name}", found)
        reasons.loc[missing, feature] = found
    return reasons


def count_reasons(reasons: pd.DataFrame) -> dict[str, int]:
    """Rows by feature and reason, as ``feature: reason``; a row with several counts under each."""
    return {
        f"{feature}: {reason}": int(count)
        for feature in reasons.columns
        for reason, count in reasons[feature].value_counts().sort_index().items()
        if reason
    }


def _of_variable(
    feature: str, observations: pd.DataFrame, closes_at: pd.DatetimeIndex, max_age_days: int
) -> np.ndarray:
    first_published = observations.groupby("observation_date")["published_at"].min().sort_values()
    known = np.searchsorted(first_published.to_numpy(), closes_at.to_numpy(), side="right")
    fresh = np.isfinite(known_history(observations, max_age_days).at(closes_at).value)
    needed = next((n for end, n in _LOOK_BACK.items() if feature.endswith(end)), 0)
    whole = "" if needed == 0 else UNDEFINED
    words: np.ndarray = np.select(
        [known == 0, ~fresh, known < needed], [UNPUBLISHED, AGED_OUT, TOO_SHORT], default=whole
    ).astype(object)
    return words
