"""Train, val and test by session, with an embargo between them, once or fold by fold."""

from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import DateRangesParams, Parameters, SplitsParams
from dosvotos.errors import DataError
from dosvotos.market.calendar import scheduled_sessions, session_dates


class Split(NamedTuple):
    """The scheduled sessions from first to last, both included."""

    name: str
    first: date
    last: date

    def sessions(self) -> np.ndarray:
        """Scheduled sessions as ``datetime64[D]``."""
        return scheduled_sessions(self.first, self.last)

    def take(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows (index: bar open, UTC) whose session lies in the split.

        Raises
        ------
        DataError
            If there are none.
        """
        days = session_dates(pd.DatetimeIndex(rows.index))
        chosen = rows[(days >= np.datetime64(self.first)) & (days <= np.datetime64(self.last))]
        if chosen.empty:
            raise DataError(f"{self.name}: no bars between {self.first} and {self.last}")
        return chosen


def splits_of(parameters: Parameters) -> dict[str, Split]:
    """The splits of an experiment whose test end is settled, as a contract's parameters have it.

    Raises
    ------
    DataError
        As `make_splits`; also if the test's end is still open.
    """
    end = parameters.date_ranges.test.end
    if end is None:
        raise DataError("date_ranges.test.end: still open; the experiment's contract settles it")
    return make_splits(parameters.date_ranges, end, parameters.splits)


def make_splits(dates: DateRangesParams, test_end: date, settings: SplitsParams) -> dict[str, Split]:
    """Cut the date ranges; the embargo removes the last scheduled sessions of train and of val.

    Parameters
    ----------
    dates : DateRangesParams
    test_end : date
    settings : SplitsParams
        With ``mode: walk_forward`` the test range is cut into `folds` consecutive windows of equal length,
        give or take a session. The fold's test is its window; its train and val lie as long before that
        window as the stated ones before the whole range, counted in sessions, and are as long; an expanding
        train begins where the stated one does.

    Returns
    -------
    dict of Split
        ``train``, ``val`` and ``test``, apart and in this order.

    Raises
    ------
    DataError
        If a split has no session left, test would end before it starts, or it has fewer sessions than folds.

    Notes
    -----
    What a row teaches, the fill at the next close and the bar that follows, is over within its own split: the
    last order of a split does not fill. So the embargo is the whole purge; a first fold of one is ``single``.
    """
    if test_end < dates.test.start:
        raise DataError(
            f"test: starts {dates.test.start}, but the last complete session stored is {test_end}"
        )
    stated = {
        "train": Split("train", dates.train.start, dates.train.end),
        "val": Split("val", dates.val.start, dates.val.end),
        "test": Split("test", dates.test.start, test_end),
    }
    cut = stated if settings.mode == "single" else _fold(stated, settings)
    return {
        "train": _shortened(cut["train"], settings.embargo_sessions),
        "val": _shortened(cut["val"], settings.embargo_sessions),
        "test": _shortened(cut["test"], 0),
    }


def _fold(stated: dict[str, Split], settings: SplitsParams) -> dict[str, Split]:
    folds, fold = settings.folds or 1, settings.fold or 1
    tested = stated["test"].sessions()
    if len(tested) < folds:
        raise DataError(
            f"splits.folds: {folds} folds need as many test sessions; {stated['test'].first} to "
            f"{stated['test'].last} has {len(tested)}"
        )
    window = np.array_split(tested, folds)[fold - 1]
    shift = int(np.searchsorted(tested, window[0]))
    everything = scheduled_sessions(stated["train"].first, stated["test"].last)
    train = _shifted(stated["train"], everything, shift)
    if settings.train_window == "expanding":
        train = train._replace(first=stated["train"].first)
    return {
        "train": train,
        "val": _shifted(stated["val"], everything, shift),
        "test": Split("test", window[0].astype(object), window[-1].astype(object)),
    }


def _shifted(split: Split, everything: np.ndarray, shift: int) -> Split:
    """The split so many sessions later, as many sessions long."""
    sessions = split.sessions()
    if shift == 0 or len(sessions) == 0:
        return split
    place = int(np.searchsorted(everything, sessions[0])) + shift
    first, last = everything[place], everything[place + len(sessions) - 1]
    return Split(split.name, first.astype(object), last.astype(object))


def _shortened(split: Split, embargo_sessions: int) -> Split:
    sessions = split.sessions()
    kept = sessions[: max(0, len(sessions) - embargo_sessions)]
    if len(kept) == 0:
        raise DataError(
            f"{split.name}: no session left between {split.first} and {split.last} after the embargo"
        )
    return split._replace(last=kept[-1].astype(object)) if embargo_sessions else split
