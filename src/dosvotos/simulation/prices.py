"""Simulate USD/COP: volatility clustering and profile, fat tails, overnight gaps, repeated closes."""

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
    response_per_lag,
    session_std,
)
from dosvotos.simulation.draws import daily_generators, standardize

_DECIMALS: Final = 5


class SessionNoise(NamedTuple):
    """Random moves of each session, before a drift is planted."""

    moves: np.ndarray
    """Log moves of shape (n_sessions, 61): the gap to the open, then each bar's open to close."""
    wicks: np.ndarray
    """Log distance of each bar's high and low from its body, shape (n_sessions, 2, 60)."""
    stale: np.ndarray
    """Bars whose close repeats the one before, bool of shape (n_sessions, 60); no first or last bar."""
    daily_shocks: np.ndarray
    """Moves from close to close without an edge, scaled to unit variance, shape (n_sessions,)."""


class _Draws(NamedTuple):
    """Draws by session (first axis): raw Student t, standard normal, uniform, and gamma of mean 1."""

    gap: np.ndarray
    bars: np.ndarray
    bursts: np.ndarray
    slow: np.ndarray
    session: np.ndarray
    regime: np.ndarray
    jumps: np.ndarray
    close_kind: np.ndarray
    offsets: np.ndarray
    wicks: np.ndarray


def session_noise(seed: int, sessions: np.ndarray, edge: float) -> SessionNoise:
    """Draw the noise of consecutive sessions, from the simulation's first on.

    Parameters
    ----------
    seed : int
    sessions : ndarray of datetime64[D], shape (n_sessions,)
    edge : float
        Size of the drift to plant; a session's noise gets ``1 - edge**2`` of its variance.

    Notes
    -----
    A session's volatility is the intraday profile times its regime, an AR(1), an independent component and
    its weekday's factor, all of unit mean square. An overnight gap depends on the regime and the AR(1) only.

    The variance of a session is reduced by the lagged response of bars to earlier moves, not in the moves
    themselves: 5-minute returns keep their variance, and so does the session once the drift is added.
    """
    prices = calibration().prices
    volatility = prices.volatility
    draws = _draw(seed, sessions, prices)
    persistent = _regime_volatility(draws.regime, volatility) * _slow_volatility(draws.slow, volatility)
    session = _unit_lognormal(draws.session, volatility.session_sd)
    session_volatility = (persistent * session * _weekday(sessions, prices))[:, None] * prices.slot_std
    bar_volatility = session_volatility * _burst_volatility(draws.bursts, prices.bursts)
    shocks = standardize(draws.bars, prices.bar_distribution)
    innovations = bar_volatility * _jump_volatility(draws.jumps, prices.jumps) * shocks
    offsets = session_volatility * _close_offsets(draws.close_kind, draws.offsets, prices.bounce)
    overnight = _overnight_std(sessions, prices)
    gap_std = np.sqrt(overnight**2 - prices.slot_std[0] ** 2)
    gap = gap_std * persistent * standardize(draws.gap, prices.overnight_distribution)
    full_moves = np.column_stack([gap, _bar_moves(innovations, offsets, prices, 1.0)])
    moves = np.column_stack([gap, _bar_moves(innovations, offsets, prices, np.sqrt(1 - edge**2))])
    return SessionNoise(
        moves,
        wicks=draws.wicks * (prices.wick_over_sigma * bar_volatility)[:, None],
        stale=draws.close_kind < prices.zero_share,
        daily_shocks=full_moves.sum(axis=1) / np.sqrt(overnight**2 + prices.session_std**2),
    )


def session_prices(moves: np.ndarray, stale: np.ndarray) -> np.ndarray:
    """Cumulate moves to each session's open and 60 closes, shape (n_sessions, 61).

    A night takes the price a little back to its level.

    Parameters
    ----------
    moves : ndarray of shape (n_sessions, 61)
        Log moves of consecutive sessions, from the simulation's first on.
    stale : ndarray of bool, shape (n_sessions, 60)
        Bars whose close repeats the one before; their move shows in the next bar.
    """
    prices = calibration().prices
    path = moves.cumsum(axis=1)
    ends = np.array(list(accumulate(path[:, -1], lambda end, move: prices.persistence * end + move)))
    starts = prices.persistence * np.concatenate([[0.0], ends[:-1]])
    shown: np.ndarray = prices.level * np.exp(starts[:, None] + path)
    last_shown = np.maximum.accumulate(np.where(stale, 0, np.arange(1, 1 + BARS_PER_SESSION)), axis=1)
    shown[:, 1:] = np.take_along_axis(shown, last_shown, axis=1)
    return shown.round(_DECIMALS)


def bar_columns(prices: np.ndarray, wicks: np.ndarray) -> dict[str, np.ndarray]:
    """Return open, high, low and close of shape (n_sessions, 60) from `session_prices` and wicks."""
    first, last = prices[:, :-1], prices[:, 1:]
    return {
        "open": first,
        "high": np.round(np.maximum(first, last) * np.exp(wicks[:, 0]), _DECIMALS),
        "low": np.round(np.minimum(first, last) * np.exp(-wicks[:, 1]), _DECIMALS),
        "close": last,
    }


def _draw(seed: int, sessions: np.ndarray, prices: Prices) -> _Draws:
    drawn = [_draw_session(rng, prices) for rng in daily_generators(seed, "session", sessions)]
    return _Draws(*(np.array(column) for column in zip(*drawn, strict=True)))


def _draw_session(rng: np.random.Generator, prices: Prices) -> tuple[Any, ...]:
    """One session's draws in the order of `_Draws`; no first or last close is stale or bounced."""
    n = BARS_PER_SESSION
    gap = rng.standard_t(prices.overnight_distribution.t_dof)
    bars = rng.standard_t(prices.bar_distribution.t_dof, n)
    bursts = rng.standard_normal((2, n))
    slow, session = rng.standard_normal(2)
    regime, jumps, close_kind = rng.random(), rng.random(n), rng.random(n)
    close_kind[[0, LAST_SLOT]] = 0.5
    offsets = rng.standard_normal(n)
    wicks = rng.standard_gamma(prices.wick_shape, (2, n)) / prices.wick_shape
    return gap, bars, bursts, slow, session, regime, jumps, close_kind, offsets, wicks


def _regime_volatility(draws: np.ndarray, volatility: Volatility) -> np.ndarray:
    """Volatility of each session's regime, a two-state Markov chain, of unit mean square."""
    stay_high, enter_high = 1 - 1 / volatility.spell_high, 1 / volatility.spell_low
    high = accumulate(
        draws[1:],
        lambda was_high, draw: bool(draw < (stay_high if was_high else enter_high)),
        initial=bool(draws[0] < volatility.high_share),
    )
    levels = np.where(list(high), volatility.high_over_low, 1.0)
    share = volatility.high_share
    return np.asarray(levels / np.sqrt(share * volatility.high_over_low**2 + 1 - share))


def _slow_volatility(draws: np.ndarray, volatility: Volatility) -> np.ndarray:
    persistence = volatility.slow_persistence
    std = np.sqrt(1 - persistence**2)
    walk = accumulate(draws[1:], lambda last, draw: persistence * last + std * draw, initial=draws[0])
    return _unit_lognormal(np.array(list(walk)), volatility.slow_sd)


def _burst_volatility(draws: np.ndarray, bursts: Bursts) -> np.ndarray:
    """Volatility clustering within sessions, of unit mean square and shape (n_sessions, 60)."""
    share = bursts.fast_share
    fast = _ar1(draws[:, 0], bursts.fast_persistence)
    slow = _ar1(draws[:, 1], bursts.slow_persistence)
    return _unit_lognormal(np.sqrt(share) * fast + np.sqrt(1 - share) * slow, bursts.sd)


def _ar1(draws: np.ndarray, persistence: float) -> np.ndarray:
    """AR(1) of unit variance along each session, shape (n_sessions, 60)."""
    std = np.sqrt(1 - persistence**2)
    steps = accumulate(draws.T[1:], lambda last, draw: persistence * last + std * draw, initial=draws.T[0])
    return np.array(list(steps)).T


def _jump_volatility(draws: np.ndarray, jumps: Jumps) -> np.ndarray:
    """Volatility by news, of unit mean square and shape (n_sessions, 60)."""
    unit = np.sqrt(1 - jumps.share + jumps.share * jumps.size**2)
    return np.asarray(np.where(draws < jumps.share, jumps.size, 1.0) / unit)


def _close_offsets(close_kind: np.ndarray, draws: np.ndarray, bounce: Bounce) -> np.ndarray:
    """Distance of each close from the true price over its bar's std, shape (n_sessions, 60)."""
    return np.where(close_kind > 1 - bounce.share, bounce.size * draws, 0.0)


def _bar_moves(innovations: np.ndarray, offsets: np.ndarray, prices: Prices, std_ratio: float) -> np.ndarray:
    """Log moves of the bars; the standard deviation of a session is `std_ratio` of the calibrated one.

    A bar's innovation continues in the bars 2 to 9 later, or is partly reversed by them for a ratio below 1.
    The first bar, part of the overnight move, has no such response.
    """
    moves, response = innovations.copy(), prices.lagged_response
    for lag in range(2, 2 + response.n_lags):
        moves[:, 1 + lag :] += response_per_lag(response, std_ratio) * innovations[:, 1:-lag]
    moves[:, 1:] *= std_ratio * prices.session_std / session_std(prices.slot_std[1:], response, std_ratio)
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
