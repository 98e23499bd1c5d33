"""USD/COP.SIM: a simulated market of 5-minute bars and 40 macro variables, calibrated to public statistics.

Each day is drawn from a generator seeded by that day alone and levels are cumulated from a fixed first day,
so no value depends on where the simulation ends or on the first session asked for. ``edge`` plants a drift
that the macro changes visible at a session's first bar announce: planted and generous; real markets are not
like this.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.contracts.parameters import SampleMarketParams
from dosvotos.errors import ParameterError
from dosvotos.market.alignment import known_history
from dosvotos.market.calendar import (
    BAR,
    BARS_PER_SESSION,
    BOGOTA,
    LAST_SLOT,
    closed_days_around,
    published_at,
    scheduled_sessions,
    session_bar_times,
    session_dates,
)
from dosvotos.simulation.calibration import SPOT, calibration
from dosvotos.simulation.macro import macro_levels
from dosvotos.simulation.prices import SessionNoise, bar_columns, session_noise, session_prices

FIRST_SESSION: Final = date(2020, 1, 2)
MACRO_LEAD: Final = pd.DateOffset(months=18)
"""How far macro values reach back before the first bar: z-scores need 252 of them."""
SIGNAL_WEIGHTS: Final = {"dxy": 0.5, "brent": -0.5, "usdmxn": 0.5}
SIGNAL_LIMIT: Final = 2.0

_DECIMALS: Final = 5
_LAST_ENTRY_SLOT: Final = LAST_SLOT - 1
_ROUND_TRIPS_WORTH = 2


class SimulatedMarket(NamedTuple):
    """What the market has shown by some moment."""

    bars: pd.DataFrame
    """timestamp (bar open, ``datetime64[us, UTC]``), open, high, low, close (COP per USD), volume (0)."""
    macro: pd.DataFrame
    """variable, observation_date (date), value in the variable's unit."""


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
    noise = session_noise(params.seed, sessions, params.edge)
    observed = _observe(macro_levels(params.seed, np.datetime64(last_day), sessions, noise.daily), variables)
    opens = _opens(sessions)
    signal = _visible_signal(observed, variables, opens + BAR)
    prices = session_prices(_planted(noise.moves, signal, params.edge), noise.stale)
    bars = _bars(opens, prices, noise)
    spot = _observe({SPOT: pd.Series(prices[:, -1], index=sessions)}, variables)
    macro = pd.concat([*observed.values(), *spot.values()])
    return SimulatedMarket(_closed_by(until, bars, params.start), _published_by(until, macro, params.start))


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
    known = calibration()
    weights = np.array(list(SIGNAL_WEIGHTS.values()))
    spread = np.sqrt(weights @ known.signal_correlation @ weights)
    changes = (dxy_change, brent_change, usdmxn_change)
    mixed = sum(
        weight * np.asarray(change, dtype=float) / std
        for weight, change, std in zip(weights, changes, known.signal_std, strict=True)
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
    return edge * calibration().prices.session_std * signal / LAST_SLOT


def _opens(sessions: np.ndarray) -> pd.DatetimeIndex:
    """Label of each session's first bar; Bogota has no daylight saving time."""
    midnights = pd.DatetimeIndex(sessions).tz_localize(BOGOTA).tz_convert("UTC").as_unit("us")
    return midnights + (session_bar_times(sessions[0])[0] - midnights[0])


def _bars(opens: pd.DatetimeIndex, prices: np.ndarray, noise: SessionNoise) -> pd.DataFrame:
    times = opens.repeat(BARS_PER_SESSION) + BAR * np.tile(np.arange(BARS_PER_SESSION), len(opens))
    columns = bar_columns(prices, noise.wicks)
    frame = pd.DataFrame({"timestamp": times} | {name: v.ravel() for name, v in columns.items()})
    return frame.assign(volume=0)


def _planted(moves: np.ndarray, signal: np.ndarray, edge: float) -> np.ndarray:
    """The moves with the drift in slots 1 to 59, shape (n_sessions, 61)."""
    planted = moves.copy()
    planted[:, 2:] += _drift_per_bar(signal, edge)[:, None]
    return planted


def _visible_signal(
    observed: Mapping[str, pd.DataFrame],
    variables: Mapping[str, MacroVariable],
    first_closes: pd.DatetimeIndex,
) -> np.ndarray:
    names = [MACRO_SOURCES[short_name] for short_name in SIGNAL_WEIGHTS]
    histories = [known_history(observed[name], variables[name].ffill_max_days) for name in names]
    return planted_signal(*(history.at(first_closes).change for history in histories))


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
