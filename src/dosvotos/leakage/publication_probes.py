"""Probes of a variable: its publication reaches the right bars, and its old values expire."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from dosvotos.leakage.perturbations import DAY, INSTANT, close_times, perturb_values
from dosvotos.leakage.pipeline import BARS, Features
from dosvotos.leakage.probe_log import Excerpt, ProbeLog, short_name
from dosvotos.leakage.report import format_change, format_duration, format_time
from dosvotos.market.calendar import BAR
from dosvotos.market.features import MarketHistory


def move_publication(log: ProbeLog, excerpt: Excerpt, variable: str, rng: Generator) -> bool:
    """Publish one value at a bar's close, an instant after it, or never; return False if no value fits.

    Published at the close the bar may see it, an instant later only the next bar may; none before.
    """
    history = excerpt.history
    if (chosen := _choose_publication(history, variable, rng)) is None:
        return False
    row, bar = chosen
    close = close_times(history.bars)[bar]
    on_time, late, never = (
        log.compute(_republish(history, row, moment)) for moment in (close, close + INSTANT, None)
    )
    log.probes["moved publication"] += 1
    log.record_comparison(on_time.values[: bar + 1])
    value = f"the {short_name(variable)} value of {history.macro.iloc[row]['observation_date']}"
    event = f"{value} was published {format_time(close)}{excerpt.suffix}"
    _require_no_change(log, on_time, never, bar - 1, event)
    event = f"{value} was published {format_time(close + INSTANT)}{excerpt.suffix}"
    _require_no_change(log, late, never, bar, event)
    effect = log.differs(never.values, on_time.values)
    log.record_input(effect[bar : bar + 1], variable)
    after = log.differs(on_time.values[bar + 1 :], late.values[bar + 1 :])
    _require_exactly_one_bar(log, excerpt, variable, bar, effect, after)
    return True


def expire_value(log: ProbeLog, excerpt: Excerpt, variable: str, limit_days: int, rng: Generator) -> bool:
    """Silence a variable past its limit: old values may then move nothing; return False if none is old."""
    if (silence := _silence(excerpt.history, variable, limit_days, rng)) is None:
        return False
    baseline = log.compute(silence.history)
    seed = int(rng.integers(2**31))
    perturbed = log.compute(perturb_values(silence.history, silence.old_rows, seed))
    log.probes["expired value"] += 1
    expired, effect = silence.is_expired, log.differs(baseline.values, perturbed.values)
    log.record_input(effect[~expired], variable)
    log.record_comparison(baseline.values, np.array(log.names)[effect[~expired].any(axis=0)])
    uses = np.array([variable in log.pipeline.inputs.get(name, ()) for name in log.names])
    carried = (effect | (uses & np.isfinite(baseline.values))) & expired[:, None]
    carried[:, [name in log.excluded for name in log.names]] = False
    for name, row, column in log.new_violations(carried, "stale"):
        time = baseline.times[row]
        detail = (
            f"{name} at {format_time(time)} is {baseline.values[row, column]:.4g} though the newest "
            f"{short_name(variable)} value was published {format_time(silence.last)}, "
            f"{format_duration(time + BAR - silence.last)} before its close; the limit is "
            f"{limit_days} d{excerpt.suffix}"
        )
        hint = "a forward fill without a limit, or one that counts rows instead of days"
        log.add_finding(name, "stale", time, detail, hint)
    return True


def _choose_publication(history: MarketHistory, variable: str, rng: Generator) -> tuple[int, int] | None:
    """Choose a macro row of a variable, and a bar after its publication at which it is still the newest."""
    closes = close_times(history.bars)
    of_variable = history.macro.loc[history.macro["variable"] == variable, "published_at"].sort_values()
    published = pd.DatetimeIndex(of_variable)
    following = published[1:].append(closes[-1:])
    first = np.searchsorted(closes, published)
    last = np.searchsorted(closes, following - INSTANT) - 2
    is_alone = ~published.duplicated(keep=False)
    fitting = np.flatnonzero(is_alone & (first >= len(closes) // 10) & (last > first))
    if len(fitting) == 0:
        return None
    chosen = int(rng.choice(fitting))
    row = int(np.flatnonzero(history.macro.index == of_variable.index[chosen])[0])
    return row, int(rng.integers(first[chosen], last[chosen]))


def _republish(history: MarketHistory, row: int, moment: pd.Timestamp | None) -> MarketHistory:
    """Return the history with one macro row published at another moment, or never."""
    macro = history.macro
    if moment is None:
        return MarketHistory(history.bars, macro.drop(macro.index[row]))
    published = macro["published_at"].copy()
    published.iloc[row] = moment
    return MarketHistory(history.bars, macro.assign(published_at=published))


def _require_no_change(log: ProbeLog, published: Features, never: Features, last: int, event: str) -> None:
    """Report features that a publication changes up to the last bar that must not know it."""
    moved = log.differs(never.values[: last + 1], published.values[: last + 1])
    for name, row, column in log.new_violations(moved, "future", at=-1):
        time = published.times[row]
        change = format_change(never.values[row, column], published.values[row, column])
        bar = f"{format_time(time)}, which closes {format_time(time + BAR)},"
        detail = f"{name} at {bar} {change} though {event}"
        hint = "joined by date instead of published_at, or compared with another moment than the close"
        log.add_finding(name, "future", time, detail, hint)


def _require_exactly_one_bar(
    log: ProbeLog, excerpt: Excerpt, variable: str, bar: int, effect: np.ndarray, after: np.ndarray
) -> None:
    """Report features, declared without bars, that a publication at a bar's close reaches late or too long.

    `effect` is what the publication changes, `after` what an instant's delay changes after the bar.
    """
    times = excerpt.baseline.times
    for column, name in enumerate(log.names):
        inputs = log.pipeline.inputs.get(name, (BARS,))
        if BARS in inputs or variable not in inputs:
            continue
        if effect[bar + 1, column] and not effect[bar, column] and log.is_new(name, "late"):
            detail = (
                f"{name} at {format_time(times[bar])} did not see the {short_name(variable)} value published "
                f"at its close, {format_time(times[bar] + BAR)}; the next bar did{excerpt.suffix}"
            )
            hint = "compared with the bar's open, or shifted by a row on top of its publication"
            log.add_finding(name, "late", times[bar], detail, hint)
        if after[:, column].any() and log.is_new(name, "late"):
            time = times[bar + 1 + int(np.flatnonzero(after[:, column])[0])]
            detail = (
                f"{name} at {format_time(time)} moved when a {short_name(variable)} publication moved from "
                f"the close of {format_time(times[bar])} to an instant later, which only that bar can "
                f"tell{excerpt.suffix}"
            )
            log.add_finding(name, "late", time, detail)


class _Silence(NamedTuple):
    """A history in which a variable is silent for longer than its age limit."""

    history: MarketHistory
    last: pd.Timestamp
    """The last publication before the silence, UTC."""
    is_expired: np.ndarray
    """Mask of the bars whose newest value is past the limit."""
    old_rows: np.ndarray
    """Mask of the variable's macro rows up to the last publication."""


def _silence(history: MarketHistory, variable: str, limit_days: int, rng: Generator) -> _Silence | None:
    closes, published = close_times(history.bars), history.macro["published_at"]
    limit = limit_days * DAY
    of_variable = (history.macro["variable"] == variable).to_numpy()
    close = closes[int(rng.integers(len(closes) // 3, len(closes)))]
    old = of_variable & (published <= close - limit - 2 * BAR).to_numpy()
    if not old.any():
        return None
    last = published[old].max()
    later = of_variable & (published > last).to_numpy()
    dropped = later & (published <= close + DAY).to_numpy()
    macro, following = history.macro[~dropped], published[later & ~dropped]
    end = following.min() if len(following) else closes[-1] + BAR
    old_rows = (macro["variable"] == variable).to_numpy() & (macro["published_at"] <= last).to_numpy()
    is_expired = np.asarray((closes > last + limit) & (closes < end))
    return _Silence(MarketHistory(history.bars, macro), last, is_expired, old_rows)
