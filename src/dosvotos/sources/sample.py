"""USD/COP.SIM: a simulated market of 5-minute bars and 40 macro variables, calibrated to public statistics.

Each day is drawn from a generator seeded by that day alone and levels are cumulated from a fixed first day,
so no value depends on where the simulation ends or on the first session asked for. ``edge`` plants a drift
that the macro changes visible at a session's first bar announce: planted and generous; real markets are not
like this.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import FINANCING_SOURCES, MACRO_SOURCES
from dosvotos.contracts.parameters import SampleMarketParams
from dosvotos.errors import ParameterError
from dosvotos.hashing import digest_json, short
from dosvotos.market.alignment import known_history
from dosvotos.market.calendar import (
    BAR,
    BARS_PER_SESSION,
    LAST_SLOT,
    closed_days_around,
    published_at,
    scheduled_sessions,
    session_bar_times,
    session_dates,
)

SIMULATOR_VERSION: Final = 1
FIRST_SESSION: Final = date(2020, 1, 2)
MACRO_LEAD: Final = pd.DateOffset(months=18)
"""How far macro values reach back before the first bar: z-scores need 252 of them."""
SIGNAL_WEIGHTS: Final = {"dxy": 0.5, "brent": -0.5, "usdmxn": 0.5}
SIGNAL_LIMIT: Final = 2.0

_SPOT: Final = "fxrt_spot_usdcop_col_d_usdcop"
_FIRST_MONTH: Final = np.datetime64("2018-07")
"""Where macro walks begin: MACRO_LEAD before the first session."""
_STREAMS: Final = {"session": 1, "wicks": 2, "daily": 3, "monthly": 4, "quarterly": 5, "policy": 6}
_STUDENT_DOF: Final = 5
_STUDENT_LIMIT: Final = 8.0
_POLICY_STEP: Final = 0.25
_DECIMALS: Final = 5
_LAST_ENTRY_SLOT: Final = LAST_SLOT - 1
_ROUND_TRIPS_WORTH = 2


class SimulatedMarket(NamedTuple):
    """What the market has shown by some moment."""

    bars: pd.DataFrame
    """timestamp (bar open, ``datetime64[us, UTC]``), open, high, low, close (COP per USD), volume (0)."""
    macro: pd.DataFrame
    """variable, observation_date (date), value in the variable's unit."""


class _Walk(NamedTuple):
    """A walk that returns to its level; std and growth a step, in percent of the level where relative."""

    relative: bool
    level: float
    std: float
    half_life: float
    growth: float = 0.0


class _Session(NamedTuple):
    level: float
    keep: float
    """Share of a deviation from the level that a night leaves."""
    std: float
    """Of the log return from the first bar's close to the last bar's."""
    slot_std: np.ndarray
    """Of each bar's log return, shape (60,); the first, open to close, is as volatile as the second."""
    overnight_std: np.ndarray
    """From the last close to the first bar's close over 1, over 2 or 3, and over more calendar days."""
    wick_mean: np.ndarray
    """Mean log distance of high and of low from the body, shape (60,)."""


class _FollowingRate(NamedTuple):
    follows: str
    spread: float


class _Calibration(NamedTuple):
    session: _Session
    daily: dict[str, _Walk]
    correlation: pd.DataFrame
    """Of the spot's return and the daily walks' changes, in this order."""
    monthly: dict[str, _Walk]
    quarterly: dict[str, _Walk]
    policy_rates: dict[str, _Walk]
    daily_rates: dict[str, _FollowingRate]


class _Noise(NamedTuple):
    moves: np.ndarray
    """Log moves of shape (n_sessions, 61): the gap to the open, then each bar's open to close."""
    daily: np.ndarray
    """Their sum with unit variance, shape (n_sessions,)."""


def simulate_market(
    params: SampleMarketParams, variables: Mapping[str, MacroVariable], until: pd.Timestamp
) -> SimulatedMarket:
    """Simulate the market as seen at one moment.

    Parameters
    ----------
    params : SampleMarketParams
    variables : mapping of MacroVariable by full name
        Their publication rules and ages; one the simulator does not know stays absent.
    until : Timestamp, timezone-aware
        Bars closed and observations published at or before it are included.

    Returns
    -------
    SimulatedMarket
        Bars from the session ``params.start`` on, macro values from 18 months earlier on. No NaN.

    Raises
    ------
    ParameterError
        If ``params.start`` lies before the simulation's first session or after `until`.

    Notes
    -----
    Daily values exist on weekdays open in the variable's release zone; the first after a closed day shows
    what moved meanwhile. USD/COP's own is the session's last close, so it begins with the sessions.
    """
    last_day = until.tz_convert("UTC").date()
    if not FIRST_SESSION <= params.start <= last_day:
        raise ParameterError(
            f"sample_market.start: must lie from {FIRST_SESSION} to now ({last_day}), was {params.start}"
        )
    sessions = scheduled_sessions(FIRST_SESSION, last_day)
    noise = _session_noise(params.seed, sessions)
    observed = _observe(_macro_levels(params.seed, np.datetime64(last_day), sessions, noise.daily), variables)
    opens = pd.DatetimeIndex([session_bar_times(day)[0] for day in sessions]).as_unit("us")
    prices = _prices(noise.moves, _visible_signal(observed, variables, opens + BAR), params.edge)
    bars = _bars(opens, prices, _wicks(params.seed, sessions))
    spot = _observe({_SPOT: pd.Series(prices[:, -1], index=sessions)}, variables)
    macro = pd.concat([*observed.values(), *spot.values()])
    return SimulatedMarket(_closed_by(until, bars, params.start), _published_by(until, macro, params.start))


def feed_id(params: SampleMarketParams) -> str:
    """Name this market among others: "sample-" and 12 digits that change with any parameter."""
    content = {"simulator": SIMULATOR_VERSION, **params.model_dump(mode="json")}
    return f"sample-{short(digest_json(content))}"


def planted_signal(
    dxy_change: np.ndarray | float,
    brent_change: np.ndarray | float,
    usdmxn_change: np.ndarray | float,
) -> np.ndarray:
    """Compute the signal s_d that a session's drift is planted on.

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
    calibration = _calibration()
    names = [MACRO_SOURCES[short_name] for short_name in SIGNAL_WEIGHTS]
    weights = np.array(list(SIGNAL_WEIGHTS.values()))
    spread = np.sqrt(weights @ calibration.correlation.loc[names, names].to_numpy() @ weights)
    changes = (dxy_change, brent_change, usdmxn_change)
    mixed = sum(
        weight * np.asarray(change, dtype=float) / (calibration.daily[name].std / 100)
        for weight, change, name in zip(weights, changes, names, strict=True)
    )
    signal: np.ndarray = np.nan_to_num(np.clip(mixed / spread, -SIGNAL_LIMIT, SIGNAL_LIMIT), nan=0.0)
    return signal


def oracle_targets(rows: pd.DataFrame, edge: float, cost: float) -> np.ndarray:
    """Trade as one who knows the planted drift.

    Parameters
    ----------
    rows : DataFrame of shape (n_bars, ...)
        Index: bar open, UTC. Columns dxy_change_1d, brent_change_1d, usdmxn_change_1d, time_normalized.
    edge : float
        That of the simulated market.
    cost : float
        Fraction of the traded notional paid a side.

    Returns
    -------
    ndarray of int8, shape (n_bars,)
        Position wanted at each bar's close, filled at the next bar's close.

    Notes
    -----
    The rule: at a session's first row the oracle takes the signal's direction if the drift left after the
    fill exceeds twice the cost of a round trip, and holds it until the order to close fills at the last bar's
    close. It never stays overnight, where no drift is planted: a position kept would save a round trip only
    when the next signal agrees, and bear the gap's risk each night. Asking for twice a round trip's cost
    trades a fifth less than breaking even would and has the higher Sharpe ratio.
    """
    times = pd.DatetimeIndex(rows.index)
    _, first, lengths = np.unique(session_dates(times), return_index=True, return_counts=True)
    slot = np.rint(rows["time_normalized"].to_numpy() * LAST_SLOT).astype(int)
    signal = planted_signal(
        *(rows[f"{short_name}_change_1d"].to_numpy(float)[first] for short_name in SIGNAL_WEIGHTS)
    )
    bars_left = np.maximum(_LAST_ENTRY_SLOT - slot[first], 0)
    worth_it = np.abs(_drift_per_bar(signal, edge)) * bars_left > _ROUND_TRIPS_WORTH * 2 * cost
    targets = np.repeat(np.sign(signal) * worth_it, lengths)
    return np.where(slot < _LAST_ENTRY_SLOT, targets, 0).astype(np.int8)


def _drift_per_bar(signal: np.ndarray, edge: float) -> np.ndarray:
    return edge * _calibration().session.std * signal / LAST_SLOT


def _session_noise(seed: int, sessions: np.ndarray) -> _Noise:
    calibrated = _calibration().session
    nights = np.diff(sessions, prepend=sessions[:1] - 1).astype(int)
    overnight = calibrated.overnight_std[np.searchsorted([2, 4], nights, side="right")]
    gap_std = np.sqrt(overnight**2 - calibrated.slot_std[0] ** 2)
    std = np.column_stack([gap_std, np.tile(calibrated.slot_std, (len(sessions), 1))])
    moves = std * _student_draws(seed, "session", sessions, 1 + BARS_PER_SESSION)
    return _Noise(moves, moves.sum(axis=1) / np.sqrt((std**2).sum(axis=1)))


def _prices(noise: np.ndarray, signal: np.ndarray, edge: float) -> np.ndarray:
    """Each session's open and 60 closes, shape (n_sessions, 61); each night pulls the price to its level."""
    calibrated = _calibration().session
    moves = noise.copy()
    moves[:, 2:] *= np.sqrt(1 - edge**2)
    moves[:, 2:] += _drift_per_bar(signal, edge)[:, None]
    path = moves.cumsum(axis=1)
    ends = np.array(list(accumulate(path[:, -1], lambda end, move: calibrated.keep * end + move)))
    starts = calibrated.keep * np.concatenate([[0.0], ends[:-1]])
    prices: np.ndarray = calibrated.level * np.exp(starts[:, None] + path)
    return prices.round(_DECIMALS)


def _wicks(seed: int, sessions: np.ndarray) -> np.ndarray:
    """Log distance of each bar's high and low from its body, shape (n_sessions, 2, 60)."""
    draws = [rng.exponential(size=(2, BARS_PER_SESSION)) for rng in _generators(seed, "wicks", sessions)]
    wicks: np.ndarray = np.array(draws) * _calibration().session.wick_mean
    return wicks


def _bars(opens: pd.DatetimeIndex, prices: np.ndarray, wicks: np.ndarray) -> pd.DataFrame:
    first, last = prices[:, :-1], prices[:, 1:]
    columns = {
        "open": first,
        "high": np.round(np.maximum(first, last) * np.exp(wicks[:, 0]), _DECIMALS),
        "low": np.round(np.minimum(first, last) * np.exp(-wicks[:, 1]), _DECIMALS),
        "close": last,
    }
    times = opens.repeat(BARS_PER_SESSION) + BAR * np.tile(np.arange(BARS_PER_SESSION), len(opens))
    frame = pd.DataFrame({"timestamp": times} | {name: v.ravel() for name, v in columns.items()})
    return frame.assign(volume=0)


def _visible_signal(
    observed: Mapping[str, pd.DataFrame],
    variables: Mapping[str, MacroVariable],
    first_closes: pd.DatetimeIndex,
) -> np.ndarray:
    names = [MACRO_SOURCES[short_name] for short_name in SIGNAL_WEIGHTS]
    histories = [known_history(observed[name], variables[name].ffill_max_days) for name in names]
    return planted_signal(*(history.at(first_closes).change for history in histories))


def _macro_levels(
    seed: int, last_day: np.datetime64, sessions: np.ndarray, spot_shocks: np.ndarray
) -> dict[str, pd.Series]:
    """Every variable but the spot, on weekdays or on the first days of months and quarters."""
    calibration = _calibration()
    days = np.arange(_FIRST_MONTH.astype("datetime64[D]"), last_day + 1)
    weekdays = days[np.is_busday(days)]
    months = np.arange(_FIRST_MONTH, last_day.astype("datetime64[M]") + 1)
    factors = _correlated_draws(seed, weekdays, sessions, spot_shocks)
    return {
        **_walk(calibration.daily, factors, weekdays),
        **_independent_walks(seed, "monthly", calibration.monthly, months),
        **_independent_walks(seed, "quarterly", calibration.quarterly, months[::3]),
        **_policy_rates(seed, weekdays, months),
    }


def _correlated_draws(
    seed: int, weekdays: np.ndarray, sessions: np.ndarray, spot_shocks: np.ndarray
) -> np.ndarray:
    """Shocks of unit variance to the daily walks, shape (n_weekdays, n_walks), correlated with the spot's."""
    factor = np.linalg.cholesky(_calibration().correlation.to_numpy())
    draws = _student_draws(seed, "daily", weekdays, len(factor))
    draws[np.searchsorted(weekdays, sessions), 0] = spot_shocks
    return np.array([factor @ draw for draw in draws])[:, 1:]


def _independent_walks(
    seed: int, stream: str, walks: Mapping[str, _Walk], months: np.ndarray
) -> dict[str, pd.Series]:
    return _walk(walks, _student_draws(seed, stream, months, len(walks)), months)


def _walk(walks: Mapping[str, _Walk], shocks: np.ndarray, days: np.ndarray) -> dict[str, pd.Series]:
    relative, level, std, half_life, growth = map(np.array, zip(*walks.values(), strict=True))
    keep = 0.5 ** (1 / half_life)
    deviation = np.array(list(accumulate(shocks * std, lambda before, step: keep * before + step)))
    change = deviation + growth * np.arange(len(days))[:, None]
    values = np.where(relative, level * np.exp(change / 100), level + change)
    return {name: pd.Series(values[:, i], index=days) for i, name in enumerate(walks)}


def _policy_rates(seed: int, weekdays: np.ndarray, months: np.ndarray) -> dict[str, pd.Series]:
    """Fed funds, monthly, and the daily rates that follow a central bank at a spread."""
    calibration = _calibration()
    wanted = _independent_walks(seed, "policy", calibration.policy_rates, months)
    decided = {bank: _in_steps(wanted[bank], walk.level) for bank, walk in calibration.policy_rates.items()}
    daily = {
        name: decided[rate.follows].reindex(weekdays, method="ffill") + rate.spread
        for name, rate in calibration.daily_rates.items()
    }
    return {FINANCING_SOURCES["fed_funds"]: decided["fed_funds"], **daily}


def _in_steps(wanted: pd.Series, start: float) -> pd.Series:
    """Move the rate in whole steps, and only once the wanted rate lies a step away."""

    def decide(rate: float, goal: float) -> float:
        return rate + _POLICY_STEP * float(np.trunc((goal - rate) / _POLICY_STEP))

    return pd.Series(list(accumulate(wanted, decide, initial=start))[1:], index=wanted.index)


def _observe(
    levels: Mapping[str, pd.Series], variables: Mapping[str, MacroVariable]
) -> dict[str, pd.DataFrame]:
    """Observations with their publication, by variable; none on a closed day of a daily variable."""
    return {
        name: _observations(name, series, variables[name])
        for name, series in levels.items()
        if name in variables
    }


def _observations(name: str, series: pd.Series, variable: MacroVariable) -> pd.DataFrame:
    days = series.index.to_numpy("datetime64[D]")
    if variable.frequency == "daily":
        seen = np.is_busday(days, holidays=closed_days_around(days, variable.publication.zone))
        series, days = series[seen], days[seen]
    return pd.DataFrame(
        {
            "variable": name,
            "observation_date": days,
            "published_at": published_at(days.tolist(), variable.publication),
            "value": series.to_numpy().round(_DECIMALS),
        }
    )


def _published_by(until: pd.Timestamp, macro: pd.DataFrame, start: date) -> pd.DataFrame:
    first = pd.Timestamp(start) - MACRO_LEAD
    shown = macro[(macro["published_at"] <= until) & (macro["observation_date"] >= first)]
    dates = shown["observation_date"].dt.date
    return shown.assign(observation_date=dates).drop(columns="published_at").reset_index(drop=True)


def _closed_by(until: pd.Timestamp, bars: pd.DataFrame, start: date) -> pd.DataFrame:
    times = pd.DatetimeIndex(bars["timestamp"])
    shown = (times + BAR <= until) & (session_dates(times) >= np.datetime64(start))
    return bars[shown].reset_index(drop=True)


def _student_draws(seed: int, stream: str, days: np.ndarray, n_draws: int) -> np.ndarray:
    """Student draws scaled to unit variance and bounded, shape (n_days, n_draws)."""
    draws = [rng.standard_t(_STUDENT_DOF, n_draws) for rng in _generators(seed, stream, days)]
    unit: np.ndarray = np.array(draws) * np.sqrt((_STUDENT_DOF - 2) / _STUDENT_DOF)
    return unit.clip(-_STUDENT_LIMIT, _STUDENT_LIMIT)


def _generators(seed: int, stream: str, days: np.ndarray) -> Iterator[np.random.Generator]:
    for day in days.astype("datetime64[D]").astype(int):
        yield np.random.default_rng([seed, _STREAMS[stream], day])


@cache
def _calibration() -> _Calibration:
    content = json.loads(files("dosvotos.sources").joinpath("sample_calibration.json").read_text("utf-8"))
    return _Calibration(
        session=_read_session(content["session"]),
        correlation=pd.DataFrame.from_dict(
            content["correlation"], orient="index", columns=list(content["correlation"])
        ),
        daily_rates={n: _FollowingRate(**rate) for n, rate in content["daily_rates"].items()},
        daily=_read_walks(content["daily"]),
        monthly=_read_walks(content["monthly"]),
        quarterly=_read_walks(content["quarterly"]),
        policy_rates=_read_walks(content["policy_rates"]),
    )


def _read_walks(section: Mapping[str, Any]) -> dict[str, _Walk]:
    return {name: _Walk(**walk) for name, walk in section.items()}


def _read_session(content: Mapping[str, Any]) -> _Session:
    profile = np.array([content["slot_volatility_1_59"][0], *content["slot_volatility_1_59"]])
    std = content["session_std_pct"] / 100
    return _Session(
        level=content["level"],
        keep=0.5 ** (1 / content["half_life"]),
        std=std,
        slot_std=std * profile / np.linalg.norm(profile[1:]),
        overnight_std=np.array(content["overnight_std_pct_1_3_4_days"]) / 100,
        wick_mean=(content["range_mean_bp"] - content["body_mean_bp"]) / 2 / 10_000 * profile,
    )
