"""CTR-FEAT-001 computed: six technical features from bars and seven from macro values as they were known.

One definition serves L1 and L2. Smoothing is Wilder's, as TA-Lib does it; features are raw, normalisation
happens at the model's door.
"""

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numba import njit

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import (
    FINANCING_SOURCES,
    MACRO_FEATURES,
    MACRO_SOURCES,
    MARKET_FEATURES,
    TECHNICAL_FEATURES,
)
from dosvotos.market.alignment import KnownHistory, known_history
from dosvotos.market.calendar import BAR, LAST_SLOT, slots

RSI_PERIOD = 9
ATR_PERIOD = 10
ADX_PERIOD = 14
RETURN_BARS = (1, 12, 48)


class MarketHistory(NamedTuple):
    """What features are computed from, all of it already filtered to what was known."""

    bars: pd.DataFrame
    """Session bars in time order, index ``timestamp`` (bar open, UTC); open, high, low, close."""
    macro: pd.DataFrame
    """Observations: variable, observation_date, published_at (UTC), value."""


def market_features(
    history: MarketHistory,
    variables: dict[str, MacroVariable],
    range_source: Literal["close", "bars"] = "close",
) -> pd.DataFrame:
    """Compute the 13 market features and the session clock for every bar.

    Parameters
    ----------
    history : MarketHistory
    variables : dict of MacroVariable by full name
        Supplies the age after which a value counts as missing.
    range_source : {"close", "bars"}
        Closes, or each bar's own high and low, make the true ranges.

    Returns
    -------
    DataFrame of shape (n_bars, 15), index as ``history.bars``
        MARKET_FEATURES, ``time_normalized`` in [0, 1] and ``policy_rate_difference`` (fed funds minus
        TPM, percent a year). NaN where a feature has no history yet or its value has aged out.

    Notes
    -----
    A bar sees a macro value only if it was published at or before the bar's close. Design, sections 3, 9.
    """
    bars = history.bars
    close = bars["close"].to_numpy(float)
    high, low = (close, close) if range_source == "close" else (_column(bars, "high"), _column(bars, "low"))
    features = pd.DataFrame(index=bars.index)
    features[list(TECHNICAL_FEATURES)] = technical_features(high, low, close)
    closes_at = pd.DatetimeIndex(bars.index) + BAR
    features[list(MACRO_FEATURES)] = _macro_features(history.macro, variables, closes_at)
    features = features[list(MARKET_FEATURES)]
    features["time_normalized"] = slots(pd.DatetimeIndex(bars.index)) / LAST_SLOT
    features["policy_rate_difference"] = _policy_rate_difference(history.macro, variables, closes_at)
    return features


def technical_features(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Compute TECHNICAL_FEATURES; arrays of shape (n_bars,), result (n_bars, 6), NaN in the warm-up."""
    columns = [log_return(close, bars) for bars in RETURN_BARS]
    columns += [rsi(close, RSI_PERIOD), atr(high, low, close, ATR_PERIOD) / close]
    columns += [adx(high, low, close, ADX_PERIOD)]
    return np.column_stack(columns)


def log_return(close: np.ndarray, bars: int) -> np.ndarray:
    """Log return over `bars` existing bars, across sessions; NaN for the first ones."""
    result = np.full(len(close), np.nan)
    result[bars:] = np.log(close[bars:] / close[:-bars]) if bars < len(close) else np.nan
    return result


@njit(cache=True)
def rsi(close: np.ndarray, period: int) -> np.ndarray:
    """Wilder's relative strength index in percent; 0 where nothing moves. First value at bar `period`."""
    result = np.full(len(close), np.nan)
    gain = loss = 0.0
    for i in range(1, len(close)):
        change = close[i] - close[i - 1]
        up, down = max(change, 0.0), max(-change, 0.0)
        if i <= period:
            gain += up / period
            loss += down / period
        else:
            gain = (gain * (period - 1) + up) / period
            loss = (loss * (period - 1) + down) / period
        if i >= period:
            result[i] = 100.0 * gain / (gain + loss) if gain + loss > 0.0 else 0.0
    return result


@njit(cache=True)
def atr(high: np.ndarray, low: np.ndarray, close: np.ndarray, period: int) -> np.ndarray:
    """Wilder's average true range in price units. First value at bar `period`."""
    result = np.full(len(close), np.nan)
    average = 0.0
    for i in range(1, len(close)):
        true_range = max(high[i], close[i - 1]) - min(low[i], close[i - 1])
        if i <= period:
            average += true_range / period
        else:
            average = (average * (period - 1) + true_range) / period
        if i >= period:
            result[i] = average
    return result


@njit(cache=True)
def adx(high: np.ndarray, low: np.ndarray, close: np.ndarray, period: int) -> np.ndarray:
    """Wilder's average directional index in percent. First value at bar ``2 x period - 1``.

    Notes
    -----
    As TA-Lib: directional movement and true range start as sums of ``period - 1`` bars, and a bar without
    range or movement adds 0 to the first average and leaves a later one unchanged.
    """
    result = np.full(len(close), np.nan)
    plus = minus = true_range_sum = total = average = 0.0
    for i in range(1, len(close)):
        rise, fall = high[i] - high[i - 1], low[i - 1] - low[i]
        up = rise if rise > fall and rise > 0.0 else 0.0
        down = fall if fall > rise and fall > 0.0 else 0.0
        true_range = max(high[i], close[i - 1]) - min(low[i], close[i - 1])
        if i < period:
            plus, minus, true_range_sum = plus + up, minus + down, true_range_sum + true_range
            continue
        plus += up - plus / period
        minus += down - minus / period
        true_range_sum += true_range - true_range_sum / period
        moves = plus + minus
        defined = true_range_sum > 0.0 and moves > 0.0
        index = 100.0 * abs(plus - minus) / moves if defined else 0.0
        if i < 2 * period:
            total += index
            average = total / period
        elif defined:
            average = (average * (period - 1) + index) / period
        if i >= 2 * period - 1:
            result[i] = average
    return result


def _macro_features(
    macro: pd.DataFrame, variables: dict[str, MacroVariable], closes_at: pd.DatetimeIndex
) -> np.ndarray:
    known = {
        short: _weekday_history(macro, name, variables).at(closes_at) for short, name in MACRO_SOURCES.items()
    }
    columns = {
        "dxy_z": known["dxy"].z_score,
        "dxy_change_1d": known["dxy"].change,
        "vix_z": known["vix"].z_score,
        "embi_z": known["embi"].z_score,
        "brent_change_1d": known["brent"].change,
        "rate_spread": known["col10y"].value - known["ust10y"].value,
        "usdmxn_change_1d": known["usdmxn"].change,
    }
    return np.column_stack([columns[name] for name in MACRO_FEATURES])


def _weekday_history(macro: pd.DataFrame, name: str, variables: dict[str, MacroVariable]) -> KnownHistory:
    rows = macro[macro["variable"] == name]
    weekday = pd.DatetimeIndex(rows["observation_date"]).weekday < 5
    return known_history(rows[weekday], variables[name].ffill_max_days)


def _policy_rate_difference(
    macro: pd.DataFrame, variables: dict[str, MacroVariable], closes_at: pd.DatetimeIndex
) -> np.ndarray:
    fed_funds, tpm = (
        known_history(macro[macro["variable"] == name], variables[name].ffill_max_days).at(closes_at).value
        for name in FINANCING_SOURCES.values()
    )
    difference: np.ndarray = fed_funds - tpm
    return difference


def _column(bars: pd.DataFrame, name: str) -> np.ndarray:
    return bars[name].to_numpy(float)
