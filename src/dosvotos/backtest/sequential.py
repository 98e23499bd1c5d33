"""What daily returns prove when they are looked at every day: live or shadow, against claim or production.

A test made for one look claims a difference between equals in a third of all cases when it is repeated each
day. Here a gambler bets on the next day at odds that are fair if nothing differs: whatever the moment of the
look, the money multiplied by 1 / level has a chance of at most `level`.

Returns have shape (n_sessions, ...): daily, net, no NaN, the oldest first.
"""

from typing import Final, NamedTuple

import numpy as np

from dosvotos.contracts.live_limits import CLAIM_LEVEL
from dosvotos.market.calendar import SESSIONS_PER_YEAR

_STAKES: Final = np.array([0.02, 0.05, 0.08, 0.12, 0.18, 0.25])
"""Shares of the money that are bet; what is best depends on a difference that nobody knows."""
_CLIP: Final = 3.5
"""In standard deviations: a larger day counts as this, so that no bet is ruined."""
_HALF_LIFE: Final = 20
"""Sessions, of the standard deviation by which a day is scaled."""
_LARGE: Final = 50.0
"""Logarithm of more money than any level asks for."""
_WARM_UP: Final = 10
"""Sessions before the first bet where no standard deviation is known from before."""


class SequentialVerdict(NamedTuple):
    """What so many sessions prove."""

    sessions: int
    level: float
    e_value: float
    """Largest money so far of who began with 1."""
    claimed_at: int | None
    """Index of the session from which the claim holds; it is never taken back."""
    side: str | None
    """``better`` or ``worse``; None without a claim."""
    sessions_needed: int
    """Until so many, no claim tells nothing: a Sharpe ratio 2 apart takes that long in half of all cases."""


def judge_pair(
    shadow: np.ndarray, production: np.ndarray, level: float = CLAIM_LEVEL, n_shadows: int = 1
) -> SequentialVerdict:
    """Judge whether a shadow model earns more, or less, than production on the same sessions.

    Parameters
    ----------
    shadow, production : ndarray of shape (n_sessions,)
        Days that are equal, both flat say, prove nothing and count as sessions.
    level : float
        Chance that of shadows equal to production any is ever called different.
    n_shadows : int
        How many are judged side by side: each has its part of the level, and each side half of that
        (Bonferroni, which holds however their returns depend on each other).
    """
    scaled = volatility_scaled(shadow - production)
    money = {"better": wealth(scaled), "worse": wealth(-scaled)}
    return _verdict(money, level / (2 * n_shadows), level, len(scaled))


def judge_claim(
    returns: np.ndarray, claimed_sharpe: float, claimed_spread: float, level: float = CLAIM_LEVEL
) -> SequentialVerdict:
    """Judge whether live returns are worse than what was claimed when the model was voted on.

    Parameters
    ----------
    returns : ndarray of shape (n_sessions,)
    claimed_sharpe : float
        Annual, of the backtest.
    claimed_spread : float
        Standard deviation of the backtest's daily returns: live's first scale.
    level : float
        Chance that a model as good as claimed is ever called worse.
    """
    below = below_claim(returns, claimed_sharpe, claimed_spread)
    return _verdict({"worse": wealth(below)}, level, level, len(returns))


def below_claim(returns: np.ndarray, claimed_sharpe: float, claimed_spread: float) -> np.ndarray:
    """Compute by how much each scaled day lies below the claimed mean; shape as `returns`."""
    daily = claimed_sharpe / np.sqrt(SESSIONS_PER_YEAR)
    below: np.ndarray = daily - volatility_scaled(returns, claimed_spread)
    return below


def volatility_scaled(returns: np.ndarray, first_spread: float | None = None) -> np.ndarray:
    """Divide each day by the standard deviation known before it.

    Parameters
    ----------
    returns : ndarray of shape (n_sessions, ...)
    first_spread : float, optional
        Standard deviation before the first day; without one the first ten days that are not 0 only give it,
        and are 0 in the result.

    Notes
    -----
    The root of an exponentially weighted mean of squares, half-life 20 sessions; days of 0 leave it as it is.
    """
    decay = 0.5 ** (1 / _HALF_LIFE)
    shape = returns.shape[1:]
    weight = np.full(shape, 0.0 if first_spread is None else 1 / (1 - decay))
    total = weight * (first_spread or 0.0) ** 2
    seen = np.full(shape, 0 if first_spread is None else _WARM_UP)
    scaled = np.zeros(returns.shape)
    for t, day in enumerate(returns):
        known = (seen >= _WARM_UP) & (total > 0)
        spread = np.sqrt(total / np.where(weight > 0, weight, 1.0))
        scaled[t] = np.where(known, day / np.where(known, spread, 1.0), 0.0)
        moved = day != 0
        total = np.where(moved, decay * total + day**2, total)
        weight = np.where(moved, decay * weight + 1, weight)
        seen = seen + moved
    return scaled


def wealth(scaled: np.ndarray) -> np.ndarray:
    """Compute the money of who bets on a positive mean, having begun with 1; shape as `scaled`.

    Notes
    -----
    Waudby-Smith and Ramdas (2024): ``prod(1 + stake x[t])`` is a supermartingale if no mean is above 0, and
    so is its average over stakes; by Ville's inequality it ever reaches 1 / level with a chance of at most
    `level`.
    """
    x = np.clip(scaled, -_CLIP, _CLIP)
    logs = np.stack([np.log1p(stake * x).cumsum(axis=0) for stake in _STAKES])
    largest = logs.max(axis=0)
    money: np.ndarray = np.exp(largest) * np.exp(logs - largest).mean(axis=0)
    return money


def sessions_needed(sharpe_gap: float, level: float = CLAIM_LEVEL) -> int:
    """Compute after how many sessions a gap of Sharpe ratios is found out in at least half of all cases.

    Parameters
    ----------
    sharpe_gap : float
        Annual; of the difference's own Sharpe ratio; positive.
    level : float
        Of one side.

    Notes
    -----
    The money grows by ``stake m - stake^2 (1 + m^2) / 2`` a day in the median, m being the gap a day.
    """
    mean = sharpe_gap / np.sqrt(SESSIONS_PER_YEAR)
    growth = _STAKES * mean - _STAKES**2 * (1 + mean**2) / 2
    days = np.arange(1, 100 * SESSIONS_PER_YEAR)
    money = np.exp(np.minimum(days[:, None] * growth, _LARGE)).mean(axis=1)
    reached = np.flatnonzero(money >= 1 / level)
    return int(days[reached[0]]) if len(reached) else len(days)


def _verdict(money: dict[str, np.ndarray], each: float, level: float, n_sessions: int) -> SequentialVerdict:
    """Take the first claim of any side, each at its own part of the level."""
    first = {side: np.flatnonzero(grown >= 1 / each) for side, grown in money.items()}
    claims = sorted((int(found[0]), side) for side, found in first.items() if len(found))
    return SequentialVerdict(
        sessions=n_sessions,
        level=level,
        e_value=max((float(grown.max()) for grown in money.values() if len(grown)), default=1.0),
        claimed_at=claims[0][0] if claims else None,
        side=claims[0][1] if claims else None,
        sessions_needed=sessions_needed(2.0, each),
    )
