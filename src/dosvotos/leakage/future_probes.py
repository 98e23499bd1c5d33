"""Probes of the future: features up to a bar must not change when what comes after its close does."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.leakage.perturbations import drop_events, events_after, perturb_events
from dosvotos.leakage.pipeline import Features
from dosvotos.leakage.probe_log import Excerpt, ProbeLog, short_name
from dosvotos.leakage.report import format_change, format_duration, format_time
from dosvotos.market.calendar import BAR
from dosvotos.market.features import MarketHistory


def replay(log: ProbeLog, excerpt: Excerpt, bar: int) -> None:
    """Drop everything that became known after a bar's close; no row up to that bar may change."""
    log.probes["replay"] += 1
    events = events_after(excerpt.history, excerpt.baseline.times[bar] + BAR)

    def perturb(start: int) -> MarketHistory:
        return drop_events(excerpt.history, events.iloc[start:])

    _compare_past(log, excerpt, bar, _Future(events, perturb, "became known"))


def rewrite_future(log: ProbeLog, excerpt: Excerpt, bar: int, seed: int) -> None:
    """Change every price and value that came after a bar's close; no row up to that bar may change."""
    log.probes["rewritten future"] += 1
    events = events_after(excerpt.history, excerpt.baseline.times[bar] + BAR)

    def perturb(start: int) -> MarketHistory:
        return perturb_events(excerpt.history, events.iloc[start:], seed)

    _compare_past(log, excerpt, bar, _Future(events, perturb, "was changed"))


class _Future(NamedTuple):
    """The events after a bar's close, and how to perturb them."""

    events: pd.DataFrame
    """As `events_after` returns them."""
    perturb: Callable[[int], MarketHistory]
    """Returns the history with the events from an index on perturbed."""
    verb: str
    """What happened to an event, for the sentence."""


def _compare_past(log: ProbeLog, excerpt: Excerpt, bar: int, future: _Future) -> None:
    """Compare the rows up to a bar between the baseline and the history with its whole future perturbed."""
    baseline = excerpt.baseline
    try:
        perturbed = log.compute(future.perturb(0))
    except DataError as error:
        log.add_note(f"no probe at {format_time(baseline.times[bar])}: {error}")
        return
    past = baseline.values[: bar + 1]
    log.record_comparison(past)
    moved = log.differs(perturbed.values[: bar + 1], past)
    runs = {0: perturbed}
    for name, row, column in log.new_violations(moved, "future", last=True):
        cause = _find_cause(log, future, row, column, runs)
        before, after = (runs[i].values[row, column] for i in (cause, cause + 1))
        event, time = future.events.iloc[cause], baseline.times[row]
        detail = (
            f"{name} at {format_time(time)} {format_change(before, after)} when "
            f"{_describe_event(excerpt.history, event)} {future.verb}: "
            f"{format_duration(event['at'] - (time + BAR))} after the bar's close{excerpt.suffix}"
        )
        share = moved[:, column].sum() / max(1, np.isfinite(past[:, column]).sum())
        hint = _guess_cause(excerpt.history, time, event, before, float(share))
        log.add_finding(name, "future", time, detail, hint)


def _find_cause(log: ProbeLog, future: _Future, row: int, column: int, runs: dict[int, Features]) -> int:
    """Return the index of an event that moves one value, by bisection; `runs` holds features by start.

    With all events perturbed the value differs from the baseline, with none it does not.
    """

    def differs_from_first(start: int) -> bool:
        if start not in runs:
            runs[start] = log.compute(future.perturb(start))
        pair = runs[0].values[row : row + 1], runs[start].values[row : row + 1]
        return bool(log.differs(*pair)[0, column])

    low, high = 0, len(future.events)
    differs_from_first(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if differs_from_first(middle) else (middle, high)
    return low


def _describe_event(history: MarketHistory, event: pd.Series) -> str:
    if event["is_bar"]:
        return f"the bar of {format_time(history.bars.index[event['row']])}"
    value = history.macro.iloc[event["row"]]
    published = format_time(value["published_at"])
    return f"the {short_name(value['variable'])} value of {value['observation_date']}, published {published},"


def _guess_cause(
    history: MarketHistory, bar: pd.Timestamp, event: pd.Series, before: float, share: float
) -> str:
    """Guess the cause from the value `before` the event and the `share` of earlier bars that moved."""
    if np.isnan(before):
        return "missing without the later data: a centred window, a backward fill, a join that looks ahead"
    if share > 0.5:
        return "most earlier rows moved too: a mean, spread or scaler over the whole sample"
    if event["is_bar"]:
        return "a shift with a negative number, a centred window, a whole day's figure, or the target itself"
    value = history.macro.iloc[event["row"]]
    same = history.macro[
        (history.macro["variable"] == value["variable"])
        & (history.macro["observation_date"] == value["observation_date"])
    ]
    if (same["published_at"] < value["published_at"]).any():
        return "a revised value stands where only an earlier vintage was known"
    days = (np.datetime64(str(bar.date())) - np.datetime64(str(value["observation_date"]), "D")).astype(int)
    if days <= 0:
        return "joined by observation date instead of published_at"
    return f"joined by the calendar ({days} d after the observation) instead of published_at"
