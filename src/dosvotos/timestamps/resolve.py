"""Resolve delivered bars to five-minute bars labelled by the instants of their opens, or refuse them.

Nothing is guessed silently: what the bars show is compared with what is stated, and a contradiction is
refused with what was found and what to write.
"""

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.market.calendar import BAR, BOGOTA
from dosvotos.timestamps.bar_length import Resample, check_bar_length
from dosvotos.timestamps.delivery import (
    BarLabels,
    Delivery,
    refuse_off_grid,
    refuse_shift,
    refuse_unstated_clock,
)
from dosvotos.timestamps.parsing import UTC, parse_timestamps, to_utc
from dosvotos.timestamps.resample import resample_minutes
from dosvotos.timestamps.zones import read_zones

MixedTimezone = Literal["refuse", "detect"]


class ResolvedBars(NamedTuple):
    """Bars whose timestamps are the instants of their opens, and what was done for it."""

    bars: pd.DataFrame
    """As given, with ``timestamp`` in ``datetime64[us, UTC]``."""
    note: str
    """Sentences with counts, for the log; empty if the bars are what they state."""


class ResolvedTimestamps(NamedTuple):
    """The instant of each bar's open, and what had to be inferred for it."""

    instants: pd.Series
    """``datetime64[us, UTC]``, indexed as the timestamps."""
    note: str


def resolve_bars(
    bars: pd.DataFrame,
    timezone: str | None,
    mixed_timezone: MixedTimezone | None,
    bar_labels: BarLabels,
    resample: Resample | None,
    subject: str,
) -> ResolvedBars:
    """Resolve zone, labels and length of delivered bars.

    Parameters
    ----------
    bars : DataFrame
        timestamp (str or datetime64), open, high, low, close, volume; numbers, in any order.
    timezone : str or None
        IANA zone of timestamps that carry none.
    mixed_timezone : {"refuse", "detect"} or None
        What to do with timestamps that are not in their zone; None for sources that deliver instants.
    bar_labels : {"open", "close"}
        What the timestamps label; those of closes move back by one bar.
    resample : {"1min"} or None
        Length of bars to be aggregated to five minutes.
    subject : str
        Start of every message, such as the file.

    Raises
    ------
    DataError
        If the bars are of another length, if their labels contradict `bar_labels` or the session, or if their
        zone is unknown or not the one they carry.
    """
    if bars.empty:
        return ResolvedBars(bars.assign(timestamp=pd.Series([], dtype="datetime64[us, UTC]")), "")
    clock = parse_timestamps(bars["timestamp"], timezone, subject)
    length = check_bar_length(clock.written, bars["close"], resample, subject)
    delivery = Delivery(clock, length, bar_labels, timezone, subject)
    resolved = resolve_timestamps(delivery, bars["close"], mixed_timezone)
    read = bars.assign(timestamp=resolved.instants)
    if resample is None:
        return ResolvedBars(read, resolved.note)
    resampled = resample_minutes(read)
    return ResolvedBars(resampled.bars, "; ".join(filter(None, [resolved.note or subject, resampled.note])))


def resolve_timestamps(
    delivery: Delivery, close: pd.Series, mixed: MixedTimezone | None
) -> ResolvedTimestamps:
    """Return the instant at which each bar opens, as `resolve_bars`."""
    refuse_off_grid(delivery)
    wall = delivery.opens
    if mixed is None and delivery.clock.zone is None:
        raise DataError(
            f"{delivery.subject}: timestamps must carry their time zone, found naive ones; write "
            "2025-07-01T13:00:00+00:00"
        )
    has_third_zone = delivery.timezone not in (None, UTC, BOGOTA)
    if mixed is None or has_third_zone:
        zones, note = np.full(len(wall), delivery.clock.zone, dtype=object), ""
    else:
        if delivery.clock.zone is None:
            refuse_unstated_clock(delivery)
        else:
            refuse_shift(delivery, to_utc(wall, delivery.clock.zone), close, may_be_mixed=True)
        zones, note = _read_zones(delivery, close, mixed)
    instants = to_utc(wall, zones)
    refuse_shift(delivery, instants, close, may_be_mixed=mixed is None)
    return ResolvedTimestamps(instants, note)


def _read_zones(delivery: Delivery, close: pd.Series, mixed: MixedTimezone) -> tuple[np.ndarray, str]:
    """Read zones of five-minute bars; of shorter ones by the last bar of each five minutes."""
    wall = delivery.opens
    if delivery.length == BAR:
        return read_zones(wall, close, delivery.clock, mixed, delivery.subject)
    marks = wall.dt.floor(BAR)
    chosen = ~marks[wall.sort_values(kind="stable").index].duplicated(keep="last").sort_index()
    read = read_zones(marks[chosen], close[chosen], delivery.clock, mixed, delivery.subject)
    zone_of = pd.Series(read.zones, index=marks[chosen])
    return zone_of[marks].to_numpy(), read.note
