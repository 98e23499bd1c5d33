"""Find sessions whose labels lie early or late: closes for opens, another clock's hour, another day.

A session is 08:00 to 12:55 in Bogota, by the opens of its bars. A delivered block of labels that is no longer
than that, but does not lie inside, must be moved: by how much, its first and last label bound.
"""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.market.calendar import BARS_PER_SESSION, BOGOTA, closed_days_around
from dosvotos.market.microseconds import US_PER_BAR, US_PER_DAY, US_PER_MINUTE, to_microseconds
from dosvotos.timestamps.blocks import Blocks, is_systematic, split_blocks

SESSION_OPENS_US: Final = 8 * 60 * US_PER_MINUTE
_SESSION_US: Final = BARS_PER_SESSION * US_PER_BAR
_MIN_UNIFORM: Final = 0.9
_MIN_WEEK: Final = 5
_DAYS: Final = (1, -1, 2, -2, 3, -3)
_MIN_CLOSED: Final = 0.1
_MIN_BETTER: Final = 3
"""By how many times fewer sessions on closed days another date must give."""
_JUMP: Final = 3.0


class LabelShift(NamedTuple):
    """How the labels of a delivery lie to the sessions."""

    shift: int
    """Microseconds by which most of the shifted blocks are late; negative if early; 0 if none is shifted."""
    is_shifted: np.ndarray
    """Blocks that lie outside the session, though no longer than it; bool of shape (n_blocks,)."""
    is_so_shifted: np.ndarray
    """Those of them that `shift` would put inside."""
    is_judged: np.ndarray
    """Blocks no longer than a session: longer ones, of feeds of all hours, fit any label."""
    blocks: Blocks

    @property
    def is_systematic(self) -> bool:
        """Whether shifted blocks are too many to be exceptions."""
        return is_systematic(int(self.is_shifted.sum()), len(self.is_shifted))

    @property
    def is_uniform(self) -> bool:
        """Whether nearly all blocks that can be judged need the one shift."""
        n_uniform = int(self.is_so_shifted.sum())
        return n_uniform > 0 and n_uniform >= _MIN_UNIFORM * int(self.is_judged.sum())


def find_shift(labels: np.ndarray, length: int, opens: int = SESSION_OPENS_US) -> LabelShift:
    """Find the shift of labels against the session.

    Parameters
    ----------
    labels : int64 array of shape (n_rows,)
        Bar opens by some clock, in microseconds, in any order.
    length : int
        Of the bars, in microseconds.
    opens : int
        Microseconds after midnight at which the session opens by that clock.
    """
    blocks = split_blocks(labels)
    latest = blocks.first - opens
    earliest = blocks.last - opens - (_SESSION_US - length)
    days = np.round((latest + earliest) / 2 / US_PER_DAY).astype(np.int64) * US_PER_DAY
    latest, earliest = latest - days, earliest - days
    is_judged = earliest <= latest
    is_shifted = is_judged & ((earliest > 0) | (latest < 0))
    if not is_shifted.any():
        return LabelShift(0, is_shifted, is_shifted, is_judged, blocks)
    candidates = np.unique(np.concatenate([earliest[is_shifted], latest[is_shifted]]))
    n_inside = np.searchsorted(np.sort(earliest[is_shifted]), candidates, side="right") - np.searchsorted(
        np.sort(latest[is_shifted]), candidates, side="left"
    )
    best = candidates[n_inside == n_inside.max()]
    shift = int(best[np.abs(best).argmin()])
    is_so_shifted = is_shifted & (earliest <= shift) & (shift <= latest)
    return LabelShift(shift, is_shifted, is_so_shifted, is_judged, blocks)


def find_day_shift(blocks: Blocks, is_judged: np.ndarray) -> int:
    """Return the days by which dates are late, so that sessions lie on closed days; 0 if they are not.

    `blocks` are in microseconds of Bogota's clock.
    """
    days = (blocks.first[is_judged] // US_PER_DAY).astype("datetime64[D]")
    if len(days) < _MIN_WEEK:
        return 0
    closed = closed_days_around(days, BOGOTA)

    def n_closed(shift: int) -> int:
        return int((~np.is_busday(days - shift, holidays=closed)).sum())

    found = n_closed(0)
    best = min(_DAYS, key=n_closed)
    is_better = n_closed(best) * _MIN_BETTER <= found
    is_holiday_quoted = found == 1 and np.is_busday(days).all()
    return best if found >= _MIN_CLOSED * len(days) and is_better and not is_holiday_quoted else 0


def jumps_at(labels: np.ndarray, close: np.ndarray, minute: int, is_chosen: np.ndarray) -> bool:
    """Tell whether prices jump where labels of the chosen rows pass a minute of the day.

    There two clocks meet if a session is labelled by both, and an ordinary step lies if it is by one.
    """
    order = np.argsort(labels, kind="stable")
    labels, close, is_chosen = labels[order], close[order], is_chosen[order]
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.abs(np.diff(np.log(close)))
    is_step = (np.diff(labels) == US_PER_BAR) & is_chosen[1:] & np.isfinite(moves)
    is_joint = labels[1:] % US_PER_DAY == minute * US_PER_MINUTE
    joint, other = moves[is_step & is_joint], moves[is_step & ~is_joint]
    return len(joint) > 0 and len(other) > 0 and bool(np.median(joint) > _JUMP * np.median(other))


def local_microseconds(instants: pd.Series) -> np.ndarray:
    """Read Bogota's clock at each instant, in microseconds."""
    return to_microseconds(pd.DatetimeIndex(instants).tz_convert(BOGOTA).tz_localize(None))
