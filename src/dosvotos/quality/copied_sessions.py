"""Copy rule of 5-minute bars: a session that repeats the closes of another one, bar by bar."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.market.calendar import session_dates, slots
from dosvotos.quality.findings import QualityCheck

COPIED_SESSION: Final = "copied_session"
_MIN_CLOSES: Final = 12
"""Different closes that two sessions share at the same times of day; true ones share three."""
_MIN_SHARE: Final = 0.9
"""Of the shorter session's bars."""


class _Closes(NamedTuple):
    """One close a bar of a session; arrays of shape (n_bars,)."""

    day: np.ndarray
    slot: np.ndarray
    close: np.ndarray

    @classmethod
    def of(cls, bars: pd.DataFrame) -> "_Closes":
        times = pd.DatetimeIndex(bars["timestamp"])
        slot = slots(times)
        inside = slot >= 0
        return cls(session_dates(times)[inside], slot[inside], bars["close"].to_numpy(float)[inside])


def quarantine_copied_sessions(check: QualityCheck, stored: pd.DataFrame | None = None) -> None:
    """Quarantine the bars of sessions whose closes are those of another session.

    Of two alike the one that is stored stays, else the earlier.

    Parameters
    ----------
    check : QualityCheck
        Its rows lie in sessions, each instant once.
    stored : DataFrame or None
        Bars stored before: timestamp (UTC), close; each instant once.
    """
    delivered = _Closes.of(check.rows)
    known = _Closes.of(stored) if stored is not None and len(stored) else None
    stored_days = set() if known is None else set(known.day.tolist())
    copied_from: dict[Any, Any] = {}
    for one, other in _alike(delivered if known is None else _join(check.rows, stored)):
        original, copy = sorted((one, other), key=lambda day: (day.item() not in stored_days, day))
        copied_from.setdefault(copy.item(), original)
    if not copied_from:
        return
    days = delivered.day.astype(object)
    violates = np.isin(days, list(copied_from))
    says = "repeats the closes of {} bar by bar: a day delivered twice"
    check.quarantine(COPIED_SESSION, violates, [f"{d} {says.format(copied_from[d])}" for d in days[violates]])


def _join(rows: pd.DataFrame, stored: pd.DataFrame | None) -> _Closes:
    """Return the closes delivered, and those stored at other times."""
    columns = ["timestamp", "close"]
    both = pd.concat([part[columns] for part in (rows, stored) if part is not None])
    return _Closes.of(both.drop_duplicates("timestamp"))


def _alike(closes: _Closes) -> Iterator[tuple[np.datetime64, np.datetime64]]:
    """Yield the pairs of days that have nearly all closes in common, the earlier first."""
    frame = pd.DataFrame(closes._asdict())
    frame = frame[frame.duplicated(["slot", "close"], keep=False)]
    candidates = frame.groupby("day")["close"].nunique()
    frame = frame[frame["day"].isin(candidates.index[candidates >= _MIN_CLOSES])]
    if frame.empty:
        return
    days, counts = np.unique(closes.day, return_counts=True)
    pairs = frame.merge(frame, on=["slot", "close"], suffixes=("", "_other"))
    pairs = pairs[pairs["day"] < pairs["day_other"]]
    for _, shared in pairs.groupby(["day", "day_other"]):
        one, other = shared[["day", "day_other"]].iloc[0].to_numpy("datetime64[D]")
        n_bars = counts[np.searchsorted(days, [one, other])].min()
        if len(shared) >= _MIN_SHARE * n_bars and shared["close"].nunique() >= _MIN_CLOSES:
            yield one, other
