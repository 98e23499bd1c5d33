"""Features of a whole history, and of further bars after a state; errors name the bar or publication."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import TECHNICAL_FEATURES
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.errors import DataError, LateDataError
from dosvotos.market.calendar import BAR, REGULAR
from dosvotos.market.features.definition import COLUMNS, VARIABLES
from dosvotos.market.features.inputs import (
    NO_PUBLICATIONS,
    Bar,
    BarArrays,
    MarketHistory,
    PublicationArrays,
    RangeSource,
    bar_arrays,
    max_ages,
    owned_array,
    publication_arrays,
)
from dosvotos.market.features.kernel import (
    BAR_NOT_LATER,
    OK,
    PUBLICATION_NOT_LATER,
    FeatureState,
    check,
    empty_state,
    process_bar,
    process_bars,
)
from dosvotos.market.microseconds import to_timestamp


def market_features(
    history: MarketHistory,
    variables: Mapping[str, MacroVariable],
    range_source: RangeSource = "close",
    calendar: CalendarParams = REGULAR,
) -> pd.DataFrame:
    """Compute the 13 market features, the session clock and the financing rate for every bar.

    Parameters
    ----------
    history : MarketHistory
    variables : mapping of MacroVariable by full name
        Supplies the age after which a value counts as missing.
    range_source : {"close", "bars"}
        Closes, or each bar's own high and low, make the true ranges.
    calendar : CalendarParams
        Says which sessions were scheduled, so that a hole between bars is known.

    Returns
    -------
    DataFrame of shape (n_bars, 15), index as ``history.bars``
        MARKET_FEATURES, ``time_normalized`` in [0, 1] and ``policy_rate_difference`` (fed funds minus
        TPM, percent a year). NaN where a feature has no history yet or its value has aged out.

    Raises
    ------
    DataError
        If a price is not positive and finite, a value not finite, or bars are not in time order.

    Notes
    -----
    A bar sees a macro value only if it was published at or before the bar's close. Where nothing moves, log
    returns, RSI, ATR and ADX are 0. Formulas: `definition`. Design, sections 3, 9.
    """
    bars = bar_arrays(history.bars, range_source, calendar)
    publications = publication_arrays(history.macro)
    rows = update_features(empty_state(), bars, publications, max_ages(variables))
    return pd.DataFrame(rows.T, index=history.bars.index, columns=list(COLUMNS), copy=False)


def technical_features(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Compute TECHNICAL_FEATURES; arrays of shape (n_bars,), result (n_bars, 6), NaN in the warm-up."""
    index, zeros, session = np.arange(len(close)), np.zeros(len(close)), np.zeros(len(close), dtype=np.int64)
    bars = BarArrays(index, owned_array(high), owned_array(low), owned_array(close), zeros, session)
    no_ages = np.zeros(len(VARIABLES), dtype=np.int64)
    return update_features(empty_state(), bars, NO_PUBLICATIONS, no_ages)[: len(TECHNICAL_FEATURES)].T


def update_features(
    state: FeatureState, bars: BarArrays, publications: PublicationArrays, max_ages: np.ndarray
) -> np.ndarray:
    """Compute the features of further bars, and bring the state up to the last of them.

    Parameters
    ----------
    state : FeatureState, changed in place
    bars : BarArrays, later than the state's last bar
    publications : PublicationArrays, published after the state's last bar closed
        Those after the last of `bars` are left out: give them again with later bars.
    max_ages : ndarray, from the function of that name

    Returns
    -------
    ndarray of shape (15, n_bars)
        COLUMNS of each bar.

    Raises
    ------
    DataError
        If a price is not positive and finite; the state is as before.
    LateDataError
        If a bar or a publication is not later than the state's last bar; the state is as before.
    """
    rows = np.empty((len(COLUMNS), len(bars.close)))
    status, index = process_bars(state, bars, publications, max_ages, rows)
    _raise_unless_ok(status, index, state, bars, publications)
    return rows


def update_features_by_bar(
    state: FeatureState, bar: Bar, publications: PublicationArrays, max_ages: np.ndarray
) -> np.ndarray:
    """As `update_features`, of one bar; result of shape (15,)."""
    if len(publications.published_at):
        return update_features(state, bar.as_arrays(), publications, max_ages)[:, 0]
    row = np.empty(len(COLUMNS))
    status, index = process_bar(state.technical, state.macro.summary, tuple(bar), row)
    if status != OK:
        _raise_unless_ok(status, index, state, bar.as_arrays(), publications)
    return row


def check_order(state: FeatureState, bars: BarArrays, publications: PublicationArrays) -> None:
    """Raise what `update_features` would raise, and compute nothing."""
    status, index = check(state, bars, publications)
    _raise_unless_ok(status, index, state, bars, publications)


def _raise_unless_ok(
    status: int, index: int, state: FeatureState, bars: BarArrays, publications: PublicationArrays
) -> None:
    if status == OK:
        return
    if status == PUBLICATION_NOT_LATER:
        raise LateDataError(
            f"macro: {VARIABLES[publications.variable[index]]} was published "
            f"{to_timestamp(publications.published_at[index])}, not after the last bar computed, closed "
            f"{to_timestamp(state.last_close_time)}"
        )
    opened = to_timestamp(bars.close_time[index]) - BAR
    if status == BAR_NOT_LATER:
        raise LateDataError(f"bars: {opened} is not later than the bar before it")
    prices = {name: float(getattr(bars, name)[index]) for name in ("high", "low", "close")}
    raise DataError(f"bars: prices of {opened} must be positive and finite, were {prices}; correct that bar")
