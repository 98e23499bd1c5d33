"""The macro variables: correlated daily factors, policy rates in steps, monthly and quarterly walks."""

from collections.abc import Mapping
from itertools import accumulate

import numpy as np
import pandas as pd

from dosvotos.contracts.features import FINANCING_SOURCES
from dosvotos.simulation.calibration import Walk, calibration
from dosvotos.simulation.draws import generators, student_draws

FIRST_MONTH = np.datetime64("2018-07")
"""Where macro walks begin: 18 months before the first session."""


def macro_levels(
    seed: int, last_day: np.datetime64, sessions: np.ndarray, spot_shocks: np.ndarray
) -> dict[str, pd.Series]:
    """Every variable but the spot, on weekdays or on the first days of months and quarters.

    Parameters
    ----------
    seed : int
    last_day : datetime64[D]
    sessions : ndarray of datetime64[D], shape (n_sessions,)
    spot_shocks : ndarray of shape (n_sessions,)
        The spot's daily moves with unit variance: what the daily factors are correlated with.

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
    draws = student_draws(seed, "daily", weekdays, len(factors.mixing), factors.law)
    draws[np.searchsorted(weekdays, sessions), 0] = spot_shocks
    shocks = np.array([factors.mixing @ draw for draw in draws])[:, 1:] * factors.push_std
    pushes = accumulate(shocks, lambda push, shock: factors.momentum * push + shock)
    deviations = np.array(list(accumulate(pushes, lambda before, push: factors.keep * before + push)))
    values = _around(factors.level, deviations, factors.relative)
    return {name: pd.Series(values[:, i], index=weekdays) for i, name in enumerate(factors.names)}


def _walks(seed: int, stream: str, walks: Mapping[str, Walk], months: np.ndarray) -> dict[str, pd.Series]:
    relative, level, std, half_life, growth = map(np.array, zip(*walks.values(), strict=True))
    keep = 0.5 ** (1 / half_life)
    shocks = student_draws(seed, stream, months, len(walks), calibration().walk_law) * std
    deviations = np.array(list(accumulate(shocks, lambda before, shock: keep * before + shock)))
    values = _around(level, deviations + growth * np.arange(len(months))[:, None], relative)
    return {name: pd.Series(values[:, i], index=months) for i, name in enumerate(walks)}


def _around(level: np.ndarray, deviation: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Values that lie a deviation from their level, in percent (logs) where relative."""
    return np.where(relative, level * np.exp(np.where(relative, deviation, 0.0) / 100), level + deviation)


def _rates(seed: int, weekdays: np.ndarray, months: np.ndarray) -> dict[str, pd.Series]:
    """Fed funds, monthly, and the daily rates that follow a central bank at a spread."""
    known = calibration()
    wanted = _walks(seed, "policy", known.policy_rates, months)
    decided = {
        bank: _in_steps(wanted[bank], walk.level, known.policy_step)
        for bank, walk in known.policy_rates.items()
    }
    noise = [rng.standard_normal(len(known.daily_rates)) for rng in generators(seed, "rates", weekdays)]
    daily = {
        name: decided[rate.follows].reindex(weekdays, method="ffill") + rate.spread + rate.noise_std * own
        for (name, rate), own in zip(known.daily_rates.items(), np.array(noise).T, strict=True)
    }
    return {FINANCING_SOURCES["fed_funds"]: decided["fed_funds"], **daily}


def _in_steps(wanted: pd.Series, start: float, step: float) -> pd.Series:
    """Move the rate in whole steps, only once the wanted rate lies a step away, and never below one step."""

    def decide(rate: float, goal: float) -> float:
        return max(rate + step * float(np.trunc((goal - rate) / step)), step)

    return pd.Series(list(accumulate(wanted, decide, initial=start))[1:], index=wanted.index)
