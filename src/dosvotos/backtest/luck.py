"""How likely a trader without skill shows daily returns as good; every function takes many windows at once.

Returns have shape (..., n_sessions): daily, net, of all scheduled sessions, zeros included, no NaN. Results
have shape (...); NaN where returns do not vary or are fewer than three.
"""

import numpy as np
import scipy

from dosvotos.backtest.metrics import NO_VARIANCE
from dosvotos.market.calendar import SESSIONS_PER_YEAR

HAC_LAGS = 5
_MIN_SESSIONS = 3


def luck_p_value(returns: np.ndarray) -> np.ndarray:
    """Compute the probability that returns without skill have a Sharpe ratio as high.

    Notes
    -----
    ``max(1 - PSR(0), 1 - T(n - 1)(sqrt(n) mean / sd))``: the probabilistic Sharpe ratio alone is too generous
    in its tail, Student's t alone where returns are skewed.
    """
    n, (sharpe, skew, kurtosis) = returns.shape[-1], _sharpe_skew_kurtosis(returns)
    error = np.sqrt(_variance(sharpe, skew, kurtosis) / (n - 1))
    by_psr = scipy.special.ndtr(-sharpe / error)
    by_t = scipy.special.stdtr(n - 1, -np.sqrt(n) * sharpe)
    p_value: np.ndarray = np.maximum(by_psr, by_t)
    return p_value


def hac_psr(returns: np.ndarray, lags: int = HAC_LAGS) -> np.ndarray:
    """Compute the probability that the true Sharpe ratio is above 0 where returns are serially correlated.

    Notes
    -----
    Lo (2002): the estimated Sharpe ratio s has the influence x - s / 2 (x^2 - 1) of each standardised return
    x. Its long-run variance is Newey and West's (1987), with Bartlett's weights; with no lag it is the
    probabilistic Sharpe ratio's.
    """
    n, (sharpe, _, _) = returns.shape[-1], _sharpe_skew_kurtosis(returns)
    x = _standardised(returns)
    influence = x - sharpe[..., None] / 2 * (x**2 - 1)
    variance = (influence**2).mean(axis=-1)
    for lag in range(1, min(lags, n - 1) + 1):
        covariance = (influence[..., lag:] * influence[..., :-lag]).sum(axis=-1) / n
        variance = variance + 2 * (1 - lag / (lags + 1)) * covariance
    positive = np.where(variance > 0, variance, np.nan)
    probability: np.ndarray = scipy.special.ndtr(sharpe * np.sqrt((n - 1) / positive))
    return probability


def last_third_share(returns: np.ndarray) -> np.ndarray:
    """Compute the share of the sum of squared returns that falls into the last third of the sessions."""
    total = (returns**2).sum(axis=-1)
    late = (returns[..., returns.shape[-1] - returns.shape[-1] // 3 :] ** 2).sum(axis=-1)
    share: np.ndarray = np.where(_vary(returns), late / np.where(total > 0, total, 1.0), np.nan)
    return share


def passing_sharpe(n_sessions: int, skew: float, kurtosis: float, level: float) -> float | None:
    """Compute the annual Sharpe ratio whose p-value is just a level, other moments unchanged.

    None where the returns' tails are so fat that none would do.
    """
    z, n = -float(scipy.special.ndtri(level)), n_sessions - 1
    # x^2 (n - 1) = z^2 variance(x), and x sqrt(n) = t
    square, linear = n - z**2 * (kurtosis - 1) / 4, z**2 * skew
    if square <= 0:
        return None
    by_psr = (-linear + np.sqrt(linear**2 + 4 * square * z**2)) / (2 * square)
    by_t = -scipy.special.stdtrit(n, level) / np.sqrt(n_sessions)
    return float(max(by_psr, by_t) * np.sqrt(SESSIONS_PER_YEAR))


def _sharpe_skew_kurtosis(returns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Describe returns by daily Sharpe ratio (ddof 1), skewness and kurtosis (3 for normal returns)."""
    x = _standardised(returns)
    spread = returns.std(axis=-1, ddof=1) if returns.shape[-1] > 1 else np.zeros(returns.shape[:-1])
    sharpe = returns.mean(axis=-1) / np.where(_vary(returns), spread, np.nan)
    return sharpe, (x**3).mean(axis=-1), (x**4).mean(axis=-1)


def _standardised(returns: np.ndarray) -> np.ndarray:
    centred = returns - returns.mean(axis=-1, keepdims=True)
    spread = np.where(_vary(returns), returns.std(axis=-1), np.nan)
    standardised: np.ndarray = centred / spread[..., None]
    return standardised


def _variance(sharpe: np.ndarray, skew: np.ndarray, kurtosis: np.ndarray) -> np.ndarray:
    """Compute the variance of the estimated Sharpe ratio times (n - 1); NaN where it is not positive."""
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    positive: np.ndarray = np.where(variance > 0, variance, np.nan)
    return positive


def _vary(returns: np.ndarray) -> np.ndarray:
    if returns.shape[-1] < _MIN_SESSIONS:
        return np.zeros(returns.shape[:-1], dtype=bool)
    varies: np.ndarray = returns.std(axis=-1, ddof=1) > NO_VARIANCE
    return varies
