"""Train, val and test by session, with an embargo between them."""

from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import DateRangesParams
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


def make_splits(dates: DateRangesParams, test_end: date, embargo_sessions: int) -> dict[str, Split]:
    """Cut the date ranges; the embargo removes the last scheduled sessions of train and of val.

    Raises
    ------
    DataError
        If a split has no session left, or test would end before it starts.
    """
    if test_end < dates.test.start:
        raise DataError(
            f"test: starts {dates.test.start}, but the last complete session stored is {test_end}"
        )
    return {
        "train": _shortened("train", dates.train.start, dates.train.end, embargo_sessions),
        "val": _shortened("val", dates.val.start, dates.val.end, embargo_sessions),
        "test": _shortened("test", dates.test.start, test_end, 0),
    }


def _shortened(name: str, start: date, end: date, embargo_sessions: int) -> Split:
    sessions = scheduled_sessions(start, end)
    kept = sessions[: max(0, len(sessions) - embargo_sessions)]
    if len(kept) == 0:
        raise DataError(f"{name}: no session left between {start} and {end} after the embargo")
    return Split(name, start, kept[-1].astype(object))
