"""Probes of a feature's inputs: what moves it, whether that is declared, and whether it repeats."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.random import Generator

from dosvotos.leakage.perturbations import perturb_prices, perturb_values
from dosvotos.leakage.pipeline import BARS, CLOCK, Features
from dosvotos.leakage.probe_log import Excerpt, ProbeLog, short_name
from dosvotos.leakage.report import format_change, format_time
from dosvotos.market.calendar import BAR, LAST_SLOT, session_dates, slots
from dosvotos.market.features import MarketHistory


def change_inputs(log: ProbeLog, excerpt: Excerpt, seed: int) -> None:
    """Record which inputs move which features: change prices, then macro variables, by halving groups."""
    history, baseline = excerpt.history, excerpt.baseline
    every_bar = np.ones(len(history.bars), bool)
    perturbed = log.compute(perturb_prices(history, every_bar, seed))
    log.record_input(log.differs(baseline.values, perturbed.values), BARS)
    log.probes["changed input"] += 1
    groups = [sorted(history.macro["variable"].unique())]
    while groups:
        group = groups.pop()
        rows = history.macro["variable"].isin(group).to_numpy()
        perturbed = log.compute(perturb_values(history, rows, seed))
        moved = log.differs(baseline.values, perturbed.values)
        log.probes["changed input"] += 1
        if not moved.any():
            continue
        if len(group) == 1:
            log.record_input(moved, group[0])
        else:
            groups += [group[: len(group) // 2], group[len(group) // 2 :]]


def check_inputs(log: ProbeLog, has_values: Mapping[str, bool]) -> None:
    """Compare recorded with declared inputs of the features that had values to be moved."""
    for name, declared in log.pipeline.inputs.items():
        if name not in log.names or name in log.excluded or not has_values[name]:
            continue
        recorded = log.inputs.get(name, set())
        if missing := sorted(set(declared) - recorded - {CLOCK}):
            detail = f"{name} did not move when {_join(missing)} changed, which it is made of"
            log.add_finding(name, "deaf", None, detail)
        if extra := sorted(recorded - set(declared) - {CLOCK}):
            detail = f"{name} moved when {_join(extra)} changed, which it is not made of"
            log.add_finding(name, "wired", None, detail)


def check_repeatability(log: ProbeLog, first: Features, second: Features) -> None:
    """Compare two runs on the same history; a feature that differs is excluded from all probes."""
    for name, row, column in log.new_violations(log.differs(first.values, second.values), "unrepeatable"):
        change = format_change(first.values[row, column], second.values[row, column])
        detail = f"{name} at {format_time(first.times[row])} {change} between two runs on the same data"
        hint = "an unseeded random number, the clock on the wall, or a value kept between calls"
        log.add_finding(name, "unrepeatable", first.times[row], detail, hint)
        log.excluded.add(name)


def check_extra_rows(log: ProbeLog, features: Features) -> None:
    """Report feature rows whose time is that of no bar."""
    times = features.extra_times
    if len(times) == 0:
        return
    for name in log.names:
        detail = f"{name}: {len(times):,} rows have no bar, the first at {format_time(times[0])}"
        log.add_finding(name, "filled", times[0], detail, "bars laid on a full grid and filled")


def move_bar_time(log: ProbeLog, excerpt: Excerpt, rng: Generator) -> bool:
    """Give a bar the time of a missing one beside it; return False if no bar fits.

    No feature declared on bars alone may move: it must not fill missing bars.
    """
    history, baseline, times = excerpt.history, excerpt.baseline, excerpt.baseline.times
    if not (choices := _movable_bars(history)):
        return False
    bar, shift = choices[int(rng.integers(len(choices)))]
    labels = times.to_series().reset_index(drop=True)
    labels.iloc[bar] += shift
    moved_bars = history.bars.set_axis(pd.DatetimeIndex(labels, name=times.name), axis=0)
    perturbed = log.compute(MarketHistory(moved_bars, history.macro))
    log.probes["moved label"] += 1
    effect = log.differs(baseline.values, perturbed.values)
    log.record_input(effect, CLOCK)
    from_bars_alone = [name for name in log.names if log.pipeline.inputs.get(name) == (BARS,)]
    log.record_comparison(baseline.values, from_bars_alone)
    effect[:, [name not in from_bars_alone for name in log.names]] = False
    for name, row, column in log.new_violations(effect, "filled"):
        change = format_change(baseline.values[row, column], perturbed.values[row, column])
        detail = (
            f"{name} at {format_time(times[row])} {change} when the label of the bar of "
            f"{format_time(times[bar])} moved to {format_time(labels.iloc[bar])}, beside a missing bar: no "
            f"price moved{excerpt.suffix}"
        )
        hint = "missing bars were filled, within a session or across two"
        log.add_finding(name, "filled", times[row], detail, hint)
    return True


def _movable_bars(history: MarketHistory) -> list[tuple[int, pd.Timedelta]]:
    """Return the bars beside a missing one, away from publications and the warm-up, with the shift to it."""
    times = pd.DatetimeIndex(history.bars.index)
    slot, gap = slots(times), np.diff(times) > BAR
    same_day = np.diff(session_dates(times)) == np.timedelta64(0, "D")
    can_be_earlier = np.append(False, gap) & (slot >= 1)
    can_be_later = np.append(gap & (same_day | (slot[:-1] < LAST_SLOT)), False) & (slot < LAST_SLOT)
    published = history.macro["published_at"]
    return [
        (bar, shift)
        for movable, shift in ((can_be_earlier, -BAR), (can_be_later, BAR))
        for bar in np.flatnonzero(movable).tolist()
        if bar > len(times) // 10
        and not ((published > times[bar] - 2 * BAR) & (published <= times[bar] + 3 * BAR)).any()
    ]


def _join(inputs: list[str]) -> str:
    return " and ".join(short_name(name) for name in inputs)
