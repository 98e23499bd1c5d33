"""Small test windows: split rows as L2 hands them on, and tapes."""

from datetime import date

import numpy as np
import pandas as pd

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.market.accounting import Tape
from dosvotos.market.calendar import scheduled_sessions, session_bar_times

START = date(2024, 7, 2)


def sessions(n_sessions: int) -> np.ndarray:
    return scheduled_sessions(START, date(2026, 12, 30))[:n_sessions]


def bar_times(n_sessions: int) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([time for day in sessions(n_sessions) for time in session_bar_times(day)])


def split_rows(n_sessions: int, seed: int = 0, missing: float = 0.0) -> pd.DataFrame:
    """Rows with random features, a share of them missing, and a random walk of closes."""
    random = np.random.default_rng(seed)
    times = bar_times(n_sessions)
    values = random.normal(0, 2, (len(times), len(MARKET_FEATURES)))
    values[random.random(values.shape) < missing / len(MARKET_FEATURES)] = np.nan
    rows = pd.DataFrame(values, index=times, columns=list(MARKET_FEATURES))
    rows["time_normalized"] = np.tile(np.arange(60) / 59, n_sessions)
    rows["policy_rate_difference"] = -5.0
    rows["close"] = 4000 * np.exp(np.cumsum(random.normal(0, 5e-4, len(times))))
    return rows


def tape_of_closes(close: np.ndarray) -> Tape:
    times = bar_times(-(-len(close) // 60))[: len(close)]
    return Tape(times, np.asarray(close, dtype=float), np.full(len(close), -5.0))
