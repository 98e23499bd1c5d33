"""Probes of a model's rows: splits in order and apart, scaled by the past alone."""

from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from numpy.random import Generator

from dosvotos.leakage.perturbations import events_after, perturb_events
from dosvotos.leakage.pipeline import Dataset
from dosvotos.leakage.probe_log import ProbeLog
from dosvotos.leakage.report import format_time
from dosvotos.market.calendar import BAR, scheduled_sessions, session_dates
from dosvotos.market.features import MarketHistory

_MOMENTS_PER_SPLIT: Final = 2
"""Moments inside each later split after which everything is changed."""


def check_splits(log: ProbeLog, dataset: Dataset) -> None:
    """Report splits that share rows, are out of order, or are closer than the embargo."""
    for (earlier, before), (later, after) in pairwise(dataset.rows.items()):
        subject, end, start = f"{earlier}|{later}", before.index.max(), after.index.min()
        if start <= end:
            detail = f"{later} begins {format_time(start)}, {earlier} ends {format_time(end)}"
            log.add_finding(subject, "overlap", start, detail)
            continue
        first, last = session_dates(pd.DatetimeIndex([end, start]))
        days = first.astype(object), last.astype(object)
        between = len(scheduled_sessions(*days, log.pipeline.calendar)) - 2
        if between < log.pipeline.embargo_sessions:
            detail = (
                f"{between} sessions lie between {earlier}, which ends {format_time(end)}, and {later}, "
                f"which begins {format_time(start)}; the embargo is {log.pipeline.embargo_sessions}"
            )
            log.add_finding(subject, "embargo", start, detail)


def change_later_rows(log: ProbeLog, history: MarketHistory, dataset: Dataset, rng: Generator) -> None:
    """Change everything after a moment; no statistic and no row up to it may change.

    The moments are the end of each split but the last, and some inside the splits after the first.
    """
    if (make_dataset := log.pipeline.dataset) is None:
        return
    for moment in _moments(dataset, rng):
        seed = int(rng.integers(2**31))
        perturbed = log.compute(perturb_events(history, events_after(history, moment + BAR), seed))
        rebuilt = make_dataset(perturbed.frame())
        log.probes["changed later rows"] += 1
        _compare_statistics(log, dataset, rebuilt, moment)
        for name, rows in dataset.rows.items():
            _compare_rows(log, rows, rebuilt.rows[name], moment, f"{name} row", "future")
            scaled = dataset.scaled[name], rebuilt.scaled[name]
            _compare_rows(log, *scaled, moment, f"normalised {name} row", "statistics")


def _moments(dataset: Dataset, rng: Generator) -> list[pd.Timestamp]:
    splits = list(dataset.rows.values())
    moments = [rows.index.max() for rows in splits[:-1]]
    for rows in splits[1:]:
        inside = rng.integers(len(rows) // 4, max(1, len(rows) - 1), _MOMENTS_PER_SPLIT)
        moments += list(rows.index[inside])
    return moments


def _compare_statistics(log: ProbeLog, before: Dataset, after: Dataset, moment: pd.Timestamp) -> None:
    old, new = before.norm_stats.align(after.norm_stats)
    limit = log.pipeline.tolerance * old.abs()
    moved = ((old - new).abs() > limit) | (old.isna() != new.isna())
    for feature in old.index[moved.any(axis=1)]:
        if str(feature) in log.excluded or not log.is_new(str(feature), "statistics"):
            continue
        kind = next(column for column in old.columns if moved.loc[feature, column])
        detail = (
            f"the {kind} that normalises {feature} moved from {old.loc[feature, kind]:.6g} to "
            f"{new.loc[feature, kind]:.6g} when only what came after {format_time(moment)} was changed"
        )
        log.add_finding(str(feature), "statistics", moment, detail, "statistics taken from more than train")


def _compare_rows(
    log: ProbeLog, before: pd.DataFrame, after: pd.DataFrame, moment: pd.Timestamp, what: str, rule: str
) -> None:
    old = before[before.index <= moment]
    new = after.reindex(index=old.index, columns=old.columns)
    a, b = old.to_numpy(float), new.to_numpy(float)
    limit = log.pipeline.tolerance * np.nan_to_num(old.std().to_numpy())
    with np.errstate(invalid="ignore"):
        moved = (np.abs(a - b) > limit) | (np.isnan(a) != np.isnan(b))
    for column in np.flatnonzero(moved.any(axis=0)):
        name, row = str(old.columns[int(column)]), int(np.flatnonzero(moved[:, column])[-1])
        if name in log.excluded or not log.is_new(name, rule):
            continue
        detail = (
            f"{name} in the {what} of {format_time(old.index[row])} went from {a[row, column]:.6g} to "
            f"{b[row, column]:.6g} when only what came after {format_time(moment)} was changed"
        )
        log.add_finding(name, rule, old.index[row], detail)
