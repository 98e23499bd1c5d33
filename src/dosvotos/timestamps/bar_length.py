"""Measure the length of bars by the steps between their labels, and refuse all but five minutes by name."""

from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.errors import RefusedBarsError
from dosvotos.market.calendar import BAR
from dosvotos.market.microseconds import US_PER_BAR, US_PER_DAY, US_PER_MINUTE, to_microseconds
from dosvotos.timestamps.blocks import Blocks, is_systematic, split_blocks

Resample = Literal["1min"]
MINUTE: Final = pd.Timedelta(minutes=1)
_MIN_STEPS: Final = 3
_MIN_SHARE_OF_STEP: Final = 0.5
_MIN_SHARE_OF_MULTIPLES: Final = 0.9
_MIN_FINER: Final = 12
"""Steps below five minutes in a block: fewer are stray rows, which quality quarantines one by one."""
_COARSER_GRIDS: Final = (10, 15, 20, 30, 60)
"""Lengths, in minutes, of bars that may have been filled up to a five-minute grid."""
_MIN_CHANGES: Final = 12
_MIN_SHARE_IN_PHASE: Final = 0.95
_DAILY: Final = round(0.9 * US_PER_DAY)
"""Daylight saving may make a step of daily bars an hour shorter."""
_MAX_BEND: Final = 0.03
"""COP by which a straight line, rounded to 0.01, may bend from one bar to the next."""


def check_bar_length(
    wall: pd.Series, close: pd.Series, resample: Resample | None, subject: str
) -> pd.Timedelta:
    """Return the length of the bars: five minutes, or one where `resample` says so.

    Parameters
    ----------
    wall : Series of datetime64
        Labels of bars, of any clock and in any order.
    close : Series of float
        Same index.
    resample : {"1min"} or None
        Length stated for bars that are to be aggregated.
    subject : str
        Start of every message.

    Raises
    ------
    DataError
        Naming the length found, if bars are of another one, in all the delivery or in many of its sessions.

    Notes
    -----
    A session's length is its most frequent step where this is half of them and nearly all others are
    multiples of it; else its bars are sparse five-minute bars, or ticks where the median step is shorter. A
    delivery of one bar a session has daily bars.
    """
    labels = to_microseconds(pd.DatetimeIndex(wall))
    blocks = split_blocks(labels)
    wanted = BAR if resample is None else MINUTE
    _check_resample(blocks, resample, subject)
    if (found := _find_other_length(blocks, _us(wanted))) is not None:
        raise RefusedBarsError(subject, _describe(found, blocks, wanted), _remedy(found, wanted))
    if (minutes := _filled_grid(labels, close.to_numpy(float))) is not None:
        found_grid = (
            f"{minutes}-minute bars spread over a five-minute grid: closes turn at one phase of it only"
        )
        raise RefusedBarsError(subject, found_grid, "deliver bars that were 5-minute bars from the start")
    return wanted


# ---- steps between labels


class _OtherLength(NamedTuple):
    length: int
    """In microseconds."""
    is_part: np.ndarray
    """Blocks of this length, bool of shape (n_blocks,)."""


def _find_other_length(blocks: Blocks, wanted: int) -> _OtherLength | None:
    """Find the length that the delivery, or many of its blocks, have instead of the wanted one."""
    n_blocks = len(blocks.first)
    is_single = np.bincount(blocks.block, minlength=n_blocks) == 1
    everywhere = np.full(n_blocks, True)
    if n_blocks >= 2 and is_single.mean() > 0.5 and _is_one_hour(blocks.first[is_single]):
        return _OtherLength(int(np.median(np.diff(blocks.first))), everywhere)
    whole = _length_of(blocks.steps)
    if whole is not None and whole != wanted:
        return _OtherLength(whole, everywhere)
    lengths = _block_lengths(blocks)
    is_finer = (lengths < wanted) & (_count_finer(blocks, wanted) >= _MIN_FINER)
    is_coarser = lengths > wanted
    for is_other in (is_finer, is_coarser):
        if (is_other is is_finer and is_other.any()) or is_systematic(is_other.sum(), n_blocks):
            return _OtherLength(int(np.median(lengths[is_other])), is_other)
    return None


def _is_one_hour(labels: np.ndarray) -> bool:
    """Whether labels stand at one time of day, up to an hour of summer time."""
    apart = (labels - labels[0] + US_PER_DAY // 2) % US_PER_DAY - US_PER_DAY // 2
    return len(labels) > 1 and np.ptp(apart) <= 60 * US_PER_MINUTE


def _length_of(steps: np.ndarray) -> int | None:
    """Length of bars with such steps; None where there are too few."""
    if len(steps) < _MIN_STEPS:
        return None
    values, counts = np.unique(steps, return_counts=True)
    common = int(values[counts.argmax()])
    fits = counts.max() >= _MIN_SHARE_OF_STEP * len(steps)
    if fits and (steps % common == 0).mean() >= _MIN_SHARE_OF_MULTIPLES:
        return common
    median = int(np.median(steps))
    if median >= US_PER_BAR:
        return US_PER_BAR
    is_minutes = values.min() >= US_PER_MINUTE and (steps % US_PER_MINUTE == 0).all()
    return US_PER_MINUTE if is_minutes and (values == US_PER_MINUTE).any() else median


def _block_lengths(blocks: Blocks) -> np.ndarray:
    """Length of each block's bars, as `_length_of`; NaN where there are too few."""
    n_blocks, steps = len(blocks.first), blocks.steps
    bounds = np.searchsorted(blocks.step_block, np.arange(n_blocks + 1))
    n = np.diff(bounds)
    n_bars, n_multiples = (
        np.bincount(blocks.step_block, is_one, minlength=n_blocks)
        for is_one in (steps == US_PER_BAR, steps % US_PER_BAR == 0)
    )
    is_bar = (n >= _MIN_STEPS) & (n_bars > n / 2) & (n_bars >= _MIN_SHARE_OF_STEP * n)
    is_bar &= n_multiples >= _MIN_SHARE_OF_MULTIPLES * n
    lengths = np.full(n_blocks, float(US_PER_BAR))
    for index in np.flatnonzero(~is_bar):
        length = _length_of(steps[bounds[index] : bounds[index + 1]])
        lengths[index] = np.nan if length is None else length
    return lengths


def _count_finer(blocks: Blocks, wanted: int) -> np.ndarray:
    return np.bincount(blocks.step_block, blocks.steps < wanted, minlength=len(blocks.first))


def _check_resample(blocks: Blocks, resample: Resample | None, subject: str) -> None:
    if resample is not None and _length_of(blocks.steps) == US_PER_BAR:
        found = (
            f"data_acquisition.resample says {resample}, but these are 5-minute bars (the median step of "
            "their timestamps is 00:05:00)"
        )
        raise RefusedBarsError(subject, found, "leave the parameter out")


# ---- values between labels


def _filled_grid(labels: np.ndarray, close: np.ndarray) -> int | None:
    """Minutes of the coarser bars that were repeated or interpolated on this grid; None if there are none.

    Closes of such bars turn (change, or change their slope) at one phase of the coarser grid only.
    """
    order = np.argsort(labels, kind="stable")
    labels, close = labels[order], close[order]
    follows = np.diff(labels) == US_PER_BAR
    moves = np.diff(close)
    bends = np.abs(np.diff(moves)) > _MAX_BEND
    in_a_row = follows[1:] & follows[:-1] & np.isfinite(close[2:] + close[1:-1] + close[:-2])
    repeated = labels[1:][follows & (np.abs(moves) > 0)]
    is_line = in_a_row & (np.abs(moves[1:]) > 0) & (np.abs(moves[:-1]) > 0)
    is_interpolated = is_line.sum() >= _MIN_CHANGES and (~bends[is_line]).mean() > 0.5
    turns = [repeated, labels[1:-1][is_line & bends]] if is_interpolated else [repeated]
    for minutes in reversed(_COARSER_GRIDS):
        for at in turns:
            phases = np.bincount(at % (minutes * US_PER_MINUTE) // US_PER_BAR)
            if len(at) >= _MIN_CHANGES and phases.max() >= _MIN_SHARE_IN_PHASE * len(at):
                return minutes
    return None


# ---- messages


def _describe(found: _OtherLength, blocks: Blocks, wanted: pd.Timedelta) -> str:
    """Describe bars of another length, in one clause."""
    name, n_found = _name(found.length), int(found.is_part.sum())
    if n_found < len(found.is_part):
        dates = pd.to_datetime(blocks.first[found.is_part][[0, -1]], unit="us").strftime("%Y-%m-%d")
        return f"{name} in {n_found:,} of {len(found.is_part):,} sessions ({dates[0]} to {dates[1]})"
    steps = blocks.steps if found.length < _DAILY else np.diff(blocks.first)
    median = _clock(int(np.median(steps)))
    return f"{name}: the median step of the timestamps is {median}, not {_clock(_us(wanted))}"


def _name(length: int) -> str:
    days, minutes = length / US_PER_DAY, length / US_PER_MINUTE
    if length >= _DAILY:
        return "daily bars" if days < 5 else f"bars of {days:.0f} days"
    if length % US_PER_MINUTE:
        return f"ticks or bars of irregular length, about {_clock(length)} apart"
    return f"{minutes:.0f}-minute bars{' (hourly)' if minutes == 60 else ''}"


def _remedy(found: _OtherLength, wanted: pd.Timedelta) -> str:
    if wanted == MINUTE:
        return (
            "data_acquisition.resample says 1min, which they are not; leave it out, and deliver 5-minute bars"
        )
    if not found.is_part.all():
        return "deliver one length, 5-minute bars, in one file"
    if found.length == US_PER_MINUTE:
        return "to aggregate them to 5-minute bars, add --params data_acquisition.resample=1min"
    return "deliver 5-minute bars"


def _clock(microseconds: int) -> str:
    """Format a duration as 00:05:00, or with days in front."""
    days, rest = divmod(microseconds, US_PER_DAY)
    seconds = rest // 1_000_000
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{days} day(s) {clock}" if days else clock


def _us(duration: pd.Timedelta) -> int:
    return int(duration / pd.Timedelta(microseconds=1))
