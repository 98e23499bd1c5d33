"""Find sessions whose labels lie early or late: closes for opens, another clock's hour, another day.

A session is 08:00 to 12:55 in Bogota, by the opens of its bars. A delivered block of labels that is no longer
than that, but does not lie inside, must be moved: by how much, its first and last label bound.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.market.calendar import BARS_PER_SESSION, BOGOTA, closed_days_around
from dosvotos.market.microseconds import US_PER_BAR, US_PER_DAY, US_PER_MINUTE, to_microseconds
from dosvotos.timestamps.blocks import Blocks, split_blocks

SESSION_OPENS_US: Final = 8 * 60 * US_PER_MINUTE
_SESSION_US: Final = BARS_PER_SESSION * US_PER_BAR
_MIN_UNIFORM: Final = 0.9
_MIN_SHARE: Final = 0.1
_MANY: Final = 3
"""From so many blocks on, a single one is an exception."""
_MIN_WEEK: Final = 5
_DAYS: Final = (1, -1, 2, -2, 3, -3)
_MIN_CLOSED: Final = 0.1
_MIN_BETTER: Final = 3
"""By how many times fewer sessions on closed days another date must give."""


class ShiftedSession(NamedTuple):
    """A session whose labels lie early or late."""

    rows: np.ndarray
    """Indices of its bars, in time order."""
    minutes_late: int
    """Smallest shift that its labels allow; negative if early."""


class LabelShift(NamedTuple):
    """How the labels of a delivery lie to the sessions."""

    shift: int
    """Microseconds by which most of the shifted blocks are late; negative if early; 0 if none is shifted."""
    is_shifted: np.ndarray
    """Blocks that lie outside the session, though no longer than it; bool of shape (n_blocks,)."""
    is_judged: np.ndarray
    """Blocks no longer than a session: longer ones, of feeds of all hours, fit any label. Where these are
    half of all, none counts as shifted: a shorter one may be cut off."""
    earliest: np.ndarray
    """Smallest shift, in microseconds, that each block would have if its first bars were missing."""
    latest: np.ndarray
    """Largest one, if its last bars were missing."""
    blocks: Blocks

    @property
    def fits(self) -> np.ndarray:
        """Blocks that `shift` would put inside the session."""
        fits: np.ndarray = self.is_judged & (self.earliest <= self.shift) & (self.shift <= self.latest)
        return fits

    @property
    def is_so_shifted(self) -> np.ndarray:
        """Those of the shifted blocks that `shift` would put inside."""
        is_so_shifted: np.ndarray = self.is_shifted & self.fits
        return is_so_shifted

    @property
    def nearest(self) -> np.ndarray:
        """Smallest shift of each block that puts it inside the session, in microseconds."""
        nearest: np.ndarray = np.maximum(self.earliest, 0) + np.minimum(self.latest, 0)
        return nearest

    @property
    def is_uniform(self) -> bool:
        """Whether nearly all blocks that can be judged may have the one shift, and some must."""
        return self.shift != 0 and bool(self.fits.sum() >= _MIN_UNIFORM * self.is_judged.sum())

    @property
    def is_systematic(self) -> bool:
        """Whether the shift is one of the delivery, not an exception of single sessions.

        It is if neighbours share it, or a single shifted session has neighbours too sparse to show it.
        """
        n_found, n_all = int(self.is_shifted.sum()), len(self.is_shifted)
        may_share, shares = self._neighbours_may_share()
        is_single = n_found == 1 and n_all >= _MANY and not may_share
        is_many = n_found >= max(1, _MIN_SHARE * n_all)
        return n_found > 0 and (self.is_uniform or shares or (is_many and not is_single))

    def _neighbours_may_share(self) -> tuple[bool, bool]:
        """Whether a block beside a shifted one may have its shift, and whether one must have."""
        may_share, shares = False, False
        reaches_session = self.is_shifted & (np.abs(self.nearest) < _SESSION_US)
        for here, beside in ((slice(1, None), slice(-1)), (slice(-1), slice(1, None))):
            shift = self.nearest[here]
            fits = self.is_judged[beside] & (self.earliest[beside] <= shift) & (shift <= self.latest[beside])
            fits &= reaches_session[here]
            may_share |= bool(fits.any())
            shares |= bool((fits & self.is_shifted[beside]).any())
        return may_share, shares


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
    is_shifted = is_judged & ((earliest > 0) | (latest < 0)) & (2 * is_judged.sum() > len(is_judged))
    shift = _most_common(earliest[is_shifted], latest[is_shifted])
    return LabelShift(shift, is_shifted, is_judged, earliest, latest, blocks)


def _most_common(earliest: np.ndarray, latest: np.ndarray) -> int:
    """Smallest of the shifts that lie between most pairs of bounds; 0 without any."""
    candidates = np.unique(np.concatenate([earliest, latest]))
    if len(candidates) == 0:
        return 0
    n_begun = np.searchsorted(np.sort(earliest), candidates, side="right")
    n_inside = n_begun - np.searchsorted(np.sort(latest), candidates, side="left")
    best = candidates[n_inside == n_inside.max()]
    return int(best[np.abs(best).argmin()])


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


def find_shifted_sessions(times: pd.DatetimeIndex, close: np.ndarray) -> list[ShiftedSession]:
    """Find sessions of five-minute bars that lie partly off session, though no longer than one.

    Parameters
    ----------
    times : DatetimeIndex of shape (n_bars,), timezone-aware
    close : array of shape (n_bars,)
        Tells early sessions from those of two clocks, see `has_two_clocks`, which are left out.
    """
    local = local_microseconds(pd.Series(times))
    found = find_shift(local, US_PER_BAR)
    return [
        ShiftedSession(rows, int(found.nearest[index] // US_PER_MINUTE))
        for index, rows in _rows_of_blocks(found.blocks, local, found.is_shifted)
        if _is_inside(local[rows]).any()
        and not (found.nearest[index] < 0 and has_two_clocks(local[rows], close[rows]))
    ]


def are_of_two_clocks(found: LabelShift, local: np.ndarray, close: np.ndarray) -> bool:
    """Tell whether most blocks with the common shift are sessions of two clocks."""
    blocks = _rows_of_blocks(found.blocks, local, found.is_so_shifted)
    return bool(np.mean([has_two_clocks(local[rows], close[rows]) for _, rows in blocks]) > 0.5)


def has_two_clocks(local: np.ndarray, close: np.ndarray) -> bool:
    """Tell whether a shifted session is one of which a part is labelled by Bogota's clock as UTC, or back.

    That part seems to lie before the open or behind the close of the session, where the price then jumps
    farther than from the last label to the first. Labels are in time order.
    """
    is_inside = _is_inside(local)
    joints = np.flatnonzero(np.diff(is_inside))
    if len(joints) != 1:
        return False
    joint, wrap = close[joints[0] + 1] / close[joints[0]], close[0] / close[-1]
    return bool(abs(np.log(joint)) > abs(np.log(wrap))) if min(joint, wrap) > 0 else False


def _rows_of_blocks(
    blocks: Blocks, local: np.ndarray, is_chosen: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the index of each chosen block and its rows, in time order."""
    order = np.argsort(local, kind="stable")
    block = blocks.block[np.searchsorted(blocks.labels, local[order])]
    for index in np.flatnonzero(is_chosen):
        first, end = np.searchsorted(block, [index, index + 1])
        yield int(index), order[first:end]


def _is_inside(local: np.ndarray) -> np.ndarray:
    since_open = local % US_PER_DAY - SESSION_OPENS_US
    return (since_open >= 0) & (since_open < _SESSION_US)


def local_microseconds(instants: pd.Series) -> np.ndarray:
    """Read Bogota's clock at each instant, in microseconds."""
    return to_microseconds(pd.DatetimeIndex(instants).tz_convert(BOGOTA).tz_localize(None))
