"""Simulate macro variables: correlated daily factors, policy rates in steps, monthly and quarterly AR(1)s."""

from collections.abc import Mapping
from itertools import accumulate

import numpy as np
import pandas as pd

from dosvotos.contracts.features import FINANCING_SOURCES
from dosvotos.simulation.calibration import MeanRevertingWalk, calibration
from dosvotos.simulation.draws import daily_generators, draw_student_t

FIRST_MONTH = np.datetime64("2018-07")
"""First month of all macro variables, 18 months before the first session."""


def macro_levels(
    seed: int, last_day: np.datetime64, sessions: np.ndarray, spot_shocks: np.ndarray
) -> dict[str, pd.Series]:
    """Simulate every variable but USD/COP, on weekdays or on the first days of months and quarters.

    Parameters
    ----------
    seed : int
    last_day : datetime64[D]
    sessions : ndarray of datetime64[D], shape (n_sessions,)
    spot_shocks : ndarray of shape (n_sessions,)
        USD/COP's daily moves, scaled to unit variance, with which the daily factors are correlated.

    Returns
    -------
    dict of Series by variable, indexed by ``datetime64``
        Unrounded, in the variable's unit, no NaN.
    """
    known = calibration()
    days = np.arange(FIRST_MONTH.astype("datetime64[D]"), last_day + 1)
    weekdays = days[np.is_busday(days)]
    months = np.arange(FIRST_MONTH, last_day.astype("datetime64[M]") + 1)
    return {
        **_factors(seed, weekdays, sessions, spot_shocks),
        **_walks(seed, "monthly", known.monthly, months),
        **_walks(seed, "quarterly", known.quarterly, months[::3]),
        **_rates(seed, weekdays, months),
    }


def _factors(
    seed: int, weekdays: np.ndarray, sessions: np.ndarray, spot_shocks: np.ndarray
) -> dict[str, pd.Series]:
    factors = calibration().factors
    draws = draw_student_t(seed, "daily", weekdays, len(factors.cholesky), factors.distribution)
    draws[np.searchsorted(weekdays, sessions), 0] = spot_shocks
    shocks = np.array([factors.cholesky @ draw for draw in draws])[:, 1:] * factors.innovation_std
    steps = accumulate(shocks, lambda step, shock: factors.momentum * step + shock)
    deviations = np.array(list(accumulate(steps, lambda last, step: factors.persistence * last + step)))
    values = _add_deviation(factors.level, deviations, factors.relative)
    return {name: pd.Series(values[:, i], index=weekdays) for i, name in enumerate(factors.names)}


def _walks(
    seed: int, stream: str, walks: Mapping[str, MeanRevertingWalk], months: np.ndarray
) -> dict[str, pd.Series]:
    relative, level, std, half_life, growth = map(np.array, zip(*walks.values(), strict=True))
    persistence = 0.5 ** (1 / half_life)
    shocks = draw_student_t(seed, stream, months, len(walks), calibration().walk_distribution) * std
    deviations = np.array(list(accumulate(shocks, lambda before, shock: persistence * before + shock)))
    values = _add_deviation(level, deviations + growth * np.arange(len(months))[:, None], relative)
    return {name: pd.Series(values[:, i], index=months) for i, name in enumerate(walks)}


def _add_deviation(level: np.ndarray, deviation: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Level plus deviation; where relative, the deviation is in log percent."""
    return np.where(relative, level * np.exp(np.where(relative, deviation, 0.0) / 100), level + deviation)


def _rates(seed: int, weekdays: np.ndarray, months: np.ndarray) -> dict[str, pd.Series]:
    """Fed funds, monthly, and the daily rates at a spread over a central bank's."""
    known = calibration()
    wanted = _walks(seed, "policy", known.policy_rates, months)
    decided = {
        bank: _in_steps(wanted[bank], walk.level, known.policy_step)
        for bank, walk in known.policy_rates.items()
    }
    noise = [rng.standard_normal(len(known.daily_rates)) for rng in daily_generators(seed, "rates", weekdays)]
    daily = {
        name: decided[rate.follows].reindex(weekdays, method="ffill") + rate.spread + rate.noise_std * own
        for (name, rate), own in zip(known.daily_rates.items(), np.array(noise).T, strict=True)
    }
    return {FINANCING_SOURCES["fed_funds"]: decided["fed_funds"], **daily}


def _in_steps(wanted: pd.Series, start: float, step: float) -> pd.Series:
    """Move a rate in whole steps once the wanted rate is a step away; it stays at or above one step."""

    def decide(rate: float, goal: float) -> float:
        return max(rate + step * float(np.trunc((goal - rate) / step)), step)

    return pd.Series(list(accumulate(wanted, decide, initial=start))[1:], index=wanted.index)
