"""Train, val and test by session with an embargo between them, once or walk-forward by fold."""

from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import CalendarParams, DateRangesParams, Parameters, SplitsParams
from dosvotos.errors import DataError
from dosvotos.market.calendar import REGULAR, scheduled_sessions, session_dates
from dosvotos.refusals import Phrase


class Split(NamedTuple):
    """The scheduled sessions from first to last, both included."""

    name: str
    first: date
    last: date
    calendar: CalendarParams = REGULAR

    def sessions(self) -> np.ndarray:
        """List the scheduled sessions, ``datetime64[D]``."""
        return scheduled_sessions(self.first, self.last, self.calendar)

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Select the rows (index: bar open, UTC) whose session lies in the split.

        Raises
        ------
        DataError
            If there are none.
        """
        days = session_dates(pd.DatetimeIndex(rows.index))
        chosen = rows[(days >= np.datetime64(self.first)) & (days <= np.datetime64(self.last))]
        if chosen.empty:
            stored = Phrase.of("stored_nothing")
            if len(days):
                stored = Phrase.of("stored_between", first=days.min(), last=days.max())
            raise DataError.of(
                "split_without_bars",
                name=self.name,
                first=self.first,
                last=self.last,
                stored=stored,
                ways_out=Phrase.of("ways_out"),
            )
        return chosen


def splits_of(parameters: Parameters) -> dict[str, Split]:
    """Make the splits of a contract's parameters, in which the test's end is settled.

    Raises
    ------
    DataError
        As `make_splits`; also if the test's end is still open.
    """
    end = parameters.date_ranges.test.end
    if end is None:
        raise DataError(
            "date_ranges.test.end: is still open; run 'kedro run --pipelines dataset', whose contract "
            "settles it"
        )
    return make_splits(parameters.date_ranges, end, parameters.splits, parameters.calendar)


def make_splits(
    dates: DateRangesParams, test_end: date, settings: SplitsParams, calendar: CalendarParams = REGULAR
) -> dict[str, Split]:
    """Make train, val and test from date ranges, less the embargo: the last sessions of train and of val.

    Parameters
    ----------
    dates : DateRangesParams
    test_end : date
    settings : SplitsParams
        With ``mode: walk_forward`` and a `fold` the test range is cut into `folds` consecutive windows of
        equal length, give or take a session; without one, as the whole line, the ranges stay as stated. The
        fold's test is its window; its train and val lie as long before that
        window as the stated ones before the whole range, counted in sessions, and are as long; an expanding
        train begins where the stated one does.

    Returns
    -------
    dict of Split
        ``train``, ``val`` and ``test``, disjoint and in this order.

    Raises
    ------
    DataError
        If a split has no session left, test would end before it starts, or it has fewer sessions than folds.

    Notes
    -----
    A row's outcome, the fill at the next close and the bar after it, lies in its own split, since the last
    order of a split does not fill: no purge is needed beside the embargo. Fold 1 of 1 is ``single``.
    """
    if test_end < dates.test.start:
        ways_out = Phrase.of("ways_out")
        raise DataError.of("test_not_stored", start=dates.test.start, last=test_end, ways_out=ways_out)
    stated = {
        "train": Split("train", dates.train.start, dates.train.end, calendar),
        "val": Split("val", dates.val.start, dates.val.end, calendar),
        "test": Split("test", dates.test.start, test_end, calendar),
    }
    ranges = stated if settings.fold is None else _fold(stated, settings)
    embargoed = {name: _without_embargo(ranges[name], settings.embargo_sessions) for name in ("train", "val")}
    return {**embargoed, "test": _without_embargo(ranges["test"], 0)}


def fold_parameters(parameters: Parameters) -> list[Parameters]:
    """List the parameters of each fold of a line, in order, under which that fold is trained."""
    splits = parameters.splits
    folds = range(1, (splits.folds or 0) + 1)
    return [
        parameters.model_copy(update={"splits": splits.model_copy(update={"fold": fold})}) for fold in folds
    ]


def folds_of(parameters: Parameters) -> list[dict[str, Split]]:
    """Make the splits of each fold of a line, whose tests follow one another over the line's test."""
    return [splits_of(of_fold) for of_fold in fold_parameters(parameters)]


def _fold(stated: dict[str, Split], settings: SplitsParams) -> dict[str, Split]:
    folds, fold = settings.folds or 1, settings.fold or 1
    test_sessions = stated["test"].sessions()
    if len(test_sessions) < folds:
        raise DataError(
            f"splits.folds: {folds} folds need as many test sessions; {stated['test'].first} to "
            f"{stated['test'].last} has {len(test_sessions)}; state fewer folds"
        )
    window = np.array_split(test_sessions, folds)[fold - 1]
    shift = int(np.searchsorted(test_sessions, window[0]))
    all_sessions = scheduled_sessions(stated["train"].first, stated["test"].last, stated["test"].calendar)
    train = _shift(stated["train"], all_sessions, shift)
    if settings.train_window == "expanding":
        train = train._replace(first=stated["train"].first)
    return {
        "train": train,
        "val": _shift(stated["val"], all_sessions, shift),
        "test": stated["test"]._replace(first=window[0].astype(object), last=window[-1].astype(object)),
    }


def _shift(split: Split, all_sessions: np.ndarray, shift: int) -> Split:
    """Move a split by `shift` scheduled sessions, at equal length."""
    sessions = split.sessions()
    if shift == 0 or len(sessions) == 0:
        return split
    start = int(np.searchsorted(all_sessions, sessions[0])) + shift
    first, last = all_sessions[start], all_sessions[start + len(sessions) - 1]
    return split._replace(first=first.astype(object), last=last.astype(object))


def _without_embargo(split: Split, embargo_sessions: int) -> Split:
    sessions = split.sessions()
    kept = sessions[: max(0, len(sessions) - embargo_sessions)]
    if len(kept) == 0:
        raise DataError.of(
            "split_embargoed",
            name=split.name,
            first=split.first,
            last=split.last,
            ways_out=Phrase.of("ways_out"),
        )
    return split._replace(last=kept[-1].astype(object)) if embargo_sessions else split
