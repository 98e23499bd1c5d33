"""The planted drift of a simulated session, and the oracle: a trader who knows it."""

from typing import Final

import numpy as np
import pandas as pd

from dosvotos.market.calendar import LAST_SLOT, session_dates
from dosvotos.simulation.calibration import calibration

SIGNAL_WEIGHTS: Final = {"dxy": 0.5, "brent": -0.5, "usdmxn": 0.5}
SIGNAL_LIMIT: Final = 2.0

_LAST_ENTRY_SLOT: Final = LAST_SLOT - 1
_MIN_ROUND_TRIPS: Final = 2
"""Round trips whose cost the expected drift must exceed."""


def planted_signal(
    dxy_change: np.ndarray | float, brent_change: np.ndarray | float, usdmxn_change: np.ndarray | float
) -> np.ndarray:
    """Compute the signal s_d of a session, to which its planted drift is proportional.

    Parameters
    ----------
    dxy_change, brent_change, usdmxn_change : float or ndarray of shape (n,)
        ``*_change_1d`` visible at the session's first bar, as fractions (0.00446 is 0.446%).

    Returns
    -------
    ndarray of shape (n,)
        In [-2, 2]; 0 where a change is missing (NaN).

    Notes
    -----
    ``s_d = clip((0.5 dxy/std - 0.5 brent/std + 0.5 usdmxn/std) / sd, +-2)``, each change over its calibrated
    daily standard deviation, sd that of the weighted sum under their calibrated correlations.
    """
    known = calibration()
    weights = np.array(list(SIGNAL_WEIGHTS.values()))
    std_of_sum = np.sqrt(weights @ known.signal_correlation @ weights)
    changes = (dxy_change, brent_change, usdmxn_change)
    weighted_sum = sum(
        weight * np.asarray(change, dtype=float) / std
        for weight, change, std in zip(weights, changes, known.signal_std, strict=True)
    )
    signal = np.clip(weighted_sum / std_of_sum, -SIGNAL_LIMIT, SIGNAL_LIMIT)
    return np.asarray(np.nan_to_num(signal, nan=0.0))


def oracle_targets(rows: pd.DataFrame, edge: float, cost: float) -> np.ndarray:
    """Return the positions of a trader who knows the planted drift.

    Parameters
    ----------
    rows : DataFrame of shape (n_bars, ...)
        Index: bar open, UTC. Columns dxy_change_1d, brent_change_1d, usdmxn_change_1d, time_normalized.
    edge : float
        The parameter the market was simulated with.
    cost : float
        Cost per side, as a fraction of the traded notional.

    Returns
    -------
    ndarray of int8, shape (n_bars,)
        Position wanted at each bar's close, filled at the next bar's close.

    Notes
    -----
    At a session's first row the oracle takes the direction of the signal if the drift expected after the fill
    exceeds the cost of two round trips, and holds until the exit fills at the last bar's close. It is flat
    overnight, where no drift is planted: holding would save a round trip only when the next signal agrees,
    and bear the gap's risk each night. With a threshold of two round trips instead of one it trades a fifth
    less and has the higher Sharpe ratio.
    """
    times = pd.DatetimeIndex(rows.index)
    _, first, lengths = np.unique(session_dates(times), return_index=True, return_counts=True)
    slot = np.rint(rows["time_normalized"].to_numpy() * LAST_SLOT).astype(int)
    signal = planted_signal(*(rows[f"{name}_change_1d"].to_numpy(float)[first] for name in SIGNAL_WEIGHTS))
    bars_left = np.maximum(_LAST_ENTRY_SLOT - slot[first], 0)
    is_traded = np.abs(drift_per_bar(signal, edge)) * bars_left > _MIN_ROUND_TRIPS * 2 * cost
    targets = np.repeat(np.sign(signal) * is_traded, lengths)
    return np.where(slot < _LAST_ENTRY_SLOT, targets, 0).astype(np.int8)


def drift_per_bar(signal: np.ndarray, edge: float) -> np.ndarray:
    """Log return planted in each of a session's slots 1 to 59."""
    return edge * calibration().prices.session_std * signal / LAST_SLOT
