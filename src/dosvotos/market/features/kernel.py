"""The compiled step from one bar to the next; whole histories and single bars run the same code.

Compiled functions return a status and the index of the bar or publication that it is about.
"""

from typing import NamedTuple

import numpy as np

from dosvotos.compiled import njit
from dosvotos.market.alignment import (
    CHANGE,
    EXPIRES,
    NO_ALLOCATION,
    VALUE,
    Z_SCORE,
    MacroState,
    empty_macro_state,
    insert_observation,
    observation_bounds,
    update_summary,
    z_score_buffer,
)
from dosvotos.market.features.definition import (
    ADX_PERIOD,
    ATR_PERIOD,
    BARS_AFTER_HOLE,
    CHANGE_ROW,
    MAX_MISSED_SESSIONS,
    MINUEND_ROW,
    RETURN_BARS,
    RSI_PERIOD,
    SUBTRAHEND_ROW,
    TIME_NORMALIZED,
    VARIABLES,
    Z_SCORE_ROW,
)
from dosvotos.market.features.inputs import BarArrays, PublicationArrays
from dosvotos.numerics import BLOCK, log_workspace, logarithms

OK, INVALID_PRICE, BAR_NOT_LATER, PUBLICATION_NOT_LATER = range(4)
"""What `process_bars`, `process_bar` and `check` return as status."""

_N_BARS, _WILDER, _LAST_CLOSE_TIME, _LAST_SESSION, _SINCE_HOLE, _LOG_CLOSES = 0, 1, 12, 13, 14, 15
"""Where the parts of `FeatureState.technical` begin."""
_LONGEST_RETURN = max(RETURN_BARS)
_ALL_WARM = 2 * ADX_PERIOD
"""Bars after which no average is in its warm-up any more."""
_SMALLEST_PRICE = float(np.finfo(np.float64).tiny)
_FIRST_RETURN, _SECOND_RETURN = RETURN_BARS[:2]


class FeatureState(NamedTuple):
    """All that is remembered between two bars."""

    technical: np.ndarray
    """float64 of shape (63,): bars so far, `Wilder`, last close time, last session's number, bars since
    the last hole (infinite before the first), logarithms of the last 48 closes."""
    macro: MacroState

    @property
    def last_close_time(self) -> float:
        """When the last bar closed, microseconds UTC; minus infinity before the first."""
        return float(self.technical[_LAST_CLOSE_TIME])

    def copy(self) -> "FeatureState":
        """Copy it, sharing no memory."""
        return FeatureState(self.technical.copy(), self.macro.copy())


class Wilder(NamedTuple):
    """The last bar and Wilder's averages and sums, in the order in which the state holds them."""

    high: float
    low: float
    close: float
    gain: float
    loss: float
    atr: float
    plus: float
    minus: float
    ranges: float
    dx_total: float
    adx: float


def empty_state() -> FeatureState:
    """Make the state before the first bar and the first publication."""
    technical = np.zeros(_LOG_CLOSES + _LONGEST_RETURN)
    technical[_LAST_CLOSE_TIME], technical[_LAST_SESSION:] = -np.inf, np.nan
    technical[_SINCE_HOLE] = np.inf
    return FeatureState(technical, empty_macro_state(len(VARIABLES)))


@njit(error_model="numpy")
def process_bars(
    state: FeatureState,
    bars: BarArrays,
    publications: PublicationArrays,
    max_ages: np.ndarray,
    rows: np.ndarray,
) -> tuple[int, int]:
    """Write COLUMNS of each bar into `rows` of shape (15, n_bars), and bring the state to the last bar."""
    status, index = check(state, bars, publications)
    if status != OK or len(bars.close) == 0:
        return status, index
    _write_technical_rows(state.technical, bars, rows)
    _write_macro_rows(state.macro, bars.close_time, publications, max_ages, rows)
    rows[TIME_NORMALIZED] = bars.time_normalized
    state.technical[_LAST_CLOSE_TIME] = bars.close_time[-1]
    return OK, 0


@njit(error_model="numpy")
def process_bar(
    technical: np.ndarray, summary: np.ndarray, bar: tuple[float, ...], row: np.ndarray
) -> tuple[int, int]:
    """As `process_bars`, of one bar without publications into `row` of shape (15,).

    Takes a plain tuple and two of the state's arrays: unpacking NamedTuples would cost a quarter of its time.
    """
    rows = row.reshape((len(row), 1))
    close_time, high, low, close, rows[TIME_NORMALIZED], session = bar
    prices, counts = np.array([[high], [low], [close]]), np.array([[close_time], [session]])
    bars = BarArrays(counts[0], prices[0], prices[1], prices[2], rows[TIME_NORMALIZED], counts[1])
    status, index = _check_bars(technical[_LAST_CLOSE_TIME], bars)
    if status != OK:
        return status, index
    _write_technical_rows(technical, bars, rows)
    for variable in range(len(summary)):
        _write_known(summary, variable, bars.close_time, 0, 1, rows)
    technical[_LAST_CLOSE_TIME] = close_time
    return OK, 0


@njit(error_model="numpy")
def check(state: FeatureState, bars: BarArrays, publications: PublicationArrays) -> tuple[int, int]:
    """Find the first bar or publication that cannot follow the state."""
    last_close_time, published_at = state.technical[_LAST_CLOSE_TIME], publications.published_at
    if len(published_at) > 0 and published_at[0] <= last_close_time:
        return PUBLICATION_NOT_LATER, 0
    return _check_bars(last_close_time, bars)


@njit(**NO_ALLOCATION)
def _check_bars(last_close_time: float, bars: BarArrays) -> tuple[int, int]:
    close_time, high, low, close = bars.close_time, bars.high, bars.low, bars.close
    n_wrong = 0 if len(close) == 0 or close_time[0] > last_close_time else 1
    for i in range(1, len(close)):
        n_wrong += close_time[i] <= close_time[i - 1]
    for i in range(len(close)):
        n_wrong += not (_is_price(low[i]) & _is_price(close[i]) & _is_price(high[i]))
    if n_wrong == 0:
        return OK, 0
    for i in range(len(close)):
        if not (_is_price(low[i]) and _is_price(close[i]) and _is_price(high[i])):
            return INVALID_PRICE, i
        if close_time[i] <= last_close_time:
            return BAR_NOT_LATER, i
        last_close_time = close_time[i]
    return OK, 0


@njit(error_model="numpy", inline="always")
def _is_price(value: float) -> bool:
    return (value >= _SMALLEST_PRICE) & (value < np.inf)


# ---- technical features


@njit(error_model="numpy")
def _write_technical_rows(technical: np.ndarray, bars: BarArrays, rows: np.ndarray) -> None:
    high, low, close = bars.high, bars.low, bars.close
    _write_log_returns(technical[_LOG_CLOSES:], close, rows)
    n_before, n = int(technical[_N_BARS]), len(close)
    wilder = _load_wilder(technical)
    n_warm_up = min(n, max(0, _ALL_WARM - n_before))
    for i in range(n_warm_up):
        wilder, row = _technical_step(n_before + i, wilder, high[i], low[i], close[i])
        rows[3, i], rows[4, i], rows[5, i] = row
    for i in range(n_warm_up, n):  # the same step; the compiler leaves out its warm-up branches
        wilder, row = _technical_step(_ALL_WARM, wilder, high[i], low[i], close[i])
        rows[3, i], rows[4, i], rows[5, i] = row
    technical[_N_BARS] = n_before + n
    for i in range(len(wilder)):
        technical[_WILDER + i] = wilder[i]
    _leave_out_holes(technical, bars.session, rows)


@njit(error_model="numpy")
def _leave_out_holes(technical: np.ndarray, session: np.ndarray, rows: np.ndarray) -> None:
    """Make technical features missing where they reach across a hole between sessions."""
    n, last, since = len(session), technical[_LAST_SESSION], technical[_SINCE_HOLE]
    n_holes = 1 if session[0] - last > MAX_MISSED_SESSIONS + 1 else 0
    for i in range(1, n):
        n_holes += session[i] - session[i - 1] > MAX_MISSED_SESSIONS + 1
    if n_holes > 0 or since < BARS_AFTER_HOLE:
        for i in range(n):
            since = 0.0 if session[i] - last > MAX_MISSED_SESSIONS + 1 else since
            for k in range(len(RETURN_BARS)):
                if since < RETURN_BARS[k]:
                    rows[k, i] = np.nan
            if since < BARS_AFTER_HOLE:
                rows[3, i] = rows[4, i] = rows[5, i] = np.nan
            last, since = session[i], since + 1
    else:
        since += n
    technical[_LAST_SESSION], technical[_SINCE_HOLE] = session[-1], since


@njit(error_model="numpy", inline="always")
def _load_wilder(technical: np.ndarray) -> Wilder:
    w = technical[_WILDER:_LAST_CLOSE_TIME]
    return Wilder(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10])


@njit(error_model="numpy")
def _write_log_returns(last_logs: np.ndarray, close: np.ndarray, rows: np.ndarray) -> None:
    """Write differences of the logarithms of closes; `last_logs` holds 48, NaN before the first bar."""
    logs, buffer = np.empty(_LONGEST_RETURN + BLOCK), log_workspace()
    newest = logs[_LONGEST_RETURN:]
    logs[:_LONGEST_RETURN] = last_logs
    for start in range(0, len(close), BLOCK):
        n = min(BLOCK, len(close) - start)
        logarithms(close, start, start + n, buffer, newest)
        for i in range(n):
            rows[0, start + i] = newest[i] - logs[_LONGEST_RETURN - _FIRST_RETURN + i]
        for i in range(n):
            rows[1, start + i] = newest[i] - logs[_LONGEST_RETURN - _SECOND_RETURN + i]
        for i in range(n):
            rows[2, start + i] = newest[i] - logs[i]
        for i in range(_LONGEST_RETURN):
            logs[i] = logs[n + i]
    last_logs[:] = logs[:_LONGEST_RETURN]


@njit(error_model="numpy", inline="always")
def _technical_step(
    n_before: int, last: Wilder, high: float, low: float, close: float
) -> tuple[Wilder, tuple[float, float, float]]:
    """Process the bar after `n_before` others; the state after it, and its RSI, ATR over close, and ADX."""
    last_high, last_low, last_close = last.high, last.low, last.close
    if n_before == 0:  # against itself: nothing has moved
        last_high, last_low, last_close = high, low, close
    change, rise, fall = close - last_close, high - last_high, last_low - low
    true_range = max(high, last_close) - min(low, last_close) if n_before > 0 else 0.0
    gain, loss, rsi = _rsi(n_before, last.gain, last.loss, max(change, 0.0), max(-change, 0.0))
    atr = _smoothed(n_before, ATR_PERIOD, last.atr, true_range)
    plus = _summed(n_before, last.plus, rise if rise > fall and rise > 0.0 else 0.0)
    minus = _summed(n_before, last.minus, fall if fall > rise and fall > 0.0 else 0.0)
    ranges = _summed(n_before, last.ranges, true_range)
    dx_total, adx = _adx(n_before, last.dx_total, last.adx, plus, minus, ranges)
    atr_pct = atr / close if n_before >= ATR_PERIOD else np.nan
    known_adx = adx if n_before >= 2 * ADX_PERIOD - 1 else np.nan
    wilder = Wilder(high, low, close, gain, loss, atr, plus, minus, ranges, dx_total, adx)
    return wilder, (rsi, atr_pct, known_adx)


@njit(error_model="numpy", inline="always")
def _smoothed(n_before: int, period: int, average: float, value: float) -> float:
    """Update Wilder's average: the mean of the first `period` values, then a share of each."""
    if n_before <= period:
        return average + value / period
    return average * ((period - 1) / period) + value * (1 / period)


@njit(error_model="numpy", inline="always")
def _rsi(n_before: int, gain: float, loss: float, up: float, down: float) -> tuple[float, float, float]:
    """Update Wilder's averages of gain and loss; the RSI in percent, 0 where nothing moves."""
    gain, loss = _smoothed(n_before, RSI_PERIOD, gain, up), _smoothed(n_before, RSI_PERIOD, loss, down)
    if n_before < RSI_PERIOD:
        return gain, loss, np.nan
    return gain, loss, 100.0 * gain / (gain + loss) if gain + loss > 0.0 else 0.0


@njit(error_model="numpy", inline="always")
def _summed(n_before: int, total: float, value: float) -> float:
    """Update Wilder's sum, as TA-Lib starts it: of the first 13 values, then it loses a share with each."""
    return total + value if n_before < ADX_PERIOD else total * ((ADX_PERIOD - 1) / ADX_PERIOD) + value


@njit(error_model="numpy", inline="always")
def _adx(
    n_before: int, dx_total: float, adx: float, plus: float, minus: float, ranges: float
) -> tuple[float, float]:
    """Update the sum of DX and its Wilder average, the ADX, in percent.

    As TA-Lib: a bar without range or movement adds 0 to the first average and leaves a later one unchanged.
    """
    if n_before < ADX_PERIOD:
        return dx_total, adx
    moves = plus + minus
    defined = ranges > 0.0 and moves > 0.0
    dx = 100.0 * abs(plus - minus) / moves if defined else 0.0
    if n_before < 2 * ADX_PERIOD:
        return dx_total + dx, (dx_total + dx) / ADX_PERIOD
    return dx_total, _smoothed(n_before, ADX_PERIOD, adx, dx) if defined else adx


# ---- macro features


class _ByVariable(NamedTuple):
    """Publications grouped by variable, each group in the order of publication."""

    first_bar: np.ndarray
    """Index of the first bar that sees each publication."""
    order: np.ndarray
    """Indices of the publications, group by group."""
    starts: np.ndarray
    """Where in `order` each variable's group begins."""


@njit(error_model="numpy")
def _write_macro_rows(
    macro: MacroState,
    close_time: np.ndarray,
    publications: PublicationArrays,
    max_ages: np.ndarray,
    rows: np.ndarray,
) -> None:
    n, buffer = len(publications.published_at), z_score_buffer()
    groups = _ByVariable(
        np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64), np.zeros(len(VARIABLES) + 2, dtype=np.int64)
    )
    _group(close_time, publications, groups)
    for variable in range(len(VARIABLES)):
        _write_variable(macro, variable, close_time, publications, groups, max_ages[variable], buffer, rows)


@njit(**NO_ALLOCATION)
def _group(close_time: np.ndarray, publications: PublicationArrays, groups: _ByVariable) -> None:
    """Fill `groups` (its `starts` zero before) with all publications up to the last bar."""
    bar, n_seen, variable, starts = 0, 0, publications.variable, groups.starts
    published_at = publications.published_at
    while n_seen < len(published_at) and published_at[n_seen] <= close_time[-1]:
        while close_time[bar] < published_at[n_seen]:
            bar += 1
        groups.first_bar[n_seen] = bar
        starts[variable[n_seen] + 2] += 1
        n_seen += 1
    for i in range(2, len(starts)):  # one index ahead, which the loop below takes back
        starts[i] += starts[i - 1]
    for i in range(n_seen):
        groups.order[starts[variable[i] + 1]] = i
        starts[variable[i] + 1] += 1


@njit(**NO_ALLOCATION)
def _write_variable(
    macro: MacroState,
    variable: int,
    close_time: np.ndarray,
    publications: PublicationArrays,
    groups: _ByVariable,
    max_age: int,
    buffer: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Write what was known of a variable until each of its publications, then insert that."""
    written, bounds = 0, observation_bounds(macro, variable)
    first_bar, order, end = groups.first_bar, groups.order, groups.starts[variable + 1]
    with_z_score, with_change = Z_SCORE_ROW[variable] >= 0, CHANGE_ROW[variable] >= 0
    for k in range(groups.starts[variable], end):
        i = order[k]
        if first_bar[i] > written:
            _write_known(macro.summary, variable, close_time, written, first_bar[i], rows)
            written = first_bar[i]
        day, value = publications.day[i], publications.value[i]
        expires = publications.published_at[i] + max_age
        bounds = insert_observation(macro, variable, bounds, day, value, expires)
        if k + 1 == end or first_bar[order[k + 1]] > written:
            update_summary(macro, variable, bounds, with_z_score, with_change, buffer)
    _write_known(macro.summary, variable, close_time, written, len(close_time), rows)


@njit(**NO_ALLOCATION, inline="always")
def _write_known(
    summary: np.ndarray, variable: int, close_time: np.ndarray, start: int, stop: int, rows: np.ndarray
) -> None:
    """Write what is known of a variable into its features' rows from `start` to before `stop`, else NaN."""
    expires = summary[variable, EXPIRES]
    valid = stop if start < stop and close_time[start] <= expires else start
    while valid > start and close_time[valid - 1] > expires:
        valid -= 1
    if Z_SCORE_ROW[variable] >= 0:
        _fill(rows[Z_SCORE_ROW[variable], start:stop], valid - start, summary[variable, Z_SCORE])
    if CHANGE_ROW[variable] >= 0:
        _fill(rows[CHANGE_ROW[variable], start:stop], valid - start, summary[variable, CHANGE])
    if MINUEND_ROW[variable] >= 0:
        _fill(rows[MINUEND_ROW[variable], start:stop], valid - start, summary[variable, VALUE])
    if SUBTRAHEND_ROW[variable] >= 0:
        row, value = rows[SUBTRAHEND_ROW[variable], start:stop], summary[variable, VALUE]
        for i in range(valid - start):
            row[i] -= value
        for i in range(valid - start, stop - start):
            row[i] = np.nan


@njit(**NO_ALLOCATION, inline="always")
def _fill(row: np.ndarray, n_valid: int, value: float) -> None:
    for i in range(n_valid):
        row[i] = value
    for i in range(n_valid, len(row)):
        row[i] = np.nan
