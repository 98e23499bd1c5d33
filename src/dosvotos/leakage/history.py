"""Histories made from a history: cut at a moment, changed after it, a part of it, or put under stress."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.market.calendar import BAR, LAST_SLOT, session_dates, slots
from dosvotos.market.features import MarketHistory

MACRO_LEAD: Final = pd.Timedelta(days=420)
"""How far a part's macro values reach back before its bars: z-scores need 252 business days."""
INSTANT: Final = pd.Timedelta(microseconds=1)
PRICES: Final = ("open", "high", "low", "close")
_BAR_NOISE, _MACRO_NOISE, _NEAR_ZERO = 0.01, 0.05, 0.01
_DELAYED, _REVISED, _DROPPED = 0.3, 0.2, 0.03
"""Shares of publications and bars that stress touches."""
_DAY = pd.Timedelta(days=1)


def closes_of(bars: pd.DataFrame) -> pd.DatetimeIndex:
    """The moment each bar closes, UTC."""
    return pd.DatetimeIndex(bars.index) + BAR


def later_events(history: MarketHistory, moment: pd.Timestamp) -> pd.DataFrame:
    """What became known after a moment, in order: at (UTC), is_bar, and place among the bars or values."""
    closes, published = closes_of(history.bars), pd.DatetimeIndex(history.macro["published_at"])
    bars, values = np.flatnonzero(closes > moment), np.flatnonzero(published > moment)
    events = pd.DataFrame(
        {
            "at": closes[bars].append(published[values]),
            "is_bar": np.repeat([True, False], [len(bars), len(values)]),
            "place": np.concatenate([bars, values]),
        }
    )
    return events.sort_values("at", kind="stable", ignore_index=True)


def without(history: MarketHistory, events: pd.DataFrame) -> MarketHistory:
    """The history before some events happened."""
    bars, values = _marked(history, events)
    return MarketHistory(history.bars[~bars], history.macro[~values])


def changed(history: MarketHistory, events: pd.DataFrame, seed: int) -> MarketHistory:
    """The history with other prices and values in some events; labels and publications stay."""
    bars, values = _marked(history, events)
    return change_values(change_prices(history, bars, seed), values, seed)


def change_prices(history: MarketHistory, chosen: np.ndarray, seed: int) -> MarketHistory:
    """Scale chosen bars, all prices of a bar alike; a bar's factor depends on the seed and its place only."""
    factors = np.exp(_BAR_NOISE * _noise(len(chosen), seed))
    prices = [name for name in PRICES if name in history.bars]
    bars = history.bars.copy()
    bars.loc[chosen, prices] = bars.loc[chosen, prices].mul(factors[chosen], axis=0)
    return MarketHistory(bars, history.macro)


def change_values(history: MarketHistory, chosen: np.ndarray, seed: int) -> MarketHistory:
    """Move chosen macro values by some percent of their size, each by its own amount."""
    values = history.macro["value"].to_numpy(float).copy()
    size = np.abs(values) + _NEAR_ZERO
    values[chosen] += (_MACRO_NOISE * size * _noise(len(chosen), seed + 1))[chosen]
    return MarketHistory(history.bars, history.macro.assign(value=values))


def part_of(history: MarketHistory, first: int, last: int) -> MarketHistory:
    """Bars from the first to before the last place, and the macro values from 14 months before them on."""
    bars = history.bars.iloc[first:last]
    published = history.macro["published_at"]
    begin, end = bars.index[0] - MACRO_LEAD, bars.index[-1] + BAR
    return MarketHistory(bars, history.macro[(published > begin) & (published <= end)].reset_index(drop=True))


def stressed(
    history: MarketHistory, variables: Mapping[str, MacroVariable], rng: np.random.Generator
) -> MarketHistory:
    """A harder history: publications late and amid sessions, values revised, variables silent, bars missing.

    Nothing is published earlier than it was; a revision is a further row of its observation.
    """
    bars = _thinned(history.bars, rng)
    closes = closes_of(bars)
    macro = _silenced(history.macro, closes, variables, rng)
    inside = (macro["published_at"] > closes[0]).to_numpy()
    revised = macro[inside & (rng.random(len(macro)) < _REVISED)]
    noise = 1 + _MACRO_NOISE * rng.standard_normal(len(revised))
    later = _next_moments(revised["published_at"], closes, rng)
    revisions = revised.assign(value=revised["value"] * noise, published_at=later)
    late = inside & (rng.random(len(macro)) < _DELAYED)
    delayed = macro.copy()
    delayed.loc[late, "published_at"] = _next_moments(macro.loc[late, "published_at"], closes, rng)
    return MarketHistory(bars, pd.concat([delayed, revisions], ignore_index=True))


def _marked(history: MarketHistory, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    bars, values = np.zeros(len(history.bars), bool), np.zeros(len(history.macro), bool)
    bars[events.loc[events["is_bar"], "place"]] = True
    values[events.loc[~events["is_bar"], "place"]] = True
    return bars, values


def _noise(count: int, seed: int) -> np.ndarray:
    draws = np.random.default_rng(seed).standard_normal(count)
    return np.where(draws < 0, draws - 0.5, draws + 0.5)  # never next to nothing


def _thinned(bars: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Without some bars, without a session's end and without the next one's beginning."""
    times = pd.DatetimeIndex(bars.index)
    days, slot = session_dates(times), slots(times)
    dropped = rng.random(len(bars)) < _DROPPED
    sessions = np.unique(days)[:-1]
    for day in rng.choice(sessions, 2) if len(sessions) else sessions:
        following = days[days > day][0]
        dropped |= (days == day) & (slot > LAST_SLOT - 6)
        dropped |= (days == following) & (slot < 6)
    return bars[~dropped]


def _silenced(
    macro: pd.DataFrame,
    closes: pd.DatetimeIndex,
    variables: Mapping[str, MacroVariable],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Each variable with a chance of one in three silent for longer than its limit."""
    silent = np.zeros(len(macro), bool)
    names, published = macro["variable"].to_numpy(), macro["published_at"]
    for name in np.unique(names):
        if name in variables and rng.random() < 1 / 3:
            start = closes[int(rng.integers(len(closes)))]
            end = start + (variables[name].ffill_max_days + 5) * _DAY
            silent |= (names == name) & ((published > start) & (published <= end)).to_numpy()
    return macro[~silent].reset_index(drop=True)


def _next_moments(published: pd.Series, closes: pd.DatetimeIndex, rng: np.random.Generator) -> pd.Series:
    """Moments up to four sessions later: at a bar's close, just after it, or between two closes."""
    places = np.searchsorted(closes, pd.DatetimeIndex(published)) + rng.integers(1, 240, len(published))
    offsets = rng.choice([0, 1, 150_000_000], len(published)).astype("timedelta64[us]")
    moments = closes[np.minimum(places, len(closes) - 1)] + offsets
    later = pd.Series(moments, index=published.index).astype(published.dtype)
    return later.where(later > published, published)
