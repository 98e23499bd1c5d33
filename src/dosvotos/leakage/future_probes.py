"""Probes of the future: features up to a bar must not change when what comes after its close does."""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.leakage.perturbations import drop_events, events_after, perturb_events
from dosvotos.leakage.probe_log import Excerpt, ProbeLog, short_name
from dosvotos.leakage.report import format_change, format_duration, format_time
from dosvotos.market.calendar import BAR
from dosvotos.market.features import MarketHistory

Perturb = Callable[[MarketHistory, pd.DataFrame], MarketHistory]
"""Returns a history with some events, as `events_after` returns them, dropped or changed."""


def replay(log: ProbeLog, excerpt: Excerpt, bar: int) -> None:
    """Drop everything that became known after a bar's close; no row up to that bar may change."""
    log.probes["replay"] += 1
    _compare_past(log, excerpt, bar, drop_events, "became known")


def rewrite_future(log: ProbeLog, excerpt: Excerpt, bar: int, seed: int) -> None:
    """Change every price and value that came after a bar's close; no row up to that bar may change."""
    log.probes["rewritten future"] += 1
    _compare_past(log, excerpt, bar, partial(perturb_events, seed=seed), "was changed")


def _compare_past(log: ProbeLog, excerpt: Excerpt, bar: int, perturb: Perturb, verb: str) -> None:
    """Compare the rows up to a bar between the baseline and the history with its whole future perturbed."""
    history, baseline = excerpt.history, excerpt.baseline
    events = events_after(history, baseline.times[bar] + BAR)

    @cache
    def perturbed_values(first: int) -> np.ndarray:
        """Compute the features with the events from the first on perturbed."""
        return log.compute(perturb(history, events.iloc[first:])).values

    past = baseline.values[: bar + 1]
    try:
        moved = log.differs(perturbed_values(0)[: bar + 1], past)
    except DataError as error:
        log.add_note(f"no probe at {format_time(baseline.times[bar])}: {error}")
        return
    log.record_comparison(past)
    for name, row, column in log.new_violations(moved, "future", at=-1):
        cause = _find_cause(log, perturbed_values, len(events), row, column)
        before, after = (perturbed_values(first)[row, column] for first in (cause, cause + 1))
        event, time = events.iloc[cause], baseline.times[row]
        detail = (
            f"{name} at {format_time(time)} {format_change(before, after)} when "
            f"{_describe_event(history, event)} {verb}: "
            f"{format_duration(event['at'] - (time + BAR))} after the bar's close{excerpt.suffix}"
        )
        share = moved[:, column].sum() / max(1, np.isfinite(past[:, column]).sum())
        log.add_finding(name, "future", time, detail, _guess_cause(history, time, event, before, share))


def _find_cause(
    log: ProbeLog, perturbed_values: Callable[[int], np.ndarray], n_events: int, row: int, column: int
) -> int:
    """Return the index of an event that moves one value, by bisection.

    The value differs from the baseline with all events perturbed, and does not with none.
    """
    low, high = 0, n_events
    while high - low > 1:
        middle = (low + high) // 2
        pair = (perturbed_values(first)[row : row + 1] for first in (0, middle))
        low, high = (low, middle) if log.differs(*pair)[0, column] else (middle, high)
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
