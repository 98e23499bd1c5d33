"""How much of a result may be luck: at the first look at a window, and at every later one.

arch is imported where it is used: it costs seconds, which every command would pay.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from dosvotos.backtest.metrics import sharpe_ratio

_NO_SPREAD = 1e-15
_MIN_SESSIONS_FOR_BLOCKS = 10


class FamilyTest(NamedTuple):
    """What a look among many proves."""

    spa_p_value: float
    in_superior_set: bool


def probabilistic_sharpe_ratio(returns: np.ndarray, benchmark: float = 0.0) -> float | None:
    """Probability that the true Sharpe ratio exceeds a benchmark.

    Parameters
    ----------
    returns : ndarray of shape (n_sessions,), daily net returns
    benchmark : float
        Sharpe ratio a day, not annualised.

    Returns
    -------
    float in [0, 1], or None without variance

    Notes
    -----
    Bailey and Lopez de Prado (2012): the estimate's standard error allows for skewness and (non-excess)
    kurtosis.
    """
    if len(returns) < 3 or (spread := returns.std(ddof=1)) <= _NO_SPREAD:
        return None
    sharpe = returns.mean() / spread
    skew, kurtosis = stats.skew(returns), stats.kurtosis(returns, fisher=False)
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if variance <= 0:
        return None
    return float(stats.norm.cdf((sharpe - benchmark) * np.sqrt(len(returns) - 1) / np.sqrt(variance)))


def family_test(
    candidate: str, series: pd.DataFrame, n_looks: int, size: float, replications: int, seed: int
) -> FamilyTest:
    """Test the best of several looks at one window against doing nothing.

    Parameters
    ----------
    candidate : str
        Column of the model in question.
    series : DataFrame of shape (n_sessions, n_series)
        Daily net returns of every look whose series is stored, no NaN.
    n_looks : int
        All looks; those without a series raise the multiplicity.
    size : float
        Level of the superior set.
    replications, seed : int

    Notes
    -----
    Hansen's SPA (consistent p-value) and Romano and Wolf's StepM, both by arch with the stationary bootstrap,
    on returns scaled to equal volatility, since arch's SPA takes an unstudentised maximum. With looks that
    left no series, the p-value is multiplied and the size divided by looks / series (Bonferroni). A series
    that never moves, such as that of a model that never trades, proves nothing and counts as none.
    """
    from arch.bootstrap import SPA, StepM

    spread = series.std(ddof=1)
    if not spread[candidate] > _NO_SPREAD:
        return FamilyTest(1.0, False)
    moving = series.loc[:, spread > _NO_SPREAD]
    losses = -moving / spread[moving.columns]
    flat = np.zeros(len(losses))
    multiplicity = max(n_looks, losses.shape[1]) / losses.shape[1]
    settings = {"block_size": _block_size(series[candidate]), "reps": replications, "seed": seed}
    spa = SPA(flat, losses, **settings)
    spa.compute()
    step = StepM(flat, losses, size=size / multiplicity, **settings)
    step.compute()
    p_value = min(1.0, float(spa.pvalues["consistent"]) * multiplicity)
    return FamilyTest(p_value, candidate in step.superior_models)


def sharpe_difference_interval(
    new: np.ndarray, old: np.ndarray, replications: int, seed: int, size: float = 0.90
) -> tuple[float, float] | None:
    """Interval of the difference of two annual Sharpe ratios on the same sessions, paired.

    Stationary bootstrap, percentile interval; None if either has no variance.
    """
    if sharpe_ratio(new) is None or sharpe_ratio(old) is None:
        return None
    from arch.bootstrap import StationaryBootstrap

    pairs = np.column_stack([new, old])
    bootstrap = StationaryBootstrap(_block_size(pd.Series(new - old)), pairs, seed=seed)
    low, high = bootstrap.conf_int(_difference, reps=replications, method="percentile", size=size)
    return float(low[0]), float(high[0])


def sharpe_difference_draws(new: np.ndarray, old: np.ndarray, replications: int, seed: int) -> np.ndarray:
    """Differences of two annual Sharpe ratios on resampled sessions, paired, shape (replications,).

    The stationary bootstrap of `sharpe_difference_interval`, replication by replication.
    """
    from arch.bootstrap import StationaryBootstrap

    pairs = np.column_stack([new, old])
    bootstrap = StationaryBootstrap(_block_size(pd.Series(new - old)), pairs, seed=seed)
    draws: np.ndarray = bootstrap.apply(_difference, reps=replications)[:, 0]
    return draws


def _difference(pairs: np.ndarray) -> np.ndarray:
    new, old = sharpe_ratio(pairs[:, 0]), sharpe_ratio(pairs[:, 1])
    return np.array([(new or 0.0) - (old or 0.0)])


def _block_size(returns: pd.Series) -> int:
    from arch.bootstrap import optimal_block_length

    if len(returns) < _MIN_SESSIONS_FOR_BLOCKS or not returns.std(ddof=1) > _NO_SPREAD:
        return 1
    return max(1, round(float(optimal_block_length(returns)["stationary"].iloc[0])))
