"""Deliveries of bars that contradict themselves: a column is another, or a market stands twice."""

from typing import Final

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.market.calendar import BAR, session_dates
from dosvotos.quality.findings import QUARANTINED, CheckedRows

_CONTRADICTIONS: Final = ("impossible_price", "close_outside_range", "wick")
"""Rules that bars break one by one, or most of them where a column is wrong."""
MOST, MIN_WRONG = 0.5, 10
_SPREAD, _MIN_SESSIONS = 0.1, 5
_MOSTLY: Final = 0.6
"""Share of bars from which the ends are swapped; of true ones it is at most a quarter."""
_REMEDY: Final = "Nothing is stored. Correct the columns, and deliver the file again"


def refuse_wrong_columns(bars: CheckedRows, origin: str) -> None:
    """Refuse bars of which most contradict themselves or each other, or whose ends are swapped.

    Raises
    ------
    DataError
    """
    wrong = bars.findings[bars.findings["rule"].isin(_CONTRADICTIONS)]
    out = wrong[wrong["severity"] == QUARANTINED]
    n_bars = len(bars.kept) + len(out)
    if len(wrong) >= MIN_WRONG and (
        len(wrong) > MOST * n_bars or _is_in_most_sessions(wrong["at"], bars.kept["timestamp"], out["at"])
    ):
        first = wrong.iloc[0]
        raise DataError(
            f"{origin}: {len(wrong):,} of {n_bars:,} bars contradict themselves, the first at "
            f"{first['at']:%Y-%m-%d %H:%M} UTC ({first['rule']}: {first['detail']}): a column stands in "
            f"another's place, or is of another unit. {_REMEDY}"
        )
    _refuse_two_markets(bars, origin)
    _refuse_swapped_ends(bars.kept, origin)


def _refuse_two_markets(bars: CheckedRows, origin: str) -> None:
    """Refuse bars of one source of which most stand twice with different closes."""
    told = bars.findings[bars.findings["rule"] == "duplicate_disagrees"]
    if len(told) < MIN_WRONG:
        return
    kept = bars.kept[["timestamp", "source"]]
    twice = told[["at", "source"]].merge(kept, left_on=["at", "source"], right_on=["timestamp", "source"])
    n_twice = twice["at"].nunique()
    if n_twice > MOST * len(kept):
        raise DataError(
            f"{origin}: {n_twice:,} of {len(kept):,} bars stand twice with different closes, the first at "
            f"{twice['at'].min():%Y-%m-%d %H:%M} UTC: these are two markets, or two versions of one. Nothing "
            "is stored. Keep one, and deliver the file again"
        )


def _is_in_most_sessions(wrong: pd.Series, kept: pd.Series, out: pd.Series) -> bool:
    """Tell whether a tenth and more of the bars are wrong in most of five sessions and more."""
    n_wrong, *n_bars = (
        pd.Series(session_dates(pd.DatetimeIndex(times))).value_counts() for times in (wrong, kept, out)
    )
    share = n_wrong.reindex((total := n_bars[0].add(n_bars[1], fill_value=0)).index, fill_value=0) / total
    return len(share) >= _MIN_SESSIONS and bool((share >= _SPREAD).mean() > MOST)


def _refuse_swapped_ends(bars: pd.DataFrame, origin: str) -> None:
    """Refuse bars that go on from the open, and not the close, of the bar before: the two are swapped."""
    times = pd.DatetimeIndex(bars["timestamp"]).tz_localize(None).to_numpy()
    follows = np.flatnonzero(np.diff(times) == BAR.to_timedelta64()) + 1
    first, last = (np.log(bars[name].to_numpy(float)) for name in ("open", "close"))
    as_named = np.abs(first[follows] - last[follows - 1])
    swapped = np.abs(last[follows] - first[follows - 1])
    better = int((swapped < as_named).sum())
    if better < MIN_WRONG or better <= _MOSTLY * int((swapped != as_named).sum()):
        return
    raise DataError(
        f"{origin}: open and close are in each other's place: {better:,} of {len(follows):,} closes lie "
        f"nearer to the open before them than opens to the close before them. {_REMEDY}"
    )
