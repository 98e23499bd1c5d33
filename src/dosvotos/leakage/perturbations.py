"""Perturbations of a history: cut at a moment, changed after it, sliced, or put under stress."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.random import Generator

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.market.calendar import BAR, LAST_SLOT, session_dates, slots
from dosvotos.market.features import MarketHistory

MACRO_WARMUP: Final = pd.Timedelta(days=420)
"""How far a slice's macro values reach back before its bars: z-scores need 252 business days."""
INSTANT: Final = pd.Timedelta(microseconds=1)
_PRICES: Final = ("open", "high", "low", "close")
_BAR_NOISE, _MACRO_NOISE, _NEAR_ZERO = 0.01, 0.05, 0.01
_DELAYED, _REVISED, _SILENT, _DROPPED = 0.3, 0.2, 1 / 3, 0.03
"""Shares of publications, variables and bars that stress affects."""
DAY: Final = pd.Timedelta(days=1)


def close_times(bars: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the moment each bar closes, UTC."""
    return pd.DatetimeIndex(bars.index) + BAR


def events_after(history: MarketHistory, moment: pd.Timestamp) -> pd.DataFrame:
    """Return what became known after a moment, in order: at (UTC), is_bar, row (in bars or in macro)."""
    closes, published = close_times(history.bars), pd.DatetimeIndex(history.macro["published_at"])
    bars, values = np.flatnonzero(closes > moment), np.flatnonzero(published > moment)
    events = pd.DataFrame(
        {
            "at": closes[bars].append(published[values]),
            "is_bar": np.repeat([True, False], [len(bars), len(values)]),
            "row": np.concatenate([bars, values]),
        }
    )
    return events.sort_values("at", kind="stable", ignore_index=True)


def drop_events(history: MarketHistory, events: pd.DataFrame) -> MarketHistory:
    """Return the history as if some events had not happened."""
    bars, values = _event_masks(history, events)
    return MarketHistory(history.bars[~bars], history.macro[~values])


def perturb_events(history: MarketHistory, events: pd.DataFrame, seed: int) -> MarketHistory:
    """Return the history with other prices and values in some events; bar and publication times stay."""
    bars, values = _event_masks(history, events)
    return perturb_values(perturb_prices(history, bars, seed), values, seed)


def perturb_prices(history: MarketHistory, chosen: np.ndarray, seed: int) -> MarketHistory:
    """Multiply all prices of each chosen bar by one factor, which depends on the seed and the row only."""
    factors = np.exp(_BAR_NOISE * _noise(len(chosen), seed))
    prices = [name for name in _PRICES if name in history.bars]
    bars = history.bars.copy()
    bars.loc[chosen, prices] = bars.loc[chosen, prices].mul(factors[chosen], axis=0)
    return MarketHistory(bars, history.macro)


def perturb_values(history: MarketHistory, chosen: np.ndarray, seed: int) -> MarketHistory:
    """Move each chosen macro value by some percent of its size, which depend on the seed and the row only."""
    values = history.macro["value"].to_numpy(float).copy()
    size = np.abs(values) + _NEAR_ZERO
    values[chosen] += (_MACRO_NOISE * size * _noise(len(chosen), seed + 1))[chosen]
    return MarketHistory(history.bars, history.macro.assign(value=values))


def slice_history(history: MarketHistory, start: int, stop: int) -> MarketHistory:
    """Return the bars of rows `start` to before `stop`, and macro values from 420 days before them on."""
    bars = history.bars.iloc[start:stop]
    published = history.macro["published_at"]
    begin, end = bars.index[0] - MACRO_WARMUP, bars.index[-1] + BAR
    return MarketHistory(bars, history.macro[(published > begin) & (published <= end)].reset_index(drop=True))


def stress_history(
    history: MarketHistory, variables: Mapping[str, MacroVariable], rng: Generator
) -> MarketHistory:
    """Return a harder history: late publications, revised values, silent variables, missing bars.

    Nothing is published earlier than it was; a revision is a further row of its observation.
    """
    bars = _drop_bars(history.bars, rng)
    closes = close_times(bars)
    macro = _silence_variables(history.macro, closes, variables, rng)
    within = (macro["published_at"] > closes[0]).to_numpy()
    revised = macro[within & (rng.random(len(macro)) < _REVISED)]
    noise = 1 + _MACRO_NOISE * rng.standard_normal(len(revised))
    later = _delay(revised["published_at"], closes, rng)
    revisions = revised.assign(value=revised["value"] * noise, published_at=later)
    late = within & (rng.random(len(macro)) < _DELAYED)
    delayed = macro.copy()
    delayed.loc[late, "published_at"] = _delay(macro.loc[late, "published_at"], closes, rng)
    return MarketHistory(bars, pd.concat([delayed, revisions], ignore_index=True))


def _event_masks(history: MarketHistory, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    bars, values = np.zeros(len(history.bars), bool), np.zeros(len(history.macro), bool)
    bars[events.loc[events["is_bar"], "row"]] = True
    values[events.loc[~events["is_bar"], "row"]] = True
    return bars, values


def _noise(count: int, seed: int) -> np.ndarray:
    """Return normal draws, moved away from 0 so that each changes something."""
    draws = np.random.default_rng(seed).standard_normal(count)
    return np.where(draws < 0, draws - 0.5, draws + 0.5)


def _drop_bars(bars: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """Drop single bars, the last half hours of two sessions and the first ones of those that follow."""
    times = pd.DatetimeIndex(bars.index)
    days, slot = session_dates(times), slots(times)
    dropped = rng.random(len(bars)) < _DROPPED
    sessions = np.unique(days)[:-1]
    for day in rng.choice(sessions, 2) if len(sessions) else sessions:
        following = days[days > day][0]
        dropped |= (days == day) & (slot > LAST_SLOT - 6)
        dropped |= (days == following) & (slot < 6)
    return bars[~dropped]


def _silence_variables(
    macro: pd.DataFrame, closes: pd.DatetimeIndex, variables: Mapping[str, MacroVariable], rng: Generator
) -> pd.DataFrame:
    """Drop the publications of a third of the variables for longer than their age limit."""
    silent = np.zeros(len(macro), bool)
    names, published = macro["variable"].to_numpy(), macro["published_at"]
    for name in np.unique(names):
        if name in variables and rng.random() < _SILENT:
            start = closes[int(rng.integers(len(closes)))]
            end = start + (variables[name].ffill_max_days + 5) * DAY
            silent |= (names == name) & ((published > start) & (published <= end)).to_numpy()
    return macro[~silent].reset_index(drop=True)


def _delay(published: pd.Series, closes: pd.DatetimeIndex, rng: Generator) -> pd.Series:
    """Delay publications by up to four sessions: to a bar's close, just after it, or between two closes."""
    bars = np.searchsorted(closes, pd.DatetimeIndex(published)) + rng.integers(1, 240, len(published))
    offsets = rng.choice([0, 1, 150_000_000], len(published)).astype("timedelta64[us]")
    moments = closes[np.minimum(bars, len(closes) - 1)] + offsets
    later = pd.Series(moments, index=published.index).astype(published.dtype)
    return later.where(later > published, published)
