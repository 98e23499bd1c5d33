"""The rows a model is trained and judged on: apart, in order, and scaled by the past alone."""

from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd

from dosvotos.leakage.history import changed, later_events
from dosvotos.leakage.pipeline import Computed, Dataset
from dosvotos.leakage.probes import Book
from dosvotos.leakage.report import Finding, stamp
from dosvotos.market.calendar import BAR, scheduled_sessions, session_dates
from dosvotos.market.features import MarketHistory

INSIDE: Final = 2
"""Moments inside each later split at which its own future is changed."""


def check_splits(book: Book, dataset: Dataset) -> None:
    """Splits share no row, follow each other, and keep the embargo between them."""
    parts = list(dataset.rows.items())
    for (earlier, before), (later, after) in pairwise(parts):
        end, start = before.index.max(), after.index.min()
        if start <= end:
            words = f"{later} begins {stamp(start)}, {earlier} ends {stamp(end)}"
            book.add(Finding(subject=f"{earlier}|{later}", rule="overlap", at=start, words=words))
            continue
        first, last = session_dates(pd.DatetimeIndex([end, start]))
        between = len(scheduled_sessions(first.astype(object), last.astype(object))) - 2
        if between < book.pipeline.embargo_sessions:
            words = (
                f"{between} sessions lie between {earlier}, which ends {stamp(end)}, and {later}, "
                f"which begins {stamp(start)}; the embargo is {book.pipeline.embargo_sessions}"
            )
            book.add(Finding(subject=f"{earlier}|{later}", rule="embargo", at=start, words=words))


def check_later_rows(
    book: Book, history: MarketHistory, base: Computed, dataset: Dataset, rng: np.random.Generator
) -> None:
    """Change everything after a moment: statistics and the rows up to it may not move.

    The moments are each split's end but the last's, and some inside the splits after the first.
    """
    for moment in _moments(dataset, rng):
        seed = int(rng.integers(2**31))
        other = book.run(changed(history, later_events(history, moment + BAR), seed))
        rebuilt = book.pipeline.dataset(other.frame()) if book.pipeline.dataset else dataset
        book.probes["changed later rows"] += 1
        _statistics_stay(book, dataset, rebuilt, moment)
        for name, rows in dataset.rows.items():
            _rows_stay(book, rows, rebuilt.rows[name], moment, f"{name} row", "future")
            scaled = dataset.scaled[name], rebuilt.scaled[name]
            _rows_stay(book, *scaled, moment, f"normalised {name} row", "statistics")


def _moments(dataset: Dataset, rng: np.random.Generator) -> list[pd.Timestamp]:
    parts = list(dataset.rows.values())
    moments = [rows.index.max() for rows in parts[:-1]]
    for rows in parts[1:]:
        moments += list(rows.index[rng.integers(len(rows) // 4, max(1, len(rows) - 1), INSIDE)])
    return moments


def _statistics_stay(book: Book, before: Dataset, after: Dataset, moment: pd.Timestamp) -> None:
    mine, theirs = before.norm_stats.align(after.norm_stats)
    limit = book.pipeline.tolerance * mine.abs()
    moved = ((mine - theirs).abs() > limit) | (mine.isna() != theirs.isna())
    for feature in mine.index[moved.any(axis=1)]:
        if str(feature) in book.excluded or not book.is_new(str(feature), "statistics"):
            continue
        kind = next(column for column in mine.columns if moved.loc[feature, column])
        words = (
            f"the {kind} that normalises {feature} moved from {mine.loc[feature, kind]:.6g} to "
            f"{theirs.loc[feature, kind]:.6g} when only what came after {stamp(moment)} was changed"
        )
        hint = "statistics taken from more than train"
        book.add(Finding(subject=str(feature), rule="statistics", at=moment, words=words, hint=hint))


def _rows_stay(
    book: Book, before: pd.DataFrame, after: pd.DataFrame, moment: pd.Timestamp, what: str, rule: str
) -> None:
    mine = before[before.index <= moment]
    theirs = after.reindex(index=mine.index, columns=mine.columns)
    a, b = mine.to_numpy(float), theirs.to_numpy(float)
    scale = book.pipeline.tolerance * np.nan_to_num(mine.std().to_numpy())
    with np.errstate(invalid="ignore"):
        moved = (np.abs(a - b) > scale) | (np.isnan(a) != np.isnan(b))
    for column in np.flatnonzero(moved.any(axis=0)):
        name, row = str(mine.columns[int(column)]), int(np.flatnonzero(moved[:, column])[-1])
        if name in book.excluded or not book.is_new(name, rule):
            continue
        words = (
            f"{name} in the {what} of {stamp(mine.index[row])} went from {a[row, column]:.6g} to "
            f"{b[row, column]:.6g} when only what came after {stamp(moment)} was changed"
        )
        book.add(Finding(subject=name, rule=rule, at=mine.index[row], words=words))
