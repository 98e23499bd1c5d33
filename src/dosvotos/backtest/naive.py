"""Strategies without skill that a model must beat: always long, always short, and traders at random."""

import numpy as np

from dosvotos.backtest.metrics import daily_returns, sharpe_ratio
from dosvotos.market.accounting import Tape, run_account


def random_traders(positions: np.ndarray, n_traders: int, seed: int) -> np.ndarray:
    """Targets of traders with a strategy's own holding spells in random order.

    Parameters
    ----------
    positions : ndarray of shape (n_bars,)
        The strategy's position after each bar's fill: -1, 0 or 1.
    n_traders : int
    seed : int

    Returns
    -------
    ndarray of shape (n_traders, n_bars), int8
        Each spends exactly as many bars long, short and flat, in as many spells: same exposure and turnover.
    """
    changes = np.flatnonzero(np.diff(positions)) + 1
    bounds = np.concatenate([[0], changes, [len(positions)]])
    lengths, sides = np.diff(bounds), positions[bounds[:-1]].astype(np.int8)
    random = np.random.default_rng(seed)
    orders = (_shuffled(sides, random) for _ in range(n_traders))
    held = np.stack([np.repeat(sides[order], lengths[order]) for order in orders])
    return np.roll(held, -1, axis=1)


def _shuffled(sides: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A random order of spells in which no two neighbours have the same side."""
    left = {side: list(random.permutation(np.flatnonzero(sides == side))) for side in np.unique(sides)}
    order: list[int] = []
    for remaining in range(len(sides), 0, -1):
        allowed = [side for side in left if left[side] and (not order or sides[order[-1]] != side)]
        counts = np.array([len(left[side]) for side in allowed], dtype=float)
        must = np.flatnonzero(2 * counts > remaining)
        pick = must[0] if len(must) else random.choice(len(allowed), p=counts / counts.sum())
        order.append(left[allowed[pick]].pop())
    return np.array(order)


def random_sharpe_percentile(
    tape: Tape, sessions: np.ndarray, targets: np.ndarray, cost: float, capital: float, percentile: float
) -> float | None:
    """Percentile of the net Sharpe ratios of many traders; None if no trader's is defined."""
    sharpes = []
    for one in targets:
        equity = run_account(tape, one, cost, capital).equity
        sharpes.append(sharpe_ratio(daily_returns(equity, tape.times, sessions)))
    defined = [sharpe for sharpe in sharpes if sharpe is not None]
    return float(np.percentile(defined, percentile)) if defined else None
