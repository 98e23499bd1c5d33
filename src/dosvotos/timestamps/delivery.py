"""Refuse a delivery whose labels are not what is stated of them, and say what to state instead."""

from typing import Final, Literal, NamedTuple, NoReturn

import numpy as np
import pandas as pd

from dosvotos.errors import DataError, RefusedBarsError
from dosvotos.market.calendar import BOGOTA
from dosvotos.market.microseconds import US_PER_DAY, US_PER_MINUTE, to_microseconds
from dosvotos.timestamps.labels import (
    LabelShift,
    are_of_two_clocks,
    find_day_shift,
    find_shift,
    local_microseconds,
)
from dosvotos.timestamps.parsing import UTC, WallClock

BarLabels = Literal["open", "close"]
_CLOCKS: Final = (
    BOGOTA, UTC, "America/New_York", "Europe/London", "Europe/Madrid", "Europe/Athens", "America/Chicago",
    "America/Sao_Paulo", "Asia/Tokyo",
)  # fmt: skip
"""Clocks of exchanges, brokers and vendors that may fit where the stated one does not."""
_BOGOTA_TO_UTC: Final = 300 * US_PER_MINUTE
_MIN_OFF_GRID: Final = 0.1
_LAST_MOMENT: Final = 1_000_000
"""Microseconds before a bar's close that still label it: 12:59:59 for 13:00."""
_STATE: Final = "--params data_acquisition."
_CORRECT: Final = "correct the file so that each timestamp is the open of its bar"


class Delivery(NamedTuple):
    """The timestamps of a delivery and what is stated of them."""

    clock: WallClock
    length: pd.Timedelta
    """Of its bars."""
    labels: BarLabels
    timezone: str | None
    """As stated for timestamps without a zone."""
    subject: str

    @property
    def length_us(self) -> int:
        """Length of the bars in microseconds."""
        return int(self.length / pd.Timedelta(microseconds=1))

    @property
    def opens(self) -> pd.Series:
        """Opens of the bars by the stated clock."""
        return _to_opens(self.clock.times, self.length, self.labels)


def _to_opens(times: pd.Series, length: pd.Timedelta, labels: BarLabels) -> pd.Series:
    return times if labels == "open" else times.dt.ceil(length) - length


def refuse_off_grid(delivery: Delivery) -> None:
    """Raise DataError if many timestamps lie between the marks of the grid, 08:00, 08:05 ...

    A few are left to the rules of quality. Closes may be labelled by their last second or millisecond.
    """
    times = delivery.clock.times
    length = delivery.length_us
    offset = to_microseconds(pd.DatetimeIndex(times)) % length
    is_off = offset > 0
    is_last_moment = offset >= length - _LAST_MOMENT
    if is_off.sum() < max(2, _MIN_OFF_GRID * len(times)):
        return
    if delivery.labels == "close" and is_last_moment.all():
        return
    amounts = np.unique(offset[is_off])
    same = f", all by {_duration(int(amounts[0]))}" if len(amounts) == 1 else ""
    found = (
        f"{is_off.sum():,} of {len(times):,} timestamps lie between the marks of a "
        f"{length // US_PER_MINUTE}-minute grid{same}, first {times[is_off].iloc[0]}"
    )
    may_be_closes = is_last_moment.all() and delivery.labels == "open"
    state = f"add {_STATE}bar_labels=close if they are the last moment of each bar"
    raise RefusedBarsError(delivery.subject, found, state if may_be_closes else _CORRECT)


def refuse_shift(delivery: Delivery, instants: pd.Series, close: pd.Series, may_be_mixed: bool) -> None:
    """Raise DataError if sessions lie early or late by the zone stated.

    Parameters
    ----------
    delivery : Delivery
    instants : Series of datetime64
        Opens of the bars, UTC.
    close : Series of float
        Same index.
    may_be_mixed : bool
        Leave to the inference of zones what may be a mixture of Bogota and UTC.
    """
    local = local_microseconds(instants)
    found = find_shift(local, delivery.length_us)
    if found.is_systematic:
        if not (may_be_mixed and _may_be_mixture(found, local, close)):
            _raise_shift(delivery, found)
    elif days := find_day_shift(found.blocks, found.is_judged):
        found_days = (
            f"dates lie {abs(days)} day(s) {'late' if days > 0 else 'early'}: sessions lie on weekends or "
            "holidays, and would not otherwise"
        )
        raise RefusedBarsError(delivery.subject, found_days, "correct the dates in the file")
    elif (
        found.is_shifted.any()
        and _clock_changes(delivery, instants)
        and _find_statement(delivery, exact=True)
    ):
        _raise_shift(delivery, found)


def refuse_unstated_clock(delivery: Delivery) -> None:
    """Raise DataError if timestamps without a zone follow another clock than Bogota's or UTC's."""
    found = find_shift(to_microseconds(pd.DatetimeIndex(delivery.opens)), delivery.length_us)
    if not found.is_systematic or (found.is_uniform and found.shift == _BOGOTA_TO_UTC):
        return
    count = f"{len(delivery.clock.times):,} timestamps carry no zone"
    if statement := _find_statement(delivery):
        if statement.timezone in (BOGOTA, UTC) and statement.labels == delivery.labels:
            return
        raise DataError(f"{delivery.subject}: {count}; {statement.describe(delivery)}")
    if found.is_uniform:
        hours = _session_hours(found, 0 if delivery.labels == "open" else delivery.length_us)
        raise DataError(
            f"{delivery.subject}: {count}, and sessions from {hours} by their clock are those of no zone "
            f"known here; state it with {_STATE}timezone=, or {_CORRECT}"
        )


# ---- what could be stated instead


class _Statement(NamedTuple):
    """A zone and a kind of label by which sessions lie where they should."""

    timezone: str
    labels: BarLabels

    def describe(self, delivery: Delivery) -> str:
        stated = []
        if self.timezone != delivery.timezone:
            stated.append(f"{_STATE}timezone={self.timezone}")
        if self.labels != delivery.labels:
            stated.append(f"{_STATE}bar_labels={self.labels}")
        return (
            f"sessions run from 08:00 to 12:55 in Bogota if they are bar {self.labels}s by the clock of "
            f"{self.timezone}: if they are, state it with {' and '.join(stated)}"
        )


def _clock_changes(delivery: Delivery, instants: pd.Series) -> bool:
    """Tell whether the stated clock changes to or from summer time within a delivery."""
    if delivery.timezone is None or delivery.clock.is_carried:
        return False
    wall = instants.dt.tz_convert(delivery.timezone).dt.tz_localize(None)
    return bool((wall - instants.dt.tz_convert(UTC).dt.tz_localize(None)).nunique() > 1)


def _find_statement(delivery: Delivery, exact: bool = False) -> _Statement | None:
    """Find what, stated of timestamps without a zone, puts all their sessions where they should be.

    `exact` allows not one session elsewhere.
    """
    if delivery.clock.is_carried:
        return None
    other: BarLabels = "close" if delivery.labels == "open" else "open"
    for labels in (delivery.labels, other):
        opens = _to_opens(delivery.clock.written, delivery.length, labels)
        for zone in _CLOCKS:
            if _fits(opens, zone, delivery.length, exact):
                return _Statement(zone, labels)
    return None


def _fits(opens: pd.Series, zone: str, length: pd.Timedelta, exact: bool) -> bool:
    instants = opens.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").dropna()
    if len(instants) < len(opens):
        return False
    found = find_shift(local_microseconds(instants), int(length / pd.Timedelta(microseconds=1)))
    if found.is_systematic or (exact and found.is_shifted.any()):
        return False
    return find_day_shift(found.blocks, found.is_judged) == 0


def _may_be_mixture(found: LabelShift, local: np.ndarray, close: pd.Series) -> bool:
    """Whether the shift is that between Bogota and UTC, or one only because a session is labelled by both."""
    is_common = found.is_so_shifted.sum() > 1 or found.is_uniform
    if abs(found.shift) == _BOGOTA_TO_UTC or not is_common:
        return True
    return are_of_two_clocks(found, local, close.to_numpy(float))


# ---- messages


def _raise_shift(delivery: Delivery, found: LabelShift) -> NoReturn:
    n_found, n_blocks = int(found.is_so_shifted.sum()), len(found.is_shifted)
    days = pd.to_datetime(found.blocks.first[found.is_so_shifted], unit="us").strftime("%Y-%m-%d")
    which = f"{n_found:,} of {n_blocks:,} sessions ({days[0]} to {days[-1]})"
    labels_other = found.shift == (delivery.length_us if delivery.labels == "open" else -delivery.length_us)
    what = (_describe_other_label if labels_other else _describe_lateness)(delivery, found, which)
    if not found.is_uniform:
        what += f"; the other {n_blocks - n_found:,} do not"
    if labels_other and found.is_uniform:
        stated = f"{_STATE}bar_labels=close"
        remedy = f"state it with {stated}" if delivery.labels == "open" else "leave the parameter out"
    else:
        statement = None if labels_other else _find_statement(delivery)
        remedy = statement.describe(delivery) if statement else _CORRECT
    raise RefusedBarsError(delivery.subject, what, remedy)


def _describe_other_label(delivery: Delivery, found: LabelShift, which: str) -> str:
    if delivery.labels == "open":
        return f"{which} have a bar labelled 13:00 in Bogota and none at 08:00, as bar closes would"
    return (
        f"data_acquisition.bar_labels says close, but {which} have a bar labelled 08:00 in Bogota and none "
        "at 13:00, as bar opens would"
    )


def _describe_lateness(delivery: Delivery, found: LabelShift, which: str) -> str:
    moved, must = (
        (0, "08:00 to 12:55") if delivery.labels == "open" else (delivery.length_us, "08:05 to 13:00")
    )
    lateness = f"{_duration(abs(found.shift))} {'late' if found.shift > 0 else 'early'}"
    return f"{which} run {_session_hours(found, moved)} in Bogota instead of {must}, {lateness}"


def _session_hours(found: LabelShift, moved: int) -> str:
    """First and last label of the longest of the shifted blocks, as 09:00 to 13:55."""
    chosen = np.flatnonzero(found.is_so_shifted)
    longest = chosen[(found.blocks.last - found.blocks.first)[chosen].argmax()]
    bounds = found.blocks.first[longest] + moved, found.blocks.last[longest] + moved
    return " to ".join(_time(int(bound)) for bound in bounds)


def _time(microseconds: int) -> str:
    minutes = microseconds % US_PER_DAY // US_PER_MINUTE
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _duration(microseconds: int) -> str:
    """Format a duration as 60 min, 4 min 59 s or 0.5 s."""
    minutes, rest = divmod(microseconds, US_PER_MINUTE)
    parts = [f"{minutes} min"] if minutes else []
    return " ".join([*parts, *([f"{rest / 1e6:g} s"] if rest else [])])
