"""USD/COP's own moves: volatility that clusters and changes by the hour, fat tails, gaps, stale closes."""

from itertools import accumulate
from typing import Any, Final, NamedTuple

import numpy as np

from dosvotos.market.calendar import BARS_PER_SESSION, LAST_SLOT
from dosvotos.simulation.calibration import (
    Bounce,
    Bursts,
    Jumps,
    Prices,
    Volatility,
    calibration,
    carried,
    session_std,
)
from dosvotos.simulation.draws import generators, unit_student

_DECIMALS: Final = 5


class SessionNoise(NamedTuple):
    """What happens in each session before anything is planted."""

    moves: np.ndarray
    """Log moves of shape (n_sessions, 61): the gap to the open, then each bar's open to close."""
    wicks: np.ndarray
    """Log distance of each bar's high and low from its body, shape (n_sessions, 2, 60)."""
    stale: np.ndarray
    """Bars that close where the one before did, bool of shape (n_sessions, 60); never a first or a last."""
    daily: np.ndarray
    """Sum of the moves with nothing taken from it, of unit variance, shape (n_sessions,)."""


class _Draws(NamedTuple):
    """Those of all sessions along the first axis; raw Student, unit normal, uniform and unit-mean gamma."""

    gap: np.ndarray
    bars: np.ndarray
    bursts: np.ndarray
    slow: np.ndarray
    own: np.ndarray
    regime: np.ndarray
    news: np.ndarray
    luck: np.ndarray
    offsets: np.ndarray
    wicks: np.ndarray


def session_noise(seed: int, sessions: np.ndarray, edge: float) -> SessionNoise:
    """Draw the noise of consecutive sessions, from the simulation's first on.

    Parameters
    ----------
    seed : int
    sessions : ndarray of datetime64[D], shape (n_sessions,)
    edge : float
        Makes room for a planted drift: a session's noise is left with ``1 - edge**2`` of its variance.

    Notes
    -----
    A session's volatility is its hours' profile times a regime, a slow walk, the session's own luck and its
    weekday's factor, all of unit mean square. A night's gap knows the regime and the slow walk only.

    Room for a drift is made in the bars that follow each move, not in the move itself: 5-minute returns keep
    their variance, and so does the session once the drift is in.
    """
    prices = calibration().prices
    draws = _draw(seed, sessions, prices)
    persistent = _regimes(draws.regime, prices.volatility) * _slow_walk(draws.slow, prices.volatility)
    own = _unit_lognormal(draws.own, prices.volatility.own_sd)
    session_volatility = (persistent * own * _weekday(sessions, prices))[:, None] * prices.slot_std
    bar_volatility = session_volatility * _bursts(draws.bursts, prices.bursts)
    innovations = bar_volatility * _jumps(draws.news, prices.jumps) * unit_student(draws.bars, prices.bar_law)
    offsets = session_volatility * _offsets(draws.luck, draws.offsets, prices.bounce)
    overnight = _overnight_std(sessions, prices)
    gap_std = np.sqrt(overnight**2 - prices.slot_std[0] ** 2)
    gap = gap_std * persistent * unit_student(draws.gap, prices.overnight_law)
    whole = np.column_stack([gap, _moves(innovations, offsets, prices, 1.0)])
    moves = np.column_stack([gap, _moves(innovations, offsets, prices, np.sqrt(1 - edge**2))])
    return SessionNoise(
        moves,
        wicks=draws.wicks * (prices.wick_over_sigma * bar_volatility)[:, None],
        stale=draws.luck < prices.zero_share,
        daily=whole.sum(axis=1) / np.sqrt(overnight**2 + prices.session_std**2),
    )


def session_prices(moves: np.ndarray, stale: np.ndarray) -> np.ndarray:
    """Each session's open and 60 closes, shape (n_sessions, 61); each night pulls the price to its level.

    Parameters
    ----------
    moves : ndarray of shape (n_sessions, 61)
        Log moves of consecutive sessions, from the simulation's first on.
    stale : ndarray of bool, shape (n_sessions, 60)
        Bars whose close repeats the one before; what moved meanwhile shows in the next.
    """
    prices = calibration().prices
    path = moves.cumsum(axis=1)
    ends = np.array(list(accumulate(path[:, -1], lambda end, move: prices.keep * end + move)))
    starts = prices.keep * np.concatenate([[0.0], ends[:-1]])
    shown: np.ndarray = prices.level * np.exp(starts[:, None] + path)
    last_shown = np.maximum.accumulate(np.where(stale, 0, np.arange(1, 1 + BARS_PER_SESSION)), axis=1)
    shown[:, 1:] = np.take_along_axis(shown, last_shown, axis=1)
    return shown.round(_DECIMALS)


def bar_columns(prices: np.ndarray, wicks: np.ndarray) -> dict[str, np.ndarray]:
    """Open, high, low and close of shape (n_sessions, 60) from `session_prices` and wicks."""
    first, last = prices[:, :-1], prices[:, 1:]
    return {
        "open": first,
        "high": np.round(np.maximum(first, last) * np.exp(wicks[:, 0]), _DECIMALS),
        "low": np.round(np.minimum(first, last) * np.exp(-wicks[:, 1]), _DECIMALS),
        "close": last,
    }


def _draw(seed: int, sessions: np.ndarray, prices: Prices) -> _Draws:
    drawn = [_draw_session(rng, prices) for rng in generators(seed, "session", sessions)]
    return _Draws(*(np.array(column) for column in zip(*drawn, strict=True)))


def _draw_session(rng: np.random.Generator, prices: Prices) -> tuple[Any, ...]:
    """One session's draws in the order of `_Draws`; its first and last close are true and not stale."""
    n = BARS_PER_SESSION
    gap, bars = rng.standard_t(prices.overnight_law.t_dof), rng.standard_t(prices.bar_law.t_dof, n)
    bursts = rng.standard_normal((2, n))
    slow, own = rng.standard_normal(2)
    regime, news, luck = rng.random(), rng.random(n), rng.random(n)
    luck[[0, LAST_SLOT]] = 0.5
    offsets = rng.standard_normal(n)
    wicks = rng.standard_gamma(prices.wick_shape, (2, n)) / prices.wick_shape
    return gap, bars, bursts, slow, own, regime, news, luck, offsets, wicks


def _regimes(draws: np.ndarray, volatility: Volatility) -> np.ndarray:
    """Volatility of each session's regime, of unit mean square; a chain of two states."""
    stay_high, enter_high = 1 - 1 / volatility.spell_high, 1 / volatility.spell_low
    high = accumulate(
        draws[1:],
        lambda was_high, draw: bool(draw < (stay_high if was_high else enter_high)),
        initial=bool(draws[0] < volatility.high_share),
    )
    levels = np.where(list(high), volatility.high_over_low, 1.0)
    share = volatility.high_share
    return np.asarray(levels / np.sqrt(share * volatility.high_over_low**2 + 1 - share))


def _slow_walk(draws: np.ndarray, volatility: Volatility) -> np.ndarray:
    keep = volatility.slow_persistence
    push = np.sqrt(1 - keep**2)
    walk = accumulate(draws[1:], lambda before, draw: keep * before + push * draw, initial=draws[0])
    return _unit_lognormal(np.array(list(walk)), volatility.slow_sd)


def _bursts(draws: np.ndarray, bursts: Bursts) -> np.ndarray:
    """Volatility of each bar within its session, of unit mean square and shape (n_sessions, 60)."""
    share = bursts.fast_share
    fast = _faded(draws[:, 0], bursts.fast_persistence)
    slow = _faded(draws[:, 1], bursts.slow_persistence)
    return _unit_lognormal(np.sqrt(share) * fast + np.sqrt(1 - share) * slow, bursts.sd)


def _faded(draws: np.ndarray, keep: float) -> np.ndarray:
    """Unit normals of shape (n_sessions, 60) that are remembered from bar to bar."""
    push = np.sqrt(1 - keep**2)
    steps = accumulate(draws.T[1:], lambda before, draw: keep * before + push * draw, initial=draws.T[0])
    return np.array(list(steps)).T


def _jumps(draws: np.ndarray, jumps: Jumps) -> np.ndarray:
    """Volatility of each bar's news, of unit mean square and shape (n_sessions, 60)."""
    unit = np.sqrt(1 - jumps.share + jumps.share * jumps.size**2)
    return np.asarray(np.where(draws < jumps.share, jumps.size, 1.0) / unit)


def _offsets(luck: np.ndarray, draws: np.ndarray, bounce: Bounce) -> np.ndarray:
    """What each close lies off the price, over its bar's standard deviation, shape (n_sessions, 60)."""
    return np.where(luck > 1 - bounce.share, bounce.size * draws, 0.0)


def _moves(innovations: np.ndarray, offsets: np.ndarray, prices: Prices, left: float) -> np.ndarray:
    """Log moves of the bars; a session's standard deviation is `left` of the calibrated one.

    Bars 2 to 9 later carry a move on a little, or take from it what is not to be left. The first bar, part of
    the night's move, carries nothing.
    """
    moves = innovations.copy()
    for lag in range(2, 2 + prices.carry.bars):
        moves[:, 1 + lag :] += carried(prices.carry, left) * innovations[:, 1:-lag]
    moves[:, 1:] *= left * prices.session_std / session_std(prices.slot_std[1:], prices.carry, left)
    return moves + np.diff(offsets, prepend=0.0)


def _unit_lognormal(unit_normal: np.ndarray, sd: float) -> np.ndarray:
    """Lognormal of unit mean square and log standard deviation `sd`."""
    return np.asarray(np.exp(sd * unit_normal - sd**2))


def _weekday(sessions: np.ndarray, prices: Prices) -> np.ndarray:
    monday_first = (sessions.astype("datetime64[D]").astype(int) + 3) % 7
    return np.asarray(prices.weekday_factors[monday_first])


def _overnight_std(sessions: np.ndarray, prices: Prices) -> np.ndarray:
    nights = np.diff(sessions, prepend=sessions[:1] - 1).astype(int)
    return np.asarray(prices.overnight_std[np.searchsorted([2, 4], nights, side="right")])
