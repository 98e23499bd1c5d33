"""USD/COP.SIM: a simulated market of 5-minute bars and 40 macro variables, calibrated to public statistics.

Prefix-stable: each day has a generator of its own and levels accumulate from a fixed first day, so a value
depends neither on the end of the simulation nor on the first session asked for. ``edge`` plants a drift in
each session, which macro changes visible at its first bar predict: planted and generous; real markets are not
like this.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.errors import ParameterError
from dosvotos.market.alignment import known_at
from dosvotos.market.calendar import (
    BAR,
    BARS_PER_SESSION,
    BOGOTA,
    closed_days_around,
    published_at,
    scheduled_sessions,
    session_bar_times,
    session_dates,
)
from dosvotos.simulation.calibration import SPOT
from dosvotos.simulation.macro import macro_levels
from dosvotos.simulation.oracle import SIGNAL_WEIGHTS, drift_per_bar, planted_signal
from dosvotos.simulation.prices import SessionNoise, bar_columns, session_noise, session_prices

FIRST_SESSION: Final = date(2020, 1, 2)
MACRO_WARMUP: Final = pd.DateOffset(months=18)
"""Macro history before the first session: z-scores need 252 business days."""

_DECIMALS: Final = 5


class SimulatedMarket(NamedTuple):
    """Bars and macro values known at one moment."""

    bars: pd.DataFrame
    """timestamp (bar open, ``datetime64[us, UTC]``), open, high, low, close (COP per USD), volume (0)."""
    macro: pd.DataFrame
    """variable, observation_date (date), value in the variable's unit."""


def simulate_market(
    params: SampleMarketParams, variables: Mapping[str, MacroVariable], until: pd.Timestamp
) -> SimulatedMarket:
    """Simulate the market up to one moment.

    Parameters
    ----------
    params : SampleMarketParams
    variables : mapping of MacroVariable by full name
        For their publication rules and `ffill_max_days`; a variable the simulator does not know is left out.
    until : Timestamp, timezone-aware
        Only bars closed and observations published by then are returned.

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
    Daily values exist on weekdays that are business days in the zone of the variable's publication rule; the
    first after a closed day includes the closed day's move. The daily USD/COP is the session's last close, so
    it begins with the sessions.
    """
    last_day = until.tz_convert("UTC").date()
    if not FIRST_SESSION <= params.start <= last_day:
        raise ParameterError(
            f"sample_market.start: must lie from {FIRST_SESSION} to now ({last_day}), was {params.start}"
        )
    sessions = scheduled_sessions(FIRST_SESSION, last_day)
    noise = session_noise(params.seed, sessions, params.edge)
    levels = macro_levels(params.seed, np.datetime64(last_day), sessions, noise.daily_shocks)
    observed = _observations_by_variable(levels, variables)
    first_opens = _first_opens(sessions)
    signal = _visible_signal(observed, variables, first_opens + BAR)
    moves = noise.moves.copy()
    moves[:, 2:] += drift_per_bar(signal, params.edge)[:, None]
    prices = session_prices(moves, noise.stale)
    bars = _bars(first_opens, prices, noise)
    spot = _observations_by_variable({SPOT: pd.Series(prices[:, -1], index=sessions)}, variables)
    macro = pd.concat([*observed.values(), *spot.values()])
    return SimulatedMarket(_closed_by(until, bars, params.start), _published_by(until, macro, params.start))


def _first_opens(sessions: np.ndarray) -> pd.DatetimeIndex:
    """Return the open of each session's first bar, UTC; Bogota has no daylight saving time."""
    midnights = pd.DatetimeIndex(sessions).tz_localize(BOGOTA).tz_convert("UTC").as_unit("us")
    return midnights + (session_bar_times(sessions[0])[0] - midnights[0])


def _bars(first_opens: pd.DatetimeIndex, prices: np.ndarray, noise: SessionNoise) -> pd.DataFrame:
    offsets = BAR * np.tile(np.arange(BARS_PER_SESSION), len(first_opens))
    times = first_opens.repeat(BARS_PER_SESSION) + offsets
    columns = {name: values.ravel() for name, values in bar_columns(prices, noise.wicks).items()}
    return pd.DataFrame({"timestamp": times, **columns, "volume": 0})


def _visible_signal(
    observed: Mapping[str, pd.DataFrame],
    variables: Mapping[str, MacroVariable],
    first_closes: pd.DatetimeIndex,
) -> np.ndarray:
    """Signal of each session, from the changes visible when its first bar closes."""
    names = [MACRO_SOURCES[short_name] for short_name in SIGNAL_WEIGHTS]
    known = [known_at(observed[name], variables[name].ffill_max_days, first_closes) for name in names]
    return planted_signal(*(variable.change for variable in known))


def _observations_by_variable(
    levels: Mapping[str, pd.Series], variables: Mapping[str, MacroVariable]
) -> dict[str, pd.DataFrame]:
    """Observations with `published_at` of each known variable; daily ones on their open days only."""
    known = [name for name in levels if name in variables]
    return {name: _observations(name, levels[name], variables[name]) for name in known}


def _observations(name: str, series: pd.Series, variable: MacroVariable) -> pd.DataFrame:
    days = series.index.to_numpy("datetime64[D]")
    if variable.frequency == "daily":
        seen = np.is_busday(days, holidays=closed_days_around(days, variable.publication.zone))
        series, days = series[seen], days[seen]
    moments, values = published_at(days.tolist(), variable.publication), series.to_numpy().round(_DECIMALS)
    columns = {"variable": name, "observation_date": days, "published_at": moments, "value": values}
    return pd.DataFrame(columns)


def _published_by(until: pd.Timestamp, macro: pd.DataFrame, start: date) -> pd.DataFrame:
    first = pd.Timestamp(start) - MACRO_WARMUP
    shown = macro[(macro["published_at"] <= until) & (macro["observation_date"] >= first)]
    dates = shown["observation_date"].dt.date
    return shown.assign(observation_date=dates).drop(columns="published_at").reset_index(drop=True)


def _closed_by(until: pd.Timestamp, bars: pd.DataFrame, start: date) -> pd.DataFrame:
    times = pd.DatetimeIndex(bars["timestamp"])
    shown = (times + BAR <= until) & (session_dates(times) >= np.datetime64(start))
    return bars[shown].reset_index(drop=True)
