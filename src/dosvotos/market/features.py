"""CTR-FEAT-001 computed: six technical features from bars and seven from macro values as they were known.

One definition serves L1 and L2: `advance` takes bars and publications one after the other in time and needs
O(1) state for each, so that a whole history in one call and one bar at a time run the same code. Smoothing
is Wilder's, as TA-Lib does it; features are raw, normalisation happens at the model's door.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.compiled import njit
from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import FINANCING_SOURCES, MACRO_SOURCES, MARKET_FEATURES
from dosvotos.errors import DataError, LateDataError
from dosvotos.market.alignment import (
    CHANGE,
    EXPIRES,
    IN_PLACE,
    VALUE,
    Z_SCORE,
    Window,
    empty_window,
    in_order,
    publish,
    restate,
    room_for_sums,
    window_of,
)
from dosvotos.market.calendar import BAR, LAST_SLOT, slots
from dosvotos.numerics import BLOCK, logarithms
from dosvotos.numerics import log_workspace as room_for_logs

RSI_PERIOD = 9
ATR_PERIOD = 10
ADX_PERIOD = 14
RETURN_BARS = (1, 12, 48)

CLOCK = len(MARKET_FEATURES)
COLUMNS = (*MARKET_FEATURES, "time_normalized", "policy_rate_difference")
SOURCES = (*MACRO_SOURCES.values(), *FINANCING_SOURCES.values())
"""The variables behind COLUMNS, in the order in which the state keeps them."""

RangeSource = Literal["close", "bars"]
Sums = tuple[float, float, float, float, float, float, float, float, float, float, float]
"""The technical state without its count of bars and its logarithms, while bars are taken."""

# places in the technical state
(
    _BARS, _HIGH, _LOW, _CLOSE, _GAIN, _LOSS, _ATR, _PLUS, _MINUS, _RANGES, _DX_TOTAL, _ADX, _CLOSED, _LOGS,
) = range(14)  # fmt: skip
_MEMORY = max(RETURN_BARS)
_STEADY = 2 * ADX_PERIOD
"""Bars after which every average has begun."""
_SMALLEST = float(np.finfo(np.float64).tiny)
_SHORT, _HOUR = RETURN_BARS[:2]


def _rows(**columns: str) -> tuple[int, ...]:
    """For each of SOURCES the row of COLUMNS it is shown in, by its short name; -1 where it is not."""
    return tuple(COLUMNS.index(columns[name]) if name in columns else -1 for name in _SHORT_NAMES)


_SHORT_NAMES = (*MACRO_SOURCES, *FINANCING_SOURCES)
_Z_ROW = _rows(dxy="dxy_z", vix="vix_z", embi="embi_z")
_CHANGE_ROW = _rows(dxy="dxy_change_1d", brent="brent_change_1d", usdmxn="usdmxn_change_1d")
_MINUEND_ROW = _rows(col10y="rate_spread", fed_funds="policy_rate_difference")
_SUBTRAHEND_ROW = _rows(ust10y="rate_spread", tpm="policy_rate_difference")
"""Variables that are taken off another's: SOURCES holds them behind it."""
_MICROSECOND = pd.Timedelta(microseconds=1)

_FINE, _NOT_A_PRICE, _NOT_LATER, _PUBLISHED_BEFORE = range(4)


class MarketHistory(NamedTuple):
    """What features are computed from, all of it already filtered to what was known."""

    bars: pd.DataFrame
    """Session bars in time order, index ``timestamp`` (bar open, UTC); open, high, low, close."""
    macro: pd.DataFrame
    """Observations: variable, observation_date, published_at (UTC), value."""


class BarArrays(NamedTuple):
    """Bars as the kernel takes them; arrays of shape (n_bars,)."""

    closed: np.ndarray
    """When each bar closes, int64 microseconds UTC."""
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    clock: np.ndarray
    """Slot / 59."""


Bar = tuple[int, float, float, float, float]
"""One of `BarArrays`."""


class News(NamedTuple):
    """Publications of SOURCES in the order they happened; arrays of shape (n_publications,)."""

    published: np.ndarray
    """int64 microseconds UTC."""
    variable: np.ndarray
    """int64, place in SOURCES."""
    day: np.ndarray
    """Observation date, int64 days since 1970."""
    value: np.ndarray


class FeatureState(NamedTuple):
    """All that is remembered between two bars."""

    technical: np.ndarray
    """Counters, Wilder's sums and the logarithms of the last 48 closes, float64 of shape (61,)."""
    macro: Window


def market_features(
    history: MarketHistory, variables: Mapping[str, MacroVariable], range_source: RangeSource = "close"
) -> pd.DataFrame:
    """Compute the 13 market features and the session clock for every bar.

    Parameters
    ----------
    history : MarketHistory
    variables : mapping of MacroVariable by full name
        Supplies the age after which a value counts as missing.
    range_source : {"close", "bars"}
        Closes, or each bar's own high and low, make the true ranges.

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
    returns, RSI, ATR and ADX are 0. Design, sections 3, 9.
    """
    rows = advance(
        empty_state(), bar_arrays(history.bars, range_source), news_of(history.macro), max_ages(variables)
    )
    return pd.DataFrame(rows.T, index=history.bars.index, columns=list(COLUMNS), copy=False)


def technical_features(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Compute TECHNICAL_FEATURES; arrays of shape (n_bars,), result (n_bars, 6), NaN in the warm-up."""
    prices = [_owned(a) for a in (high, low, close)]
    bars = BarArrays(np.arange(len(close)), prices[0], prices[1], prices[2], np.zeros(len(close)))
    return advance(empty_state(), bars, NO_NEWS, np.zeros(len(SOURCES), dtype=np.int64))[:6].T


def empty_state() -> FeatureState:
    """Before the first bar and the first publication."""
    technical = np.zeros(_LOGS + _MEMORY)
    technical[_CLOSED], technical[_LOGS:] = -np.inf, np.nan
    return FeatureState(technical, empty_window(len(SOURCES)))


def bar_arrays(bars: pd.DataFrame, range_source: RangeSource) -> BarArrays:
    """Bars (index: bar open, UTC) as arrays; `range_source` as in `market_features`."""
    times = pd.DatetimeIndex(bars.index)
    close = _column(bars, "close")
    high, low = (close, close) if range_source == "close" else (_column(bars, "high"), _column(bars, "low"))
    opened = times.as_unit("us").asi8
    return BarArrays(opened + BAR // _MICROSECOND, high, low, close, slots(times) / LAST_SLOT)


def news_of(macro: pd.DataFrame) -> News:
    """The publications behind features: SOURCES alone, no weekend's observation of a daily variable.

    Raises
    ------
    DataError
        If a value is not finite.
    """
    variable = pd.Index(SOURCES).get_indexer(pd.Index(macro["variable"]))
    behind = np.flatnonzero(variable >= 0)
    published, day, value, order = in_order(macro.iloc[behind])
    variable = variable[behind][order].astype(np.int64)
    counts = ((day + 3) % 7 < 5) | (variable >= len(MACRO_SOURCES))
    return News(published[counts], variable[counts], day[counts], value[counts])


def max_ages(variables: Mapping[str, MacroVariable]) -> np.ndarray:
    """Microseconds after which each of SOURCES counts as missing."""
    return np.array([pd.Timedelta(days=variables[n].ffill_max_days) // _MICROSECOND for n in SOURCES])


def advance(state: FeatureState, bars: BarArrays, news: News, ages: np.ndarray) -> np.ndarray:
    """Take further bars and what was published up to the last one's close into a state.

    Parameters
    ----------
    state : FeatureState, changed in place
    bars : BarArrays, in time order and later than those taken before
    news : News, published after the last bar taken before
        Publications after the last of these bars' closes are left out: give them again with later bars.
    ages : from `max_ages`

    Returns
    -------
    ndarray of shape (15, n_bars)
        COLUMNS of each bar.

    Raises
    ------
    DataError
        If a price is not positive and finite; the state is as before.
    LateDataError
        If a bar or a publication is not later than those taken before; the state is as before.
    """
    rows = np.empty((len(COLUMNS), len(bars.close)))
    take(state, bars, news, ages, rows)
    return rows


def check_order(state: FeatureState, bars: BarArrays, news: News) -> None:
    """Refuse bars and news that `advance` cannot take; errors as there."""
    closed, high, low, close, _ = bars
    outcome, place = _check(state.technical[_CLOSED], closed, high, low, close, news.published)
    if outcome != _FINE:
        raise _refusal(outcome, place, state, bars, news)


def take(state: FeatureState, bars: BarArrays, news: News, ages: np.ndarray, rows: np.ndarray) -> None:
    """As `advance`, into `rows` of shape (15, n_bars)."""
    outcome, place = _take(
        state.technical, state.macro.days, state.macro.values, state.macro.known, *bars, *news, ages, rows
    )
    if outcome != _FINE:
        raise _refusal(outcome, place, state, bars, news)


def take_bar(state: FeatureState, bar: Bar, news: News, ages: np.ndarray, row: np.ndarray) -> None:
    """As `take`, of one bar into `row` of shape (15,): each array that enters compiled code costs time."""
    if news is NO_NEWS:
        outcome, place = _take_bar(state.technical, state.macro.known, *bar, row)
        if outcome != _FINE:
            raise _refusal(outcome, place, state, arrays_of(bar), news)
    else:
        take(state, arrays_of(bar), news, ages, row[:, None])


def arrays_of(bar: Bar) -> BarArrays:
    """One bar as arrays of shape (1,)."""
    return BarArrays(*(np.array([number]) for number in bar))


def _refusal(outcome: int, place: int, state: FeatureState, bars: BarArrays, news: News) -> DataError:
    if outcome == _PUBLISHED_BEFORE:
        return LateDataError(
            f"macro: {SOURCES[news.variable[0]]} was published {_moment(news.published[0])}, not after the "
            f"last bar taken, closed {_moment(closed_until(state))}"
        )
    opened = _moment(bars.closed[place]) - BAR
    if outcome == _NOT_LATER:
        return LateDataError(f"bars: {opened} is not later than the bar before it")
    prices = {name: float(getattr(bars, name)[place]) for name in ("high", "low", "close")}
    return DataError(f"bars: prices of {opened} must be positive and finite, were {prices}")


def closed_until(state: FeatureState) -> float:
    """When the last bar taken closed, microseconds UTC; minus infinity before the first."""
    return float(state.technical[_CLOSED])


@njit(error_model="numpy")
def _take(  # noqa: PLR0913, PLR0917
    technical: np.ndarray,
    days: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    closed: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    clock: np.ndarray,
    published: np.ndarray,
    variable: np.ndarray,
    day: np.ndarray,
    value: np.ndarray,
    ages: np.ndarray,
    rows: np.ndarray,
) -> tuple[int, int]:
    outcome, place = _check(technical[_CLOSED], closed, high, low, close, published)
    if outcome != _FINE or len(close) == 0:
        return outcome, place
    _take_bars(technical, high, low, close, rows)
    _take_news(days, values, known, closed, published, variable, day, value, ages, rows)
    rows[CLOCK] = clock
    technical[_CLOSED] = closed[-1]
    return _FINE, 0


@njit(error_model="numpy")
def _take_bar(
    technical: np.ndarray,
    known: np.ndarray,
    closed: int,
    high: float,
    low: float,
    close: float,
    clock: float,
    row: np.ndarray,
) -> tuple[int, int]:
    """As `_take`, of one bar without news."""
    rows = row.reshape((len(row), 1))
    moment, prices = np.array([closed]), np.array([[high], [low], [close]])
    outcome, place = _check_bars(technical[_CLOSED], moment, prices[0], prices[1], prices[2])
    if outcome != _FINE:
        return outcome, place
    _take_bars(technical, prices[0], prices[1], prices[2], rows)
    for of in range(len(known)):
        _show(known, of, moment, 0, 1, rows)
    row[CLOCK], technical[_CLOSED] = clock, closed
    return _FINE, 0


@njit(error_model="numpy")
def _take_bars(
    technical: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    rows: np.ndarray,
) -> None:
    _log_returns(technical[_LOGS:], close, rows)
    bars, sums, n = int(technical[_BARS]), _load(technical), len(close)
    n_early = min(n, max(0, _STEADY - bars))
    for i in range(n_early):
        sums, row = _technical_step(bars + i, sums, high[i], low[i], close[i])
        rows[3, i], rows[4, i], rows[5, i] = row
    for i in range(n_early, n):  # the same step, of which the compiler leaves out the beginnings
        sums, row = _technical_step(_STEADY, sums, high[i], low[i], close[i])
        rows[3, i], rows[4, i], rows[5, i] = row
    technical[_BARS] = bars + n
    _store(technical, sums)


@njit(error_model="numpy")
def _log_returns(
    memory: np.ndarray,
    close: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Differences of the logarithms of closes; the memory holds the last 48, NaN before the first bar."""
    logs, room = np.empty(_MEMORY + BLOCK), room_for_logs()
    newest = logs[_MEMORY:]
    logs[:_MEMORY] = memory
    for start in range(0, len(close), BLOCK):
        n = min(BLOCK, len(close) - start)
        logarithms(close, start, start + n, room, newest)
        for i in range(n):
            rows[0, start + i] = newest[i] - logs[_MEMORY - _SHORT + i]
        for i in range(n):
            rows[1, start + i] = newest[i] - logs[_MEMORY - _HOUR + i]
        for i in range(n):
            rows[2, start + i] = newest[i] - logs[i]
        for i in range(_MEMORY):
            logs[i] = logs[n + i]
    memory[:] = logs[:_MEMORY]


@njit(error_model="numpy")
def _take_news(  # noqa: PLR0913, PLR0917
    days: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    closed: np.ndarray,
    published: np.ndarray,
    variable: np.ndarray,
    day: np.ndarray,
    value: np.ndarray,
    ages: np.ndarray,
    rows: np.ndarray,
) -> None:
    seen, grouped = np.empty(len(published), dtype=np.int64), np.empty(len(published), dtype=np.int64)
    starts = np.zeros(len(SOURCES) + 2, dtype=np.int64)
    _by_variable(closed, published, variable, seen, grouped, starts)
    _follow(
        days, values, known, closed, published, day, value, ages, rows, seen, grouped, starts, room_for_sums()
    )  # fmt: skip


@njit(**IN_PLACE)
def _by_variable(
    closed: np.ndarray,
    published: np.ndarray,
    variable: np.ndarray,
    seen: np.ndarray,
    grouped: np.ndarray,
    starts: np.ndarray,
) -> None:
    """Sort publications by variable, in the order they happened.

    Writes the first bar that sees each publication, the publications' places by variable, and where each
    variable's begin. Publications that no bar sees are left out.
    """
    bar, n_seen = 0, 0
    while n_seen < len(published) and published[n_seen] <= closed[-1]:
        while closed[bar] < published[n_seen]:
            bar += 1
        seen[n_seen] = bar
        starts[variable[n_seen] + 2] += 1
        n_seen += 1
    for of in range(2, len(starts)):  # one place ahead, which the loop behind takes back
        starts[of] += starts[of - 1]
    for i in range(n_seen):
        grouped[starts[variable[i] + 1]] = i
        starts[variable[i] + 1] += 1


@njit(**IN_PLACE)
def _follow(  # noqa: PLR0913, PLR0917
    days: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    closed: np.ndarray,
    published: np.ndarray,
    day: np.ndarray,
    value: np.ndarray,
    ages: np.ndarray,
    rows: np.ndarray,
    seen: np.ndarray,
    grouped: np.ndarray,
    starts: np.ndarray,
    sums: np.ndarray,
) -> None:
    """One variable after the other: what was known before a publication is shown, then that is taken."""
    for of in range(len(known)):
        shown, window = 0, window_of(known, of)
        for k in range(starts[of], starts[of + 1]):
            i = grouped[k]
            if seen[i] > shown:
                _show(known, of, closed, shown, seen[i], rows)
                shown = seen[i]
            window = publish(days, values, known, of, window, day[i], value[i], published[i], ages[of])
            if k + 1 == starts[of + 1] or seen[grouped[k + 1]] > shown:
                restate(days, values, known, of, window, _Z_ROW[of] >= 0, _CHANGE_ROW[of] >= 0, sums)
        _show(known, of, closed, shown, len(closed), rows)


@njit(**IN_PLACE, inline="always")
def _show(
    known: np.ndarray,
    of: int,
    closed: np.ndarray,
    start: int,
    stop: int,
    rows: np.ndarray,
) -> None:
    """Write what is known of a variable into its features' rows, NaN once it has aged out."""
    valid = stop if start < stop and closed[start] <= known[of, EXPIRES] else start
    while valid > start and closed[valid - 1] > known[of, EXPIRES]:
        valid -= 1
    if _Z_ROW[of] >= 0:
        _fill(rows[_Z_ROW[of], start:stop], valid - start, known[of, Z_SCORE])
    if _CHANGE_ROW[of] >= 0:
        _fill(rows[_CHANGE_ROW[of], start:stop], valid - start, known[of, CHANGE])
    if _MINUEND_ROW[of] >= 0:
        _fill(rows[_MINUEND_ROW[of], start:stop], valid - start, known[of, VALUE])
    if _SUBTRAHEND_ROW[of] >= 0:
        row, value = rows[_SUBTRAHEND_ROW[of], start:stop], known[of, VALUE]
        for i in range(valid - start):
            row[i] -= value
        for i in range(valid - start, stop - start):
            row[i] = np.nan


@njit(**IN_PLACE, inline="always")
def _fill(
    row: np.ndarray,
    valid: int,
    value: float,
) -> None:
    for i in range(valid):
        row[i] = value
    for i in range(valid, len(row)):
        row[i] = np.nan


@njit(error_model="numpy", inline="always")
def _load(
    state: np.ndarray,
) -> Sums:
    return (
        state[_HIGH], state[_LOW], state[_CLOSE], state[_GAIN], state[_LOSS], state[_ATR], state[_PLUS],
        state[_MINUS], state[_RANGES], state[_DX_TOTAL], state[_ADX],
    )  # fmt: skip


@njit(error_model="numpy", inline="always")
def _store(
    state: np.ndarray,
    sums: Sums,
) -> None:
    state[_HIGH], state[_LOW], state[_CLOSE], state[_GAIN], state[_LOSS], state[_ATR] = sums[:6]
    state[_PLUS], state[_MINUS], state[_RANGES], state[_DX_TOTAL], state[_ADX] = sums[6:]


@njit(error_model="numpy", inline="always")
def _technical_step(
    bars: int,
    sums: Sums,
    high: float,
    low: float,
    close: float,
) -> tuple[Sums, tuple[float, float, float]]:
    """Take one bar after `bars` others: the sums after it, and its RSI, ATR over close, and ADX."""
    last_high, last_low, last, gain, loss, atr, plus, minus, ranges, dx_total, adx = sums
    if bars == 0:  # against itself: nothing has moved
        last_high, last_low, last = high, low, close
    change, rise, fall = close - last, high - last_high, last_low - low
    true_range = max(high, last) - min(low, last) if bars > 0 else 0.0
    gain, loss, rsi = _rsi(bars, gain, loss, max(change, 0.0), max(-change, 0.0))
    atr = _smoothed(bars, ATR_PERIOD, atr, true_range)
    plus = _summed(bars, plus, rise if rise > fall and rise > 0.0 else 0.0)
    minus = _summed(bars, minus, fall if fall > rise and fall > 0.0 else 0.0)
    ranges = _summed(bars, ranges, true_range)
    dx_total, adx = _adx(bars, dx_total, adx, plus, minus, ranges)
    atr_pct = atr / close if bars >= ATR_PERIOD else np.nan
    strength = adx if bars >= 2 * ADX_PERIOD - 1 else np.nan
    sums = (high, low, close, gain, loss, atr, plus, minus, ranges, dx_total, adx)
    return sums, (rsi, atr_pct, strength)


@njit(error_model="numpy", inline="always")
def _smoothed(
    bars: int,
    period: int,
    average: float,
    value: float,
) -> float:
    """Wilder's average: the mean of the first `period` values, then a share of each."""
    if bars <= period:
        return average + value / period
    return average * ((period - 1) / period) + value * (1 / period)


@njit(error_model="numpy", inline="always")
def _rsi(
    bars: int,
    gain: float,
    loss: float,
    up: float,
    down: float,
) -> tuple[float, float, float]:
    """Wilder's relative strength index in percent; 0 where nothing moves."""
    gain, loss = _smoothed(bars, RSI_PERIOD, gain, up), _smoothed(bars, RSI_PERIOD, loss, down)
    if bars < RSI_PERIOD:
        return gain, loss, np.nan
    return gain, loss, 100.0 * gain / (gain + loss) if gain + loss > 0.0 else 0.0


@njit(error_model="numpy", inline="always")
def _summed(
    bars: int,
    total: float,
    value: float,
) -> float:
    """Wilder's sum, as TA-Lib starts it: of the first 13 values, then it loses a share with each."""
    return total + value if bars < ADX_PERIOD else total * ((ADX_PERIOD - 1) / ADX_PERIOD) + value


@njit(error_model="numpy", inline="always")
def _adx(
    bars: int,
    dx_total: float,
    adx: float,
    plus: float,
    minus: float,
    ranges: float,
) -> tuple[float, float]:
    """Wilder's average directional index in percent.

    As TA-Lib: a bar without range or movement adds 0 to the first average and leaves a later one unchanged.
    """
    if bars < ADX_PERIOD:
        return dx_total, adx
    moves = plus + minus
    defined = ranges > 0.0 and moves > 0.0
    index = 100.0 * abs(plus - minus) / moves if defined else 0.0
    if bars < 2 * ADX_PERIOD:
        return dx_total + index, (dx_total + index) / ADX_PERIOD
    return dx_total, _smoothed(bars, ADX_PERIOD, adx, index) if defined else adx


@njit(error_model="numpy")
def _check(
    before: float,
    closed: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    published: np.ndarray,
) -> tuple[int, int]:
    if len(published) > 0 and published[0] <= before:
        return _PUBLISHED_BEFORE, 0
    outcome, place = _check_bars(before, closed, high, low, close)
    return outcome, place


@njit(**IN_PLACE)
def _check_bars(
    before: float,
    closed: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
) -> tuple[int, int]:
    n_wrong = 0 if len(close) == 0 or closed[0] > before else 1
    for i in range(1, len(close)):
        n_wrong += closed[i] <= closed[i - 1]
    for i in range(len(close)):
        n_wrong += not (_is_price(low[i]) & _is_price(close[i]) & _is_price(high[i]))
    if n_wrong == 0:
        return _FINE, 0
    for i in range(len(close)):
        if not (_is_price(low[i]) and _is_price(close[i]) and _is_price(high[i])):
            return _NOT_A_PRICE, i
        if closed[i] <= before:
            return _NOT_LATER, i
        before = closed[i]
    return _FINE, 0


@njit(error_model="numpy", inline="always")
def _is_price(
    value: float,
) -> bool:
    return (value >= _SMALLEST) & (value < np.inf)


def _moment(microseconds: float) -> pd.Timestamp:
    return pd.Timestamp(int(microseconds), unit="us", tz="UTC")


def _column(bars: pd.DataFrame, name: str) -> np.ndarray:
    return _owned(bars[name].to_numpy(float))


def _owned(values: np.ndarray) -> np.ndarray:
    """The same as the kernel takes it: an array of one kind only, or it would be compiled once more."""
    return np.require(values, dtype=float, requirements=["C", "W"])


_NONE = np.empty(0, dtype=np.int64)
NO_NEWS = News(_NONE, _NONE, _NONE, np.empty(0))
