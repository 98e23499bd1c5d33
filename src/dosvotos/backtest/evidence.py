"""How much of a result may be luck: at the first look at a window, and at every later one.

arch, and scipy's modules behind their names in scipy, are imported where they are used: they cost seconds,
which every command would pay.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from dosvotos.backtest.luck import passing_sharpe
from dosvotos.backtest.metrics import NO_VARIANCE, sharpe_ratio
from dosvotos.backtest.resampling import Bootstrap
from dosvotos.market.calendar import SESSIONS_PER_YEAR

INTERVAL = 0.90
"""Share of the resampled windows within an interval."""
_MIN_SESSIONS = 3
_MIN_SESSIONS_FOR_BLOCKS = 10


class FamilyTest(NamedTuple):
    """SPA and StepM of one look among several."""

    spa_p_value: float
    in_superior_set: bool


class Interval(NamedTuple):
    """A figure of the window, and its interval over resampled windows."""

    found: float
    low: float
    high: float


class Moments(NamedTuple):
    """What the probabilistic Sharpe ratio needs of daily returns."""

    n_sessions: int
    sharpe: float
    """Daily, not annualised."""
    skew: float
    kurtosis: float
    """Not the excess: 3 for normal returns."""

    def variance(self, sharpe: float) -> float:
        """Compute the variance of an estimated Sharpe ratio times (n - 1), where the true one is `sharpe`."""
        return 1 - self.skew * sharpe + (self.kurtosis - 1) / 4 * sharpe**2


def deflated_sharpe_ratio(moments: Moments, sharpes: np.ndarray, n_looks: int) -> float | None:
    """Compute the probability that the true Sharpe ratio exceeds what the luckiest of all looks would show.

    Parameters
    ----------
    moments : Moments
        Of the candidate's returns.
    sharpes : ndarray of shape (n_series,), daily
        Of every look whose series is stored, the candidate's included.
    n_looks : int
        All looks.

    Returns
    -------
    float in [0, 1]; None where the looks' spread is unknown, with a single series among several looks
    """
    if n_looks > 1 and len(sharpes) < 2:
        return None
    variance = float(sharpes.var(ddof=1)) if n_looks > 1 else 0.0
    return probabilistic_sharpe_ratio(moments, expected_max_sharpe(n_looks, variance))


def moments_of(returns: np.ndarray) -> Moments | None:
    """Describe daily net returns of shape (n_sessions,); None without variance."""
    if len(returns) < _MIN_SESSIONS or (spread := returns.std(ddof=1)) <= NO_VARIANCE:
        return None
    skew, kurtosis = scipy.stats.skew(returns), scipy.stats.kurtosis(returns, fisher=False)
    return Moments(len(returns), float(returns.mean() / spread), float(skew), float(kurtosis))


def probabilistic_sharpe_ratio(moments: Moments, benchmark: float = 0.0) -> float | None:
    """Compute the probability that the true Sharpe ratio exceeds a benchmark (a day).

    None where the estimate's variance is not positive.

    Notes
    -----
    Bailey and Lopez de Prado (2012): the estimate's standard error allows for skewness and (non-excess)
    kurtosis.
    """
    variance = moments.variance(moments.sharpe)
    if variance <= 0:
        return None
    z = (moments.sharpe - benchmark) * np.sqrt(moments.n_sessions - 1) / np.sqrt(variance)
    return float(scipy.special.ndtr(z))


def expected_max_sharpe(n_looks: int, variance: float) -> float:
    """Compute the Sharpe ratio expected of the best of several looks without skill.

    Parameters
    ----------
    n_looks : int
    variance : float
        Of the looks' Sharpe ratios, in the square of the wanted unit.

    Notes
    -----
    Bailey and Lopez de Prado (2014): the expected maximum of `n_looks` independent normal estimates; 0 for a
    single look. The probabilistic Sharpe ratio against it is the deflated Sharpe ratio.
    """
    if n_looks <= 1:
        return 0.0
    best, next_best = scipy.special.ndtri([1 - 1 / n_looks, 1 - 1 / (n_looks * np.e)])
    return float(np.sqrt(variance) * ((1 - np.euler_gamma) * best + np.euler_gamma * next_best))


def min_track_record(moments: Moments, confidence: float, benchmark: float = 0.0) -> float | None:
    """Count the sessions after which this Sharpe ratio exceeds a benchmark (a day) with a probability.

    None where it does not exceed the benchmark, so that no length would do. Bailey and Lopez de Prado (2012).
    """
    if moments.sharpe <= benchmark:
        return None
    z = scipy.special.ndtri(confidence)
    return float(1 + moments.variance(moments.sharpe) * (z / (moments.sharpe - benchmark)) ** 2)


def power(moments: Moments, true_sharpe: float, level: float) -> float | None:
    """Compute how probably a model of a true annual Sharpe ratio shows a p-value of `level` in such a window.

    Parameters
    ----------
    moments : Moments
        Gives the window's length and the returns' skewness and kurtosis.
    true_sharpe : float
        Annual.
    level : float
        Below 0.5.

    Returns
    -------
    float in [0, 1], or None where the returns' tails are too fat for the approximation

    Notes
    -----
    The PSR's own normal approximation, no simulation: estimates of a true Sharpe ratio s scatter around it
    with variance ``moments.variance(s) / (n - 1)``; the lowest estimate that passes is `passing_sharpe`'s.
    """
    needed = passing_sharpe(moments.n_sessions, moments.skew, moments.kurtosis, level)
    daily = true_sharpe / np.sqrt(SESSIONS_PER_YEAR)
    if needed is None or moments.variance(daily) <= 0:
        return None
    distance = (true_sharpe - needed) / np.sqrt(SESSIONS_PER_YEAR)
    return float(scipy.special.ndtr(distance * np.sqrt((moments.n_sessions - 1) / moments.variance(daily))))


def family_test(
    candidate: str, series: pd.DataFrame, n_models: int, size: float, bootstrap: Bootstrap
) -> FamilyTest:
    """Test the best of several models on one window against doing nothing.

    Parameters
    ----------
    candidate : str
        Column of the model in question.
    series : DataFrame of shape (n_sessions, n_series)
        Daily net returns of every model whose series is stored, no NaN.
    n_models : int
        All models; those without a series raise the multiplicity.
    size : float
        Level of the superior set.
    bootstrap : Bootstrap

    Notes
    -----
    Hansen's SPA (consistent p-value) and Romano and Wolf's StepM under the stationary bootstrap, on returns
    scaled to equal volatility, since arch's SPA takes an unstudentised maximum. The figures are those of
    arch's ``SPA`` and ``StepM`` for the same seed and block, but that b of B resamples beyond the observed
    maximum give the p-value (b + 1) / (B + 1), which is never 0; here all resampled means come from one
    product of matrices, fast enough to measure the gate itself.

    Blocks of the optimal length and of single sessions must agree: the larger p-value counts, and the model
    has to be superior under both. In short windows blocks follow chance autocorrelation, and where that is
    negative they make a mean look surer than it is.

    With models that left no series, the p-value is multiplied and the size divided by models / series
    (Bonferroni). A series that never moves, such as that of a model that never trades, proves nothing and
    counts as none; a window of fewer than three sessions proves nothing at all.
    """
    spread = series.std(ddof=1)
    if len(series) < _MIN_SESSIONS or not spread[candidate] > NO_VARIANCE:
        return FamilyTest(1.0, False)
    moving = series.loc[:, spread > NO_VARIANCE]
    scaled = (moving / spread[moving.columns]).to_numpy()
    multiplicity = max(n_models, scaled.shape[1]) / scaled.shape[1]
    own = moving.columns.get_loc(candidate)
    p_value, superior = 0.0, True
    for block in {1, _block_size(series[candidate])}:
        weights = _session_weights(len(scaled), block, *bootstrap)
        p_by_block, in_set = _spa_and_step(scaled, weights, block, size / multiplicity)
        p_value, superior = max(p_value, p_by_block), superior and bool(in_set[own])
    return FamilyTest(min(1.0, p_value * multiplicity), superior)


def _spa_and_step(
    scaled: np.ndarray, weights: np.ndarray, block: int, size: float
) -> tuple[float, np.ndarray]:
    """Compute SPA's consistent p-value and StepM's superior set, bool of shape (n_series,)."""
    means = scaled.mean(axis=0)
    drawn = weights @ scaled
    drawn -= np.where(means >= _poor_mean(scaled, block), means, 0.0)
    beyond = int((drawn.max(axis=1) > means.max()).sum())
    return (beyond + 1) / (len(drawn) + 1), _superior(means, drawn, size)


def _superior(means: np.ndarray, drawn: np.ndarray, size: float) -> np.ndarray:
    """Find the series better than doing nothing, by StepM: remove the clear ones, judge the rest again."""
    superior = np.zeros(len(means), dtype=bool)
    while not superior.all():
        bound = np.percentile(drawn[:, ~superior].max(axis=1), 100 * (1 - size))
        better = ~superior & (means > bound)
        if not better.any():
            break
        superior |= better
    return superior


def _poor_mean(scaled: np.ndarray, block: int) -> np.ndarray:
    """Compute the means below which series do not matter in Hansen's consistent p-value, (n_series,)."""
    n = len(scaled)
    lags, stay = np.arange(n), 1 - 1 / block  # chance that the next session belongs to the same block
    kernel = (1 - lags / n) * stay**lags + lags / n * stay ** (n - lags)
    kernel[0] = 1.0
    centred = scaled - scaled.mean(axis=0)
    variance = (centred * (scipy.linalg.toeplitz(kernel) @ centred)).sum(axis=0) / n
    result: np.ndarray = -np.sqrt(variance / n * 2 * np.log(np.log(n)))
    return result


def resampled_intervals(returns: np.ndarray, bootstrap: Bootstrap) -> dict[str, Interval] | None:
    """Estimate 90% intervals of annual Sharpe ratio, total return and largest fall; None without variance.

    Parameters
    ----------
    returns : ndarray of shape (n_sessions,), daily net returns
    bootstrap : Bootstrap

    Returns
    -------
    dict of Interval
        ``sharpe_ratio``, ``total_return`` and ``max_drawdown``, the last a positive fraction.

    Notes
    -----
    Stationary bootstrap, percentile intervals. Returns are daily, so the fall is between session ends and no
    larger than the one on 5-minute marks.
    """
    if moments_of(returns) is None:
        return None
    block = _block_size(pd.Series(returns))
    windows = returns[_resampled_sessions(len(returns), block, *bootstrap)]
    observed, drawn = _figures(returns[None]), _figures(windows)
    tails = [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2]
    bounds = {name: np.nanquantile(values, tails) for name, values in drawn.items()}
    return {
        name: Interval(float(observed[name][0]), float(low), float(high))
        for name, (low, high) in bounds.items()
    }


def _figures(windows: np.ndarray) -> dict[str, np.ndarray]:
    equity = np.cumprod(1 + windows, axis=1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    return {
        "sharpe_ratio": _sharpes(windows),
        "total_return": equity[:, -1] - 1,
        "max_drawdown": (1 - equity / peak).max(axis=1),
    }


def sharpe_difference_interval(
    new: np.ndarray, old: np.ndarray, bootstrap: Bootstrap
) -> tuple[float, float] | None:
    """Estimate the 90% interval of the difference of two annual Sharpe ratios on the same sessions, paired.

    Stationary bootstrap, percentile interval; None if either has no variance.
    """
    if sharpe_ratio(new) is None or sharpe_ratio(old) is None:
        return None
    draws = sharpe_difference_draws(new, old, bootstrap)
    tail = (1 - INTERVAL) / 2
    low, high = np.percentile(draws, [100 * tail, 100 * (1 - tail)])
    return float(low), float(high)


def sharpe_difference_draws(new: np.ndarray, old: np.ndarray, bootstrap: Bootstrap) -> np.ndarray:
    """Draw differences of two annual Sharpe ratios on resampled sessions, paired, shape (replications,).

    A ratio without variance counts as 0.
    """
    sessions = _resampled_sessions(len(new), _block_size(pd.Series(new - old)), *bootstrap)
    draws: np.ndarray = np.nan_to_num(_sharpes(new[sessions])) - np.nan_to_num(_sharpes(old[sessions]))
    return draws


def _sharpes(windows: np.ndarray) -> np.ndarray:
    """Compute annual Sharpe ratios of windows, a row each; NaN without variance."""
    spread, mean = windows.std(axis=1, ddof=1), windows.mean(axis=1)
    daily = np.divide(mean, spread, out=np.full(len(windows), np.nan), where=spread > NO_VARIANCE)
    sharpes: np.ndarray = daily * np.sqrt(SESSIONS_PER_YEAR)
    return sharpes


def _block_size(returns: pd.Series) -> int:
    return _optimal_block(tuple(returns))


@lru_cache(maxsize=64)
def _optimal_block(returns: tuple[float, ...]) -> int:
    from arch.bootstrap import optimal_block_length

    values = np.array(returns)
    if len(values) < _MIN_SESSIONS_FOR_BLOCKS or not values.std(ddof=1) > NO_VARIANCE:
        return 1
    return max(1, round(float(optimal_block_length(values)["stationary"].iloc[0])))


@lru_cache(maxsize=16)
def _resampled_sessions(n_sessions: int, block: int, replications: int, seed: int) -> np.ndarray:
    """Draw the sessions of each resampled window, in their order, shape (replications, n_sessions)."""
    from arch.bootstrap import StationaryBootstrap

    bootstrap = StationaryBootstrap(block, np.arange(n_sessions), seed=seed)
    return np.stack([sample[0] for sample, _ in bootstrap.bootstrap(replications)], dtype=np.int32)


@lru_cache(maxsize=16)
def _session_weights(n_sessions: int, block: int, replications: int, seed: int) -> np.ndarray:
    """Compute sessions' shares of resampled windows, shape (replications, n_sessions); rows sum to 1."""
    sessions = _resampled_sessions(n_sessions, block, replications, seed)
    indices = sessions + n_sessions * np.arange(replications)[:, None]
    counts = np.bincount(indices.ravel(), minlength=replications * n_sessions)
    return counts.reshape(replications, n_sessions) / n_sessions
