"""The rules of 5-minute bars: a bar is kept as it came or put aside with its reason, never repaired.

Prices are in COP per USD, times are bar opens.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import BarQualityParams
from dosvotos.errors import DataError
from dosvotos.market.calendar import (
    BAR,
    BARS_PER_SESSION,
    BOGOTA,
    in_session,
    scheduled_sessions,
    session_bar_times,
    session_dates,
    slots,
)
from dosvotos.quality.findings import REPORTED, Judged, Sieve

SUBJECT: Final = "bars"
_PRICES: Final = ["open", "high", "low", "close"]
_COLUMNS: Final = ("timestamp", *_PRICES, "volume", "source")
_SIDE: Final = 3
"""Closes on each side whose median says where the price was; two bad ticks in a row do not move it."""
_VOLATILITY_BARS: Final = 121
_VOLATILITY_MOVES: Final = 20
_SIGMA_OF_MEDIAN: Final = 1.4826
_AROUND: Final = 13
"""Bars, the doubtful one in the middle, whose moves say how lively the market was just then."""
_REVERTED: Final = 0.4
"""Largest net move across a spike, as a share of the spike."""
_ZONE_SHIFT: Final = pd.Timedelta(hours=5)
_ZONE_SHARE: Final = 0.9
_BPS: Final = 1e4


def judge_bars(bars: pd.DataFrame, thresholds: BarQualityParams, as_of: pd.Timestamp) -> Judged:
    """Put aside the bars that break a rule, and report what is odd about the others.

    Parameters
    ----------
    bars : DataFrame
        timestamp (bar open, timezone-aware), open, high, low, close, volume, source; in any order, an instant
        as often as it came.
    thresholds : BarQualityParams
    as_of : Timestamp, timezone-aware
        What counts as now.

    Returns
    -------
    Judged
        Kept bars lie in scheduled sessions, each instant once, in UTC and time order. Each row of the input
        is kept, or has one quarantined finding, or one of rule ``duplicate_agrees``. Judging what was kept
        takes out nothing more.

    Raises
    ------
    DataError
        For missing columns or naive timestamps.
    """
    rows = _in_time_order(bars)
    sieve = Sieve(rows, pd.Series(SUBJECT, index=rows.index), rows["timestamp"])
    _report_zone_labels(sieve, thresholds)
    _take_out_impossible_prices(sieve)
    _take_out_other_hours(sieve, as_of)
    _resolve_duplicates(sieve, thresholds)
    left = -1
    while left != len(sieve.rows):
        left = len(sieve.rows)
        _doubt_flat_sessions(sieve, thresholds, as_of)
        _doubt_ticks(sieve, thresholds)
    _report_flat_bars(sieve, thresholds)
    _report_stale_runs(sieve, thresholds)
    _report_coverage(sieve, thresholds, as_of)
    return sieve.judged()


def flat_shares(bars: pd.DataFrame) -> pd.Series:
    """Share of bars with open = high = low = close, by source."""
    shares: pd.Series = _is_flat(bars).groupby(bars["source"]).mean()
    return shares


def bars_a_session(bar_times: pd.DatetimeIndex, as_of: pd.Timestamp) -> pd.Series:
    """Number of bars of each scheduled session from the first bar's to the last that is over.

    Parameters
    ----------
    bar_times : DatetimeIndex, UTC
    as_of : Timestamp, timezone-aware

    Returns
    -------
    Series of int, by date (naive, Bogota); 0 where a session has no bar.
    """
    days, counts = np.unique(session_dates(bar_times), return_counts=True)
    if len(days) == 0:
        return pd.Series(dtype=int)
    sessions = scheduled_sessions(days[0].astype(object), _last_session_over(as_of).astype(object))
    return pd.Series(counts, index=days).reindex(pd.DatetimeIndex(sessions), fill_value=0)


def _in_time_order(bars: pd.DataFrame) -> pd.DataFrame:
    if missing := [name for name in _COLUMNS if name not in bars.columns]:
        raise DataError(f"bars: column(s) {missing} are missing, found {list(bars.columns)}")
    if not isinstance(bars["timestamp"].dtype, pd.DatetimeTZDtype):
        raise DataError("bars: timestamps must carry their time zone to be judged, found naive ones")
    times = bars["timestamp"].dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return bars.assign(timestamp=times).sort_values("timestamp", kind="stable", ignore_index=True)


# ---- what a bar says by itself


def _report_zone_labels(sieve: Sieve, thresholds: BarQualityParams) -> None:
    """Say so when a source's off-session bars would lie in the session five hours later or earlier."""
    off = sieve.rows[slots(_times(sieve.rows)) < 0]
    for source, rows in off.groupby("source"):
        for shift in (_ZONE_SHIFT, -_ZONE_SHIFT):
            moved = slots(pd.DatetimeIndex(rows["timestamp"] + shift)) >= 0
            if moved.sum() >= thresholds.stale_bars and moved.mean() >= _ZONE_SHARE:
                detail = (
                    f"{moved.sum():,} of {len(rows):,} bars off session would lie in it if moved by "
                    f"{shift / pd.Timedelta(hours=1):+.0f} h: their labels are in another zone than they say"
                )
                first = rows["timestamp"].iloc[0]
                sieve.report("zone_label", SUBJECT, first, moved.sum(), detail, str(source))


def _take_out_impossible_prices(sieve: Sieve) -> None:
    prices = sieve.rows[_PRICES].to_numpy(float)
    broken = ~(np.isfinite(prices) & (prices > 0)).all(axis=1)
    detail = [f"prices must be positive and finite, were {_ohlc(row)}" for row in prices[broken]]
    sieve.take_out("impossible_price", broken, sieve.rows["close"], detail)
    prices = sieve.rows[_PRICES].to_numpy(float)
    broken = (prices[:, 1] < prices.max(axis=1)) | (prices[:, 2] > prices.min(axis=1))
    detail = [f"open and close must lie between low and high, were {_ohlc(row)}" for row in prices[broken]]
    sieve.take_out("close_outside_range", broken, sieve.rows["close"], detail)


def _take_out_other_hours(sieve: Sieve, as_of: pd.Timestamp) -> None:
    open_yet = (sieve.rows["timestamp"] + BAR > as_of).to_numpy()
    detail = [f"closes after now, {as_of.tz_convert('UTC'):%Y-%m-%d %H:%M} UTC"] * int(open_yet.sum())
    sieve.take_out("not_closed", open_yet, sieve.rows["close"], detail)

    times = _times(sieve.rows)
    off = slots(times) < 0
    local = times[off].tz_convert(BOGOTA)
    clock = (local.hour * 10_000 + local.minute * 100 + local.second).to_numpy()
    detail = _for_each(clock, lambda c: f"opens at {_clock(c)} Bogota, not at 08:00, 08:05 ... 12:55")
    sieve.take_out("off_session", off, sieve.rows["close"], detail)

    times = _times(sieve.rows)
    closed = ~in_session(times)
    detail = _for_each(session_dates(times[closed]), lambda day: f"{day} is {_why_closed(day)}")
    sieve.take_out("closed_day", closed, sieve.rows["close"], detail)


def _resolve_duplicates(sieve: Sieve, thresholds: BarQualityParams) -> None:
    """Of the bars of one instant keep the first by real range, preferred source, source name and prices."""
    twins = sieve.rows[sieve.rows["timestamp"].duplicated(keep=False)]
    if twins.empty:
        return
    rank = {name: place for place, name in enumerate(thresholds.preferred_sources)}
    ordered = twins.assign(
        is_flat=twins["high"] == twins["low"], rank=twins["source"].map(rank).fillna(len(rank))
    ).sort_values(["timestamp", "is_flat", "rank", "source", "close", "open", "high", "low", "volume"])
    loses = sieve.rows.index.isin(ordered.index[ordered["timestamp"].duplicated()])
    winner = ordered.drop_duplicates("timestamp").set_index("timestamp")
    kept = winner["close"].reindex(sieve.rows["timestamp"]).to_numpy(float)
    kept_source = winner["source"].reindex(sieve.rows["timestamp"]).to_numpy()
    close = sieve.rows["close"].to_numpy(float)
    agrees = loses & (np.abs(close - kept) <= thresholds.agree_within * (1 + 1e-9))
    disagrees = loses & ~agrees
    same = [
        f"close {c:.5f} repeats the bar kept from {s} within {thresholds.agree_within:g}"
        for c, s in zip(close[agrees], kept_source[agrees], strict=True)
    ]
    other = [
        f"close {c:.5f} differs by {abs(c - k):.5f} from {k:.5f} of {s}, which is kept; at most "
        f"{thresholds.agree_within:g} is the same bar"
        for c, k, s in zip(close[disagrees], kept[disagrees], kept_source[disagrees], strict=True)
    ]
    sieve.take_out("duplicate_agrees", agrees, sieve.rows["close"], same, REPORTED)
    sieve.take_out("duplicate_disagrees", disagrees[~agrees], sieve.rows["close"], other)


# ---- what a bar says beside its neighbours


def _doubt_flat_sessions(sieve: Sieve, thresholds: BarQualityParams, as_of: pd.Timestamp) -> None:
    """Doubt sessions that are over and whose closes hardly ever moved: quotes carried forward, no market."""
    days = session_dates(_times(sieve.rows))
    names, session, n_bars = np.unique(days, return_inverse=True, return_counts=True)
    still = np.bincount(session, _repeats_close(sieve.rows, days), minlength=len(names))
    share = still / np.maximum(n_bars - 1, 1)
    over = names <= _last_session_over(as_of)
    flat = over & (n_bars >= thresholds.stale_bars) & (share >= thresholds.flat_session_share)
    broken = flat[session]
    detail = _for_each(
        session[broken],
        lambda s: (
            f"{names[s]}: {still[s]:.0f} of {n_bars[s] - 1} closes repeat the one before "
            f"(from {thresholds.flat_session_share:.0%} on no market stands behind the quotes)"
        ),
    )
    sieve.doubt("flat_session", broken, sieve.rows["close"], detail, thresholds.doubtful)


class _Course(NamedTuple):
    """Log closes and what surrounds them, each of shape (n_bars,); NaN where neighbours are missing."""

    close: np.ndarray
    before: np.ndarray
    """Median of the session's three closes before; with fewer, the last of them."""
    after: np.ndarray
    """Median of the three closes after."""
    sigma: np.ndarray
    """Robust standard deviation of a 5-minute move around here and at this time of day."""
    gap: np.ndarray
    """Bars of time since the session's bar before."""
    days: np.ndarray


def _course(rows: pd.DataFrame) -> _Course:
    close = np.log(rows["close"].to_numpy(float))
    times = rows["timestamp"].dt.tz_localize(None).to_numpy()
    days = session_dates(_times(rows))
    gap = np.diff(times, prepend=times[:1]) / BAR.to_timedelta64()
    gap[days != np.append(days[:1] - 1, days[:-1])] = np.nan
    move = np.abs(np.diff(close, prepend=np.nan)) / np.sqrt(gap)
    moves = pd.Series(np.where(move > 0, move, np.nan))
    local = moves.rolling(_VOLATILITY_BARS, center=True, min_periods=_VOLATILITY_MOVES).median()
    usual = moves.median()
    by_slot = moves.groupby(slots(_times(rows)))
    profile = (by_slot.transform("median") / usual).where(by_slot.transform("count") >= _VOLATILITY_MOVES)
    sigma = _SIGMA_OF_MEDIAN * local.fillna(usual).fillna(np.inf) * profile.clip(lower=1.0).fillna(1.0)
    before = [_shifted(close, k) for k in range(1, _SIDE + 1)]
    has_three = _shifted(days.astype(float), _SIDE) == days.astype(float)
    return _Course(
        close=close,
        before=np.where(has_three, _median_of_three(*before), before[0]),
        after=_median_of_three(*(_shifted(close, -k) for k in range(1, _SIDE + 1))),
        sigma=sigma.to_numpy(),
        gap=gap,
        days=days,
    )


def _doubt_ticks(sieve: Sieve, thresholds: BarQualityParams) -> None:
    """Doubt prices far from those before and after, which agree; a move that lasts is none."""
    if len(sieve.rows) <= 2 * _SIDE:
        return
    course = _course(sieve.rows)
    size, sigmas = _spikes(course)
    far = (size >= thresholds.min_tick_bps) & (sigmas >= thresholds.spike_sigmas)
    around = _around(course, far)
    spike = far & (size >= thresholds.spike_moves * around)
    said = [
        f"close {close:.5f} stands {bps:.0f} bps off the closes before and after it: {k:.0f} robust sigmas "
        f"and {bps / near:.0f} times the moves around it (limits {thresholds.min_tick_bps:g} bps, "
        f"{thresholds.spike_sigmas:g} and {thresholds.spike_moves:g})"
        for close, bps, k, near in zip(
            np.exp(course.close[spike]), size[spike], sigmas[spike], around[spike], strict=True
        )
    ]
    extreme, size, sigmas = _wicks(course, sieve.rows)
    wick = ~spike & (size >= thresholds.min_tick_bps) & (sigmas >= thresholds.wick_sigmas)
    wick &= size >= thresholds.wick_moves * around
    rows = sieve.rows
    sieve.doubt("spike", spike, rows["close"], said, thresholds.doubtful)
    said = [
        f"a price of {price:.5f} lies {bps:.0f} bps beyond every close around it: {k:.0f} robust sigmas and "
        f"{bps / near:.0f} times the moves around it (limits {thresholds.min_tick_bps:g} bps, "
        f"{thresholds.wick_sigmas:g} and {thresholds.wick_moves:g})"
        for price, bps, k, near in zip(extreme[wick], size[wick], sigmas[wick], around[wick], strict=True)
    ]
    left = rows.index.isin(sieve.rows.index)
    sieve.doubt("wick", wick[left], extreme[left], said, thresholds.doubtful)


def _around(c: _Course, far: np.ndarray) -> np.ndarray:
    """Root mean square 5-minute move of the session around each bar, in bps; at least a robust sigma.

    Bursts of volatility show here, and no bad tick: a move from or to a close that is far off is not counted.
    """
    move = np.diff(c.close, prepend=np.nan) / np.sqrt(c.gap)
    move[far | np.append(False, far[:-1])] = np.nan
    near = pd.Series(move**2).groupby(c.days).rolling(_AROUND, center=True, min_periods=1).mean()
    around: np.ndarray = np.fmax(np.sqrt(near.to_numpy()), c.sigma) * _BPS
    return around


def _spikes(c: _Course) -> tuple[np.ndarray, np.ndarray]:
    """Size in bps and in robust sigmas of closes that leave and come back within the session, else 0."""
    away, back = c.close - c.before, c.close - c.after
    size = np.minimum(np.abs(away), np.abs(back))
    sigmas = np.minimum(np.abs(away) / np.sqrt(c.gap), np.abs(back) / np.sqrt(_shifted(c.gap, -1))) / c.sigma
    comes_back = (away * back > 0) & (np.abs(c.before - c.after) <= _REVERTED * size)
    return np.where(comes_back, size * _BPS, 0.0), np.where(comes_back, sigmas, 0.0)


def _wicks(c: _Course, rows: pd.DataFrame) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Each bar's high or low that reaches farther beyond the closes around it, and how far."""
    opens = np.where(np.isnan(c.gap), np.log(rows["open"].to_numpy(float)), c.close)
    around = np.array([c.before, c.after, c.close, _shifted(c.close, 1), opens])
    up = np.log(rows["high"].to_numpy(float)) - around.max(axis=0)
    down = around.min(axis=0) - np.log(rows["low"].to_numpy(float))
    size = np.maximum(up, down)
    return rows["high"].where(up >= down, rows["low"]), size * _BPS, size / c.sigma


# ---- what the kept bars look like


def _report_flat_bars(sieve: Sieve, thresholds: BarQualityParams) -> None:
    """Report each stretch of a source's sessions with more flat bars than the limit."""
    rows = sieve.rows.assign(day=session_dates(_times(sieve.rows)), is_flat=_is_flat(sieve.rows))
    for source, own in rows.groupby("source"):
        shares = own.groupby("day")["is_flat"].mean()
        many = np.flatnonzero(shares > thresholds.max_flat_share)
        for stretch in _in_a_row(many):
            first, last = shares.index[stretch[0]], shares.index[stretch[-1]]
            within = own[own["day"].between(first, last)]
            share = within["is_flat"].mean()
            detail = (
                f"{len(stretch)} session(s), {first:%Y-%m-%d} to {last:%Y-%m-%d}: {share:.1%} of the bars "
                f"have open = high = low = close, in each more than {thresholds.max_flat_share:.0%}; closes "
                "stand, ranges do not"
            )
            sieve.report("flat_bars", SUBJECT, within["timestamp"].iloc[0], share, detail, str(source))


def _report_stale_runs(sieve: Sieve, thresholds: BarQualityParams) -> None:
    """Report each session's longest run of equal closes."""
    days = session_dates(_times(sieve.rows))
    run = np.cumsum(~_repeats_close(sieve.rows, days))
    _, start, length = np.unique(run, return_index=True, return_counts=True)
    runs = pd.DataFrame({"start": start, "length": length, "day": days[start]})
    longest = runs.sort_values("length", ascending=False, kind="stable").drop_duplicates("day")
    for place, n, _ in longest[longest["length"] >= thresholds.stale_bars].to_numpy():
        first: Any = sieve.rows.iloc[place]
        detail = f"{n} closes in a row equal {first['close']:.5f} (from {thresholds.stale_bars} on)"
        sieve.report("stale_run", SUBJECT, first["timestamp"], n, detail, first["source"])


def _report_coverage(sieve: Sieve, thresholds: BarQualityParams, as_of: pd.Timestamp) -> None:
    """Report sparse sessions, and each stretch of scheduled sessions without a bar."""
    counts = bars_a_session(_times(sieve.rows), as_of)
    sessions, n_bars = counts.index.to_numpy("datetime64[D]"), counts.to_numpy()
    fewest = thresholds.min_session_share * BARS_PER_SESSION
    for day, n in zip(sessions, n_bars, strict=True):
        if 0 < n < fewest:
            detail = f"{day} has {n} of {BARS_PER_SESSION} bars (fewer than {fewest:.0f})"
            sieve.report("sparse_session", SUBJECT, session_bar_times(day)[0], n, detail)
    for stretch in _in_a_row(np.flatnonzero(n_bars == 0)):
        first, last = sessions[stretch[0]], sessions[stretch[-1]]
        detail = f"{len(stretch)} scheduled session(s) without a bar, {first} to {last}"
        sieve.report("missing_session", SUBJECT, session_bar_times(first)[0], len(stretch), detail)


# ---- small tools


def _last_session_over(as_of: pd.Timestamp) -> np.datetime64:
    """Last Bogota date whose 12:55 bar has closed."""
    today = np.datetime64(as_of.tz_convert(BOGOTA).date())
    is_over = session_bar_times(today)[-1] + BAR <= as_of
    return today if is_over else today - np.timedelta64(1, "D")


def _times(rows: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(rows["timestamp"])


def _repeats_close(rows: pd.DataFrame, days: np.ndarray) -> np.ndarray:
    """Whether a bar's close equals that of the bar before it in the same session."""
    close = rows["close"].to_numpy(float)
    repeats = np.zeros(len(rows), dtype=bool)
    repeats[1:] = (close[1:] == close[:-1]) & (days[1:] == days[:-1])
    return repeats


def _is_flat(bars: pd.DataFrame) -> pd.Series:
    flat: pd.Series = bars["high"] == bars["low"]
    return flat


def _in_a_row(places: np.ndarray) -> list[np.ndarray]:
    """Places cut where one is left out."""
    return np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(places) else []


def _median_of_three(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    median: np.ndarray = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return median


def _shifted(values: np.ndarray, by: int) -> np.ndarray:
    """Values `by` bars earlier (later if negative); NaN beyond the ends."""
    moved = np.full(len(values), np.nan)
    if by > 0:
        moved[by:] = values[:-by]
    else:
        moved[:by] = values[-by:]
    return moved


def _for_each(values: np.ndarray, say: Callable[[Any], str]) -> list[str]:
    """One sentence a value; each distinct value is put into words once."""
    distinct, place = np.unique(values, return_inverse=True)
    said: list[str] = np.array([say(value) for value in distinct], dtype=object)[place].tolist()
    return said


def _why_closed(day: np.datetime64) -> str:
    weekend = not np.is_busday(day)
    return "a weekend" if weekend else "a Colombian holiday or the banks' closing day"


def _clock(hhmmss: int) -> str:
    return f"{hhmmss // 10_000:02d}:{hhmmss // 100 % 100:02d}:{hhmmss % 100:02d}"


def _ohlc(row: np.ndarray) -> str:
    return ", ".join(f"{price:.5f}" for price in row)
