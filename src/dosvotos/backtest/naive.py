"""Strategies without skill that a model must beat: always long, always short, and traders at random."""

import numpy as np

from dosvotos.backtest.metrics import Metrics, last_bars, returns_between, sharpe_ratio
from dosvotos.contracts.records import Record
from dosvotos.market.accounting import Tape, run_account


class Naive(Record):
    """What strategies without skill made of a window at the same costs."""

    always_long: Metrics
    always_short: Metrics
    random_sharpe_p95: float | None
    """Sharpe ratio below which 95% of the random traders stay; None if none's is defined."""


def random_traders(positions: np.ndarray, n_traders: int, seed: int) -> np.ndarray:
    """Draw targets of traders with a strategy's own holding spells in random order.

    Parameters
    ----------
    positions : ndarray of shape (n_bars,)
        The strategy's position after each bar's fill: -1, 0 or 1.
    n_traders : int
    seed : int

    Returns
    -------
    ndarray of shape (n_traders, n_bars), int8
        Each spends exactly as many bars long, short and flat and, but for at most two sides, trades as much.

    Notes
    -----
    Flat spells and spells in the market (flips included) still alternate, each kind in random order, and the
    whole begins at a random bar, so that neither the order of the trades nor their hours remain.
    """
    ends = np.flatnonzero(np.diff(positions != 0)) + 1
    spells = np.split(positions.astype(np.int8), ends)
    random = np.random.default_rng(seed)
    held = np.stack([_reordered(spells, random) for _ in range(n_traders)])
    return np.roll(held, -1, axis=1)


def _reordered(spells: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    mixed = list(spells)
    for first in (0, 1):
        indices = range(first, len(spells), 2)
        for index, chosen in zip(indices, random.permutation(len(indices)), strict=True):
            mixed[index] = spells[first + 2 * int(chosen)]
    path = np.concatenate(mixed)
    return np.roll(path, random.integers(len(path)))


def random_sharpe_percentile(
    tape: Tape,
    sessions: np.ndarray,
    targets: np.ndarray,
    cost: float,
    capital: float,
    percentile: float,
    financed: bool = False,
) -> float | None:
    """Compute a percentile of the net Sharpe ratios of many traders; None if no trader's is defined."""
    ends = last_bars(tape.times, sessions)
    equities = (run_account(tape, one, cost, capital, financed).equity for one in targets)
    sharpes = [sharpe_ratio(returns_between(equity, ends)) for equity in equities]
    defined = [sharpe for sharpe in sharpes if sharpe is not None]
    return float(np.percentile(defined, percentile)) if defined else None
