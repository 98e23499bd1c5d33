"""Parameters of the simulator, from statistics of the real market in ``calibration.json``.

``real`` are published statistics, ``measured`` further ones of the same files, ``fitted`` parameters without
a published counterpart, ``chosen`` values that keep every variable plausible. It holds no price or value of a
vendor.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.simulation.draws import StudentT

SPOT = "fxrt_spot_usdcop_col_d_usdcop"


class Volatility(NamedTuple):
    """Volatility from session to session: a regime, an AR(1) and an independent component, lognormal."""

    high_share: float
    """Share of sessions in the high regime."""
    spell_high: float
    """Mean length of a high regime in sessions."""
    spell_low: float
    high_over_low: float
    slow_sd: float
    slow_persistence: float
    session_sd: float


class Jumps(NamedTuple):
    """Bars with news, which are more volatile."""

    share: float
    """Of bars."""
    size: float
    """Their volatility over that of other bars."""


class Bursts(NamedTuple):
    """Volatility clustering within a session: two AR(1) components of log volatility."""

    sd: float
    fast_share: float
    """Share of the variance in the less persistent component."""
    fast_persistence: float
    slow_persistence: float


class Bounce(NamedTuple):
    """Bid-ask bounce: closes off the true price, which the next bar reverts."""

    share: float
    """Of bars."""
    size: float
    """Standard deviation of the distance, over the bar's own."""


class LaggedResponse(NamedTuple):
    """Equal moving-average weights of a bar's innovation in later bars: they set a session's variance."""

    total: float
    """Sum of the weights."""
    n_lags: int
    """Lags with a weight, from the second on."""


class Prices(NamedTuple):
    """Parameters of USD/COP; standard deviations are of log returns."""

    level: float
    persistence: float
    """AR(1) coefficient of the log deviation from the level, a session."""
    session_std: float
    """From the first bar's close to the last bar's."""
    slot_std: np.ndarray
    """Of each bar's innovation, shape (60,); the first bar's, open to close, equals the second's."""
    bounce: Bounce
    lagged_response: LaggedResponse
    bar_distribution: StudentT
    bursts: Bursts
    jumps: Jumps
    volatility: Volatility
    weekday_factors: np.ndarray
    """Factors on a session's volatility, Monday to Friday; mean square 1."""
    overnight_std: np.ndarray
    """From last close to first close, shape (3,): after 1, after 2 or 3, and after more calendar days."""
    overnight_distribution: StudentT
    zero_share: float
    """Share of bars whose close repeats the one before."""
    wick_shape: float
    wick_over_sigma: float
    """Mean log distance of high and of low from the body, over the bar's standard deviation."""


class Factors(NamedTuple):
    """The correlated daily variables; arrays in the order of `names`."""

    names: tuple[str, ...]
    relative: np.ndarray
    """Whether changes are percent of the level (logs), or in the variable's own unit."""
    level: np.ndarray
    persistence: np.ndarray
    """AR(1) coefficient of the deviation from the level, a weekday."""
    momentum: np.ndarray
    """AR(1) coefficient of what is added to the deviation each weekday."""
    innovation_std: np.ndarray
    cholesky: np.ndarray
    """Lower triangular, shape (1 + n, 1 + n): correlates unit draws, of which USD/COP's is the first."""
    distribution: StudentT


class MeanRevertingWalk(NamedTuple):
    """An AR(1) around a growing level; std and growth are per step, in percent of the level if `relative`."""

    relative: bool
    level: float
    std: float
    half_life: float
    growth: float = 0.0


class FollowingRate(NamedTuple):
    """A daily rate at a spread over a central bank's rate, plus independent noise (percentage points)."""

    follows: str
    spread: float
    noise_std: float


class Calibration(NamedTuple):
    """All parameters of the simulator."""

    prices: Prices
    factors: Factors
    monthly: dict[str, MeanRevertingWalk]
    quarterly: dict[str, MeanRevertingWalk]
    policy_rates: dict[str, MeanRevertingWalk]
    walk_distribution: StudentT
    """Of the shocks of monthly and quarterly variables and policy rates."""
    policy_step: float
    daily_rates: dict[str, FollowingRate]
    signal_std: np.ndarray
    """Standard deviations of the daily changes of dxy, brent and usdmxn, as fractions."""
    signal_correlation: np.ndarray


@cache
def calibration() -> Calibration:
    """Return the parameters, read once a process."""
    content = _content()
    real, fitted, chosen = content["real"], content["fitted"], content["chosen"]
    names = [MACRO_SOURCES[short] for short in ("dxy", "brent", "usdmxn")]
    return Calibration(
        prices=_read_prices(real, fitted, chosen),
        factors=_read_factors(real["factors"], fitted["factors"], chosen["daily"]),
        monthly=_read_walks(chosen["monthly"]),
        quarterly=_read_walks(chosen["quarterly"]),
        policy_rates=_read_walks(chosen["policy_rates"]),
        walk_distribution=StudentT(**chosen["walks"]),
        policy_step=chosen["policy_step"],
        daily_rates={n: FollowingRate(**rate) for n, rate in chosen["daily_rates"].items()},
        signal_std=np.array([real["factors"]["std"][name] for name in names]) / 100,
        signal_correlation=_correlation(real["factors"]["corr"], names),
    )


def session_std(slot_std: np.ndarray, lagged_response: LaggedResponse, std_ratio: float) -> float:
    """Standard deviation of a session's move, from those of the innovations of slots 1 to 59.

    Lags beyond the session's end are cut off; `std_ratio` is that of `response_per_lag`.
    """
    after = np.arange(len(slot_std))[::-1]
    weight = 1 + response_per_lag(lagged_response, std_ratio) * np.clip(after - 1, 0, lagged_response.n_lags)
    return float(np.linalg.norm(weight * slot_std))


def response_per_lag(lagged_response: LaggedResponse, std_ratio: float) -> float:
    """Moving-average weight of each lag that scales the std of a move's total effect by `std_ratio`."""
    return (std_ratio * (1 + lagged_response.total) - 1) / lagged_response.n_lags


def real_statistics() -> dict[str, Any]:
    """Return the real market's published statistics under their published names."""
    return dict(_content()["real"])


def measured_statistics() -> dict[str, list[float]]:
    """Return further statistics of the real market, as measured by `dosvotos.simulation.statistics`.

    ``return_size`` and ``night_size``, in standard deviations, which the shares ``share_larger`` exceed;
    ``autocorrelation_1_12`` and ``abs_autocorrelation_1_12`` of 5-minute returns.
    """
    return dict(_content()["measured"])


def _content() -> dict[str, Any]:
    """Content of the file, with the columns of its correlation matrix named."""
    text = files("dosvotos.simulation").joinpath("calibration.json").read_text("utf-8")
    content: dict[str, Any] = json.loads(text)
    factors = content["real"]["factors"]
    factors["corr"] = {
        name: dict(zip(factors["corr"], row, strict=True)) for name, row in factors["corr"].items()
    }
    return content


def _read_prices(real: Mapping[str, Any], fitted: Mapping[str, Any], chosen: Mapping[str, Any]) -> Prices:
    intraday, daily, bars = real["intraday"], real["daily"], fitted["bars"]
    regimes, overnight = daily["regimes"], daily["overnight_std_pct"]
    profile = np.array(intraday["slot_vol_profile_1_59"]) ** fitted["profile_power"]
    lagged_response = LaggedResponse(**fitted["lagged_response"])
    wanted_std = daily["intraday_std_pct"] / 100
    scale = wanted_std / session_std(profile, lagged_response, std_ratio=1.0)
    weekdays = np.array(fitted["weekday_factors"])
    return Prices(
        level=chosen["price"]["level"],
        persistence=0.5 ** (1 / chosen["price"]["half_life"]),
        session_std=wanted_std,
        slot_std=scale * np.array([profile[0], *profile]),
        bounce=Bounce(**fitted["bounce"]),
        lagged_response=lagged_response,
        bar_distribution=StudentT(bars["t_dof"], bars["t_limit"]),
        bursts=Bursts(**fitted["bursts"]),
        jumps=Jumps(**fitted["jumps"]),
        volatility=Volatility(
            regimes["high_vol_share"], regimes["mean_spell_high_days"], regimes["mean_spell_low_days"],
            **fitted["volatility"],
        ),
        weekday_factors=weekdays / np.sqrt((weekdays**2).mean()),
        overnight_std=np.array([overnight["gap1"], overnight["gap3"], overnight["gap4plus"]]) / 100,
        overnight_distribution=StudentT(**fitted["overnight"]),
        zero_share=intraday["zero_return_share"],
        wick_shape=fitted["wicks"]["gamma_shape"],
        wick_over_sigma=fitted["wicks"]["over_sigma"],
    )  # fmt: skip


def _read_factors(real: Mapping[str, Any], fitted: Mapping[str, Any], chosen: Mapping[str, Any]) -> Factors:
    names = list(chosen)
    persistence = np.array([0.5 ** (1 / chosen[name]["half_life"]) for name in names])
    std, autocorrelation = (np.array([real[what][name] for name in names]) for what in ("std", "ac1"))
    momentum = 2 * (1 + autocorrelation) / (1 + persistence) - 1
    correlation = _correlation(real["corr"], [SPOT, *names])
    return Factors(
        names=tuple(names),
        relative=np.array([real["kind"][name].startswith("log") for name in names]),
        level=np.array([chosen[name]["level"] for name in names]),
        persistence=persistence,
        momentum=momentum,
        innovation_std=std * np.sqrt((1 - persistence * momentum) * (1 + autocorrelation)),
        cholesky=np.linalg.cholesky(_innovation_correlation(correlation, persistence, momentum)),
        distribution=StudentT(**fitted),
    )


def _innovation_correlation(wanted: np.ndarray, persistence: np.ndarray, momentum: np.ndarray) -> np.ndarray:
    """Correlation of the innovations that gives the variables' changes the wanted correlation.

    A variable's change is its innovations filtered by ``(1 - B) / ((1 - persistence B)(1 - momentum B))``;
    different filters reduce the correlation of their outputs by the cosine of their impulse responses.
    """
    responses = _change_responses(persistence, momentum)
    responses = np.vstack([np.eye(1, responses.shape[1]), responses])
    responses /= np.linalg.norm(responses, axis=1, keepdims=True)
    return np.asarray(wanted / (responses @ responses.T))


def _change_responses(persistence: np.ndarray, momentum: np.ndarray, n_steps: int = 2_000) -> np.ndarray:
    """Impulse response of each variable's changes to a unit innovation, shape (n_variables, n_steps)."""
    innovation, deviation = np.ones(len(persistence)), np.ones(len(persistence))
    deviations = [deviation]
    for _ in range(n_steps - 1):
        innovation = momentum * innovation
        deviation = persistence * deviation + innovation
        deviations.append(deviation)
    return np.diff(np.array(deviations), axis=0, prepend=0.0).T


def _correlation(content: Mapping[str, Mapping[str, float]], names: list[str]) -> np.ndarray:
    return pd.DataFrame(content).loc[names, names].to_numpy(float)


def _read_walks(section: Mapping[str, Any]) -> dict[str, MeanRevertingWalk]:
    return {name: MeanRevertingWalk(**walk) for name, walk in section.items()}
