"""What the simulator knows of the real market: statistics, read from ``calibration.json``.

``real`` are the published statistics, ``measured`` further ones of the same files, ``fitted`` what none of
these states directly, ``chosen`` what keeps every variable plausible. No vendor's price or value is there.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.simulation.draws import Student

SPOT = "fxrt_spot_usdcop_col_d_usdcop"


class Volatility(NamedTuple):
    """How a session's volatility moves: a regime, a slow walk, and the session's own luck, all in logs."""

    high_share: float
    """Of the sessions in the high regime."""
    spell_high: float
    """Mean length in sessions, as of the low regime's."""
    spell_low: float
    high_over_low: float
    slow_sd: float
    slow_persistence: float
    own_sd: float


class Jumps(NamedTuple):
    """Bars on which news falls."""

    share: float
    size: float
    """Their volatility over that of other bars."""


class Bursts(NamedTuple):
    """Log volatility within a session, beside the session's own: two components that fade from bar to bar."""

    sd: float
    fast_share: float
    """Of the variance, in the component that fades first."""
    fast_persistence: float
    slow_persistence: float


class Bounce(NamedTuple):
    """Closes that lie off the price, which the next bar takes back."""

    share: float
    """Of bars."""
    size: float
    """Standard deviation of what they lie off, over the bar's own."""


class Carry(NamedTuple):
    """What bars a little later add to a bar's move, so that a session moves as far as its bars promise."""

    total: float
    bars: int


class Prices(NamedTuple):
    """How USD/COP moves; standard deviations are of log returns."""

    level: float
    keep: float
    """Share of a deviation from the level that a night leaves."""
    session_std: float
    """From the first bar's close to the last bar's."""
    slot_std: np.ndarray
    """Of each bar's innovation, shape (60,); the first, open to close, is as volatile as the second."""
    bounce: Bounce
    carry: Carry
    bar_law: Student
    bursts: Bursts
    jumps: Jumps
    volatility: Volatility
    weekday_factors: np.ndarray
    """On a session's volatility, Monday to Friday; mean square 1."""
    overnight_std: np.ndarray
    """From the last close to the first bar's close over 1, over 2 or 3, and over more calendar days."""
    overnight_law: Student
    zero_share: float
    """Of bars that close where the one before did."""
    wick_shape: float
    wick_over_sigma: float
    """Mean log distance of high and of low from the body, over the bar's standard deviation."""


class Factors(NamedTuple):
    """The daily variables that move together; rows and entries in the order of `names`."""

    names: tuple[str, ...]
    relative: np.ndarray
    """Whether changes are percent of the level (logs), or in the variable's own unit."""
    level: np.ndarray
    keep: np.ndarray
    """Share of a deviation from the level that a weekday leaves."""
    momentum: np.ndarray
    """Autocorrelation of the pushes that move the deviation."""
    push_std: np.ndarray
    mixing: np.ndarray
    """Lower triangular, shape (1 + n, 1 + n): turns unit draws, USD/COP's first, into correlated pushes."""
    law: Student


class Walk(NamedTuple):
    """A walk that returns to its level; std and growth a step, in percent of the level where relative."""

    relative: bool
    level: float
    std: float
    half_life: float
    growth: float = 0.0


class FollowingRate(NamedTuple):
    """A daily rate at a spread over a central bank's, with the noise of a day in percentage points."""

    follows: str
    spread: float
    noise_std: float


class Calibration(NamedTuple):
    """Everything the simulator knows."""

    prices: Prices
    factors: Factors
    monthly: dict[str, Walk]
    quarterly: dict[str, Walk]
    policy_rates: dict[str, Walk]
    walk_law: Student
    """Of the walks' shocks, monthly, quarterly and of policy rates."""
    policy_step: float
    daily_rates: dict[str, FollowingRate]
    signal_std: np.ndarray
    """Standard deviations of the daily changes of dxy, brent and usdmxn, as fractions."""
    signal_correlation: np.ndarray


@cache
def calibration() -> Calibration:
    """Read the calibration."""
    content = _content()
    real, fitted, chosen = content["real"], content["fitted"], content["chosen"]
    names = [MACRO_SOURCES[short] for short in ("dxy", "brent", "usdmxn")]
    return Calibration(
        prices=_read_prices(real, fitted, chosen),
        factors=_read_factors(real["factors"], fitted["factors"], chosen["daily"]),
        monthly=_read_walks(chosen["monthly"]),
        quarterly=_read_walks(chosen["quarterly"]),
        policy_rates=_read_walks(chosen["policy_rates"]),
        walk_law=Student(**chosen["walks"]),
        policy_step=chosen["policy_step"],
        daily_rates={n: FollowingRate(**rate) for n, rate in chosen["daily_rates"].items()},
        signal_std=np.array([real["factors"]["std"][name] for name in names]) / 100,
        signal_correlation=_correlation(real["factors"]["corr"], names),
    )


def session_std(slot_std: np.ndarray, carry: Carry, left: float) -> float:
    """Standard deviation of a session's move from those of the innovations of slots 1 to 59.

    See `carried`; the session's end cuts short what the last ones carry on.
    """
    after = np.arange(len(slot_std))[::-1]
    weight = 1 + carried(carry, left) * np.clip(after - 1, 0, carry.bars)
    return float(np.linalg.norm(weight * slot_std))


def carried(carry: Carry, left: float) -> float:
    """What each of the later bars adds to a bar's move, if `left` of what it comes to is to be left."""
    return (left * (1 + carry.total) - 1) / carry.bars


def real_statistics() -> dict[str, Any]:
    """The real market's published statistics, under their published names."""
    real: dict[str, Any] = _content()["real"]
    return real


def measured_statistics() -> dict[str, list[float]]:
    """Further statistics of the real market, as measured by `dosvotos.simulation.statistics`.

    ``return_size`` and ``night_size``, in standard deviations, that the shares ``share_larger`` exceed;
    ``autocorrelation_1_12`` and ``abs_autocorrelation_1_12`` of 5-minute returns.
    """
    measured: dict[str, list[float]] = _content()["measured"]
    return measured


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        files("dosvotos.simulation").joinpath("calibration.json").read_text("utf-8")
    )
    return content


def _read_prices(real: Mapping[str, Any], fitted: Mapping[str, Any], chosen: Mapping[str, Any]) -> Prices:
    intraday, daily, bars = real["intraday"], real["daily"], fitted["bars"]
    regimes, overnight = daily["regimes"], daily["overnight_std_pct"]
    profile = np.array(intraday["slot_vol_profile_1_59"]) ** fitted["profile_power"]
    carry = Carry(**fitted["carry"])
    wanted_std = daily["intraday_std_pct"] / 100
    scale = wanted_std / session_std(profile, carry, left=1.0)
    weekdays = np.array(fitted["weekday_factors"])
    return Prices(
        level=chosen["price"]["level"],
        keep=0.5 ** (1 / chosen["price"]["half_life"]),
        session_std=wanted_std,
        slot_std=scale * np.array([profile[0], *profile]),
        bounce=Bounce(**fitted["bounce"]),
        carry=carry,
        bar_law=Student(bars["t_dof"], bars["t_limit"]),
        bursts=Bursts(**fitted["bursts"]),
        jumps=Jumps(**fitted["jumps"]),
        volatility=Volatility(
            regimes["high_vol_share"],
            regimes["mean_spell_high_days"],
            regimes["mean_spell_low_days"],
            **fitted["volatility"],
        ),
        weekday_factors=weekdays / np.sqrt((weekdays**2).mean()),
        overnight_std=np.array([overnight["gap1"], overnight["gap3"], overnight["gap4plus"]]) / 100,
        overnight_law=Student(**fitted["overnight"]),
        zero_share=intraday["zero_return_share"],
        wick_shape=fitted["wicks"]["gamma_shape"],
        wick_over_sigma=fitted["wicks"]["over_sigma"],
    )


def _read_factors(real: Mapping[str, Any], fitted: Mapping[str, Any], chosen: Mapping[str, Any]) -> Factors:
    names = list(chosen)
    keep = np.array([0.5 ** (1 / chosen[name]["half_life"]) for name in names])
    std, autocorrelation = (np.array([real[what][name] for name in names]) for what in ("std", "ac1"))
    momentum = 2 * (1 + autocorrelation) / (1 + keep) - 1
    correlation = _correlation(real["corr"], [SPOT, *names])
    return Factors(
        names=tuple(names),
        relative=np.array([real["kind"][name].startswith("log") for name in names]),
        level=np.array([chosen[name]["level"] for name in names]),
        keep=keep,
        momentum=momentum,
        push_std=std * np.sqrt((1 - keep * momentum) * (1 + autocorrelation)),
        mixing=np.linalg.cholesky(_push_correlation(correlation, keep, momentum)),
        law=Student(**fitted),
    )


def _push_correlation(wanted: np.ndarray, keep: np.ndarray, momentum: np.ndarray) -> np.ndarray:
    """Correlation of the pushes under which the changes of the variables have the wanted one.

    A variable's change is its pushes filtered by ``(1 - B) / ((1 - keep B)(1 - momentum B))``; filters that
    differ weaken the correlation of what comes out, by the cosine of their impulse responses.
    """
    responses = _change_responses(keep, momentum)
    responses = np.vstack([np.eye(1, responses.shape[1]), responses])
    responses /= np.linalg.norm(responses, axis=1, keepdims=True)
    return np.asarray(wanted / (responses @ responses.T))


def _change_responses(keep: np.ndarray, momentum: np.ndarray, n_steps: int = 2_000) -> np.ndarray:
    """What a unit push does to the changes of the steps that follow, shape (n_variables, n_steps)."""
    push, deviation = np.ones(len(keep)), np.ones(len(keep))
    deviations = [deviation]
    for _ in range(n_steps - 1):
        push = momentum * push
        deviation = keep * deviation + push
        deviations.append(deviation)
    return np.diff(np.array(deviations), axis=0, prepend=0.0).T


def _correlation(content: Mapping[str, Mapping[str, float]], names: list[str]) -> np.ndarray:
    frame = pd.DataFrame(content).loc[names, names]
    return frame.to_numpy(float)


def _read_walks(section: Mapping[str, Any]) -> dict[str, Walk]:
    return {name: Walk(**walk) for name, walk in section.items()}
