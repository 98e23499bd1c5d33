"""Outlier rules of 5-minute bars: spikes of the close and wicks, against the session's own volatility.

Prices are in COP per USD, moves are log returns.
"""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.quality_thresholds import BarQualityParams
from dosvotos.market.calendar import BAR, session_dates, slots
from dosvotos.quality.findings import QualityCheck

_SIDE_CLOSES: Final = 3
"""Closes on each side whose median is the price there; two bad ticks in a row do not move it."""
_SIGMA_BARS: Final = 121
_MIN_MOVES: Final = 20
_SIGMA_OF_MEDIAN: Final = 1.4826
_NEARBY_BARS: Final = 13
"""Bars, with the checked one in the middle, whose moves tell how volatile the market is at the moment."""
_MAX_NET_MOVE: Final = 0.4
"""Largest net move from before a spike to after it, as a share of the spike."""
_BPS: Final = 1e4
_SIZE: Final = "{:.0f} robust sigmas and {:.0f} times the moves around it "


def flag_outliers(check: QualityCheck, thresholds: BarQualityParams) -> None:
    """Flag closes and wicks far from the closes before and after; a move that lasts is no outlier."""
    if len(check.rows) <= 2 * _SIDE_CLOSES:
        return
    rows, path, limits = check.rows, _price_path(check.rows), thresholds
    spikes, wicks = _spikes(path, rows["close"]), _wicks(path, rows)
    far = (spikes.bps >= limits.min_tick_bps) & (spikes.sigmas >= limits.spike_sigmas)
    nearby = _nearby_move_bps(path, far)
    is_spike = far & (spikes.bps >= limits.spike_moves * nearby)
    far = (wicks.bps >= limits.min_tick_bps) & (wicks.sigmas >= limits.wick_sigmas)
    is_wick = far & ~is_spike & (wicks.bps >= limits.wick_moves * nearby)
    template = "close {:.5f} stands {:.0f} bps off the closes before and after it: "
    described = f"(limits {limits.min_tick_bps:g} bps, {limits.spike_sigmas:g} and {limits.spike_moves:g})"
    detail = _describe(template + _SIZE + described, spikes, is_spike, nearby)
    check.flag("spike", is_spike, detail, limits.doubtful)
    template = "a price of {:.5f} lies {:.0f} bps beyond every close around it: "
    described = f"(limits {limits.min_tick_bps:g} bps, {limits.wick_sigmas:g} and {limits.wick_moves:g})"
    detail = _describe(template + _SIZE + described, wicks, is_wick, nearby)
    left = rows.index.isin(check.rows.index)
    check.flag("wick", is_wick[left], detail, limits.doubtful, wicks.price)


class _PricePath(NamedTuple):
    """Log closes and their surroundings, each of shape (n_bars,); NaN where neighbours are missing."""

    close: np.ndarray
    before: np.ndarray
    """Median of the session's three closes before; with fewer, the last of them."""
    after: np.ndarray
    """Median of the three closes after."""
    sigma: np.ndarray
    """Robust standard deviation of a 5-minute move around here and at this time of day."""
    gap: np.ndarray
    """Bars of time since the session's previous bar."""
    days: np.ndarray
    """Date of the session, Bogota."""


class _Deviations(NamedTuple):
    """How far a price of each bar lies from its surroundings, each of shape (n_bars,)."""

    price: pd.Series
    """COP per USD."""
    bps: np.ndarray
    sigmas: np.ndarray


def _price_path(rows: pd.DataFrame) -> _PricePath:
    close = np.log(rows["close"].to_numpy(float))
    bar_times = pd.DatetimeIndex(rows["timestamp"])
    days = session_dates(bar_times)
    times = bar_times.tz_localize(None).to_numpy()
    gap = np.diff(times, prepend=times[:1]) / BAR.to_timedelta64()
    gap[days != np.append(days[:1] - 1, days[:-1])] = np.nan
    move = np.abs(np.diff(close, prepend=np.nan)) / np.sqrt(gap)
    before = [_shift(close, k) for k in range(1, _SIDE_CLOSES + 1)]
    has_three = _shift(days.astype(float), _SIDE_CLOSES) == days.astype(float)
    return _PricePath(
        close=close,
        before=np.where(has_three, np.median(before, axis=0), before[0]),
        after=np.median([_shift(close, -k) for k in range(1, _SIDE_CLOSES + 1)], axis=0),
        sigma=_robust_sigma(move, slots(bar_times)),
        gap=gap,
        days=days,
    )


def _robust_sigma(move: np.ndarray, slot: np.ndarray) -> np.ndarray:
    """Return a rolling 1.4826 x median of the moves that are not 0, times the slot's profile, at least 1."""
    moves = pd.Series(np.where(move > 0, move, np.nan))
    local = moves.rolling(_SIGMA_BARS, center=True, min_periods=_MIN_MOVES).median()
    overall = moves.median()
    by_slot = moves.groupby(slot)
    profile = (by_slot.transform("median") / overall).where(by_slot.transform("count") >= _MIN_MOVES)
    sigma = _SIGMA_OF_MEDIAN * local.fillna(overall).fillna(np.inf) * profile.clip(lower=1.0).fillna(1.0)
    return sigma.to_numpy()


def _nearby_move_bps(path: _PricePath, far: np.ndarray) -> np.ndarray:
    """Return the root mean square 5-minute move of the session around each bar, in bps; at least a sigma.

    It shows bursts of volatility and no bad tick: moves from and to closes that are far off do not count.
    """
    move = np.diff(path.close, prepend=np.nan) / np.sqrt(path.gap)
    move[far | np.append(False, far[:-1])] = np.nan
    by_session = pd.Series(move**2).groupby(path.days)
    mean_square = by_session.rolling(_NEARBY_BARS, center=True, min_periods=1).mean()
    return np.asarray(np.fmax(np.sqrt(mean_square.to_numpy()), path.sigma) * _BPS)


def _spikes(path: _PricePath, prices: pd.Series) -> _Deviations:
    """Return how far each close leaves the price before and returns within the session; 0 if it does not."""
    away, back = path.close - path.before, path.close - path.after
    size = np.minimum(np.abs(away), np.abs(back))
    gap_after = _shift(path.gap, -1)
    sigmas = np.minimum(np.abs(away) / np.sqrt(path.gap), np.abs(back) / np.sqrt(gap_after)) / path.sigma
    returns = (away * back > 0) & (np.abs(path.before - path.after) <= _MAX_NET_MOVE * size)
    return _Deviations(prices, np.where(returns, size * _BPS, 0.0), np.where(returns, sigmas, 0.0))


def _wicks(path: _PricePath, rows: pd.DataFrame) -> _Deviations:
    """Return how far each bar's high or low, whichever is farther, lies beyond the closes around it."""
    opens = np.where(np.isnan(path.gap), np.log(rows["open"].to_numpy(float)), path.close)
    closes = np.array([path.before, path.after, path.close, _shift(path.close, 1), opens])
    above = np.log(rows["high"].to_numpy(float)) - closes.max(axis=0)
    below = closes.min(axis=0) - np.log(rows["low"].to_numpy(float))
    size = np.maximum(above, below)
    price = rows["high"].where(above >= below, rows["low"])
    return _Deviations(price, size * _BPS, size / path.sigma)


def _describe(template: str, found: _Deviations, mask: np.ndarray, nearby: np.ndarray) -> list[str]:
    """Write price, size in bps, in sigmas and in nearby moves of each outlier into a sentence."""
    columns = (found.price, found.bps, found.sigmas, found.bps / nearby)
    return [template.format(*figures) for figures in zip(*(c[mask] for c in columns), strict=True)]


def _shift(values: np.ndarray, n_bars: int) -> np.ndarray:
    """Return the values `n_bars` before (after if negative); NaN beyond the ends."""
    return pd.Series(values).shift(n_bars).to_numpy(float)
