"""Find the time zone of a file's timestamps where the file does not state it, or states it wrong.

The session, 08:00 to 12:55 in Bogota, is 13:00 to 17:55 UTC: a timestamp in the first window is in session
only as Bogota wall clock, one in the second only as UTC. A day with timestamps in one window gets the zone
that puts them in session. A day with both is in two zones if the closes of one instant are equal; else in one
zone, whose session is the window with the larger moves. An undecided day takes the zone of its neighbours; if
these disagree, the file is refused.
"""

from typing import Final, Literal, NamedTuple, cast

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.market.calendar import BARS_PER_SESSION, BOGOTA
from dosvotos.timestamps.parsing import UTC, WallClock

_MIXED: Final = "mixed"
_UNDECIDED: Final = ""
_CONTRADICTORY: Final = "contradictory"
_OUTSIDE: Final = "outside"
_SESSION_OPENS: Final = {BOGOTA: 8 * 60, UTC: 13 * 60}
"""Minute of the day at which the session opens, by zone of the clock."""
_SAME_PRICE_BPS: Final = 1.0
_MIN_ACTIVITY_RATIO: Final = 1.5
_JUMP: Final = 3.0
"""Times its typical move by which a day's price must jump where two clocks meet."""
_MIN_BARS: Final = 12
"""Fewest bars, an hour of them, for a comparison of two windows."""
_MAX_SHARE_OFF_SESSION: Final = 0.05
"""Of days with bars outside both windows, up to which a delivery counts as one of sessions only."""
_MIN_FILL_RATIO: Final = 0.25
_HOW_TO_STATE: Final = "state it with --params data_acquisition.timezone="
_HOW_TO_CORRECT: Final = "correct the file"
_HOW_TO_DETECT: Final = (
    f"{_HOW_TO_CORRECT}, or have each stamp read in its own zone with --params "
    "data_acquisition.mixed_timezone=detect"
)


class _Evidence(NamedTuple):
    zones: np.ndarray
    """Zone inferred for each timestamp, "" where undecided; shape (n_rows,)."""
    fills_sessions: bool
    """Whether every slot of the session has bars if read so; with a third zone's clock it would not."""
    is_continuous: bool
    """Whether prices do not jump where two zones meet; with a third zone's clock they would."""
    unclear: pd.Series
    """By day with timestamps in both windows whose prices do not tell one clock from two: how it is read."""
    days_with_both: int
    instants_in_both: int
    max_difference: float
    """Largest COP difference between the two closes of an instant that has a bar in both zones."""


class ReadZones(NamedTuple):
    """The zone in which each timestamp is read, and what is to be said of it."""

    zones: np.ndarray
    """UTC or Bogota, shape (n_rows,)."""
    note: str
    """A sentence with counts, for the log; empty if the timestamps are in the zone they state."""


def read_zones(
    wall: pd.Series, close: pd.Series, stated: WallClock, mixed: Literal["refuse", "detect"], subject: str
) -> ReadZones:
    """Infer the zone of each timestamp where it may be another than stated.

    Parameters
    ----------
    wall : Series of datetime64
        Bar opens by the stated clock.
    close : Series of float
        COP per USD, same index: prices tell the zones apart.
    stated : WallClock
    mixed : {"refuse", "detect"}
        Whether to refuse timestamps that have no zone or not that stated, or to read each in its own.
    subject : str
        Start of every message.

    Raises
    ------
    DataError
        With counts, if `mixed` is ``refuse`` and timestamps are not in their zone or have none, or if the
        zones cannot be inferred.
    """
    all_stated = np.full(len(wall), stated.zone, dtype=object)
    if stated.zone is not None and not _reach_other_session(pd.DatetimeIndex(wall), stated.zone):
        return ReadZones(all_stated, "")
    evidence = _infer_zones(pd.DatetimeIndex(wall), close.to_numpy(float))
    zones, unclear = evidence.zones, _describe_unclear(evidence.unclear, stated.zone)
    if stated.zone is not None:
        if {*pd.unique(zones)} <= {stated.zone, _UNDECIDED, _CONTRADICTORY}:
            return ReadZones(all_stated, f"{subject}: {unclear}" if unclear else "")
        zones = np.where(zones == _UNDECIDED, stated.zone, zones)
    found = _describe(zones, wall, stated.zone, evidence)
    if reason := _undecided_because(zones, wall, evidence, whole_sessions=stated.zone is None):
        stated_helps = stated.zone is None and _CONTRADICTORY not in zones
        remedy = f"{_HOW_TO_STATE}America/Bogota, UTC or another zone" if stated_helps else _HOW_TO_CORRECT
        raise DataError(f"{subject}: {found}; {reason}; {remedy}")
    if mixed == "refuse":
        one_zone = not stated.is_carried and len(set(zones)) == 1
        raise DataError(f"{subject}: {found}; {f'{_HOW_TO_STATE}{zones[0]}' if one_zone else _HOW_TO_DETECT}")
    said = "; ".join(filter(None, [found, "each was read in its own zone", unclear]))
    return ReadZones(zones, f"{subject}: {said}")


# ---- what sessions and prices show


def _reach_other_session(wall: pd.DatetimeIndex, stated: str) -> bool:
    """Whether a timestamp is in session by another clock; without one nothing speaks against that stated."""
    minute = _minutes(wall)
    return any(
        bool(((minute >= opens) & (minute < opens + 5 * BARS_PER_SESSION)).any())
        for zone, opens in _SESSION_OPENS.items()
        if zone != stated
    )


def _minutes(wall: pd.DatetimeIndex) -> np.ndarray:
    minutes: np.ndarray = (wall.hour * 60 + wall.minute).to_numpy()
    return minutes


def _infer_zones(wall: pd.DatetimeIndex, close: np.ndarray) -> _Evidence:
    """Infer the zone of each timestamp day by day, and check the result as a whole."""
    rows = _classify(wall, close)
    day_of, dates = pd.factorize(rows["day"], sort=True)
    n = _count_windows(rows, day_of, pd.DatetimeIndex(dates, name="day"))
    is_told = (n[BOGOTA] > 0) & (n[UTC] > 0)
    in_both = _instants_in_both(rows[is_told.to_numpy()[day_of]])
    days = _decide_days(rows, day_of, n, in_both)
    zone = days["zone"].to_numpy()
    zones, is_mixed = zone[day_of], (zone == _MIXED)[day_of]
    zones[is_mixed] = np.where(rows["minute"][is_mixed] < _SESSION_OPENS[UTC], BOGOTA, UTC)
    mixed_days = days.index[days["zone"] == _MIXED]
    difference = in_both.loc[in_both["day"].isin(mixed_days), "difference"]
    return _Evidence(
        zones=zones,
        fills_sessions=_fills_sessions(rows, zones),
        is_continuous=_is_continuous(rows[is_mixed]),
        unclear=days.loc[days["is_unclear"], "zone"],
        days_with_both=len(mixed_days),
        instants_in_both=len(difference),
        max_difference=float(difference.max()) if len(difference) else 0.0,
    )


def _classify(wall: pd.DatetimeIndex, close: np.ndarray) -> pd.DataFrame:
    """Table of day, minute, window (the zone that puts the timestamp in session), slot and close."""
    minute = _minutes(wall)
    code, slot = np.full(len(wall), len(_SESSION_OPENS)), np.full(len(wall), -1)
    for number, opens in enumerate(_SESSION_OPENS.values()):
        inside = (minute >= opens) & (minute < opens + 5 * BARS_PER_SESSION)
        code[inside], slot[inside] = number, (minute[inside] - opens) // 5
    window = pd.Categorical.from_codes(code, pd.Index([*_SESSION_OPENS, _OUTSIDE]))
    columns = {"wall": wall, "day": wall.normalize(), "minute": minute, "window": window, "slot": slot}
    return pd.DataFrame(columns | {"close": np.where(close > 0, close, np.nan)})


def _count_windows(rows: pd.DataFrame, day_of: np.ndarray, dates: pd.DatetimeIndex) -> pd.DataFrame:
    """Count each day's timestamps by window."""
    window = rows["window"].cat
    n_windows = len(window.categories)
    n = np.bincount(day_of * n_windows + window.codes.to_numpy(), minlength=len(dates) * n_windows)
    return pd.DataFrame(n.reshape(-1, n_windows), index=dates, columns=list(window.categories))


def _instants_in_both(rows: pd.DataFrame) -> pd.DataFrame:
    """Instants with a bar in both windows of a day: day, both closes, and their difference in COP."""
    keys = ["day", "slot"]
    local, utc = (
        rows[rows["window"] == zone].drop_duplicates(keys)[[*keys, "close"]] for zone in _SESSION_OPENS
    )
    in_both = local.merge(utc, on=keys, suffixes=("_local", "_utc"))
    return in_both.assign(difference=(in_both["close_local"] - in_both["close_utc"]).abs())


class _Days(NamedTuple):
    """What is known of each day, by day; activity is NaN, and flags false, where there is too little."""

    n: pd.DataFrame
    """Timestamps by window."""
    activity: pd.DataFrame
    """Mean absolute 5-minute move by window."""
    n_in_both: pd.Series
    """Instants with a bar in both windows."""
    difference: pd.Series
    """Median difference of their closes, in basis points."""
    is_moving: pd.Series
    """Whether these closes differ among each other, so that equal prices tell something."""
    is_continuous: pd.Series
    """Whether the clock shows both 12:55 and 13:00."""
    typical_move: pd.Series
    """Median 5-minute move, in basis points."""
    joint_move: pd.Series
    """Move from 12:55 to 13:00 of the clock."""

    @property
    def has_both(self) -> pd.Series:
        return (self.n[BOGOTA] > 0) & (self.n[UTC] > 0)

    @property
    def is_in_session(self) -> pd.Series:
        """Whether hardly a timestamp lies outside both windows: a feed of sessions, not of many hours."""
        return self.n[_OUTSIDE] < _MIN_BARS

    @property
    def has_few_in_both(self) -> pd.Series:
        return self.n_in_both < _MIN_BARS

    def is_livelier(self, zone: str, other: str) -> pd.Series:
        return self.activity[zone] > _MIN_ACTIVITY_RATIO * self.activity[other]

    def is_session(self, zone: str) -> pd.Series:
        return (self.n[zone] > 0) & (self.is_in_session | self.is_livelier(zone, _OUTSIDE))


def _measure_days(rows: pd.DataFrame, day_of: np.ndarray, n: pd.DataFrame, in_both: pd.DataFrame) -> _Days:
    """Measure the days that hold both windows or many bars off session; the others' zone is told by `n`."""
    needed = ((n[BOGOTA] > 0) & (n[UTC] > 0)) | (n[_OUTSIDE] >= _MIN_BARS)
    needed |= needed.shift(-1, fill_value=False)  # a move may begin at the end of the day before
    rows = rows[needed.to_numpy()[day_of]]
    pairs = in_both.assign(bps=in_both["difference"] / in_both["close_utc"] * 1e4).groupby("day")
    at_joint = rows["minute"].isin([_SESSION_OPENS[UTC] - 5, _SESSION_OPENS[UTC]])
    both_at_joint = rows[at_joint].groupby("day")["minute"].nunique().eq(2)
    typical_move, joint_move = _moves_of_days(rows, n.index)
    return _Days(
        n=n,
        activity=_mean_abs_moves(rows).reindex(index=n.index, columns=n.columns),
        n_in_both=pairs.size().reindex(n.index, fill_value=0),
        difference=pairs["bps"].median().reindex(n.index),
        is_moving=(pairs["close_utc"].nunique() > 1).reindex(n.index, fill_value=False),
        is_continuous=both_at_joint.reindex(n.index, fill_value=False),
        typical_move=typical_move,
        joint_move=joint_move,
    )


def _decide_days(
    rows: pd.DataFrame, day_of: np.ndarray, n: pd.DataFrame, in_both: pd.DataFrame
) -> pd.DataFrame:
    """Counts of each day by window, the zone of its timestamps (one, mixed, undecided), and `is_unclear`.

    An unclear day has both windows and fits either reading. In a feed without bars off session it is read as
    mixed, which loses none of its bars; else as its neighbours.
    """
    days = _measure_days(rows, day_of, n, in_both)
    two_zones = _holds_two_zones(days)
    one_zone = days.has_both & days.is_moving & ~two_zones
    alone = ~days.has_both & bool(one_zone.mean() <= 0.5)  # a feed of many hours may hold a day's early ones
    zone = np.select(
        [
            two_zones,
            one_zone & days.is_livelier(BOGOTA, UTC),
            one_zone & days.is_livelier(UTC, BOGOTA),
            alone & days.is_session(BOGOTA),
            alone & days.is_session(UTC),
        ],
        [_MIXED, BOGOTA, UTC, BOGOTA, UTC],
        _UNDECIDED,
    )
    conflicting = _has_conflicting_duplicates(rows).reindex(days.n.index, fill_value=False)
    is_unclear = days.has_both & days.is_in_session & (zone == _UNDECIDED) & ~conflicting
    has_sessions_only = bool((~days.is_in_session).mean() <= _MAX_SHARE_OFF_SESSION)
    loses_none = is_unclear & days.has_few_in_both & has_sessions_only
    decided = _fill_from_neighbours(pd.Series(np.where(loses_none, _MIXED, zone), index=days.n.index))
    return days.n.assign(zone=decided.mask(conflicting, _CONTRADICTORY), is_unclear=is_unclear)


def _holds_two_zones(days: _Days) -> pd.Series:
    """Whether a day's windows are one session by two clocks.

    They are if they share no instant, or the closes of shared ones agree. Of a few shared instants that
    disagree, as a vendor's revisions do, it is said by a gap or a jump of the price where the clocks meet.
    """
    tells = days.is_moving | days.is_in_session
    same_price = days.difference <= _SAME_PRICE_BPS
    meets = (days.difference <= days.typical_move) | (days.joint_move > _JUMP * days.typical_move)
    of_few = days.has_few_in_both & ((tells & ~days.is_continuous) | (days.is_in_session & meets))
    return cast(pd.Series, days.has_both & ((days.n_in_both == 0) | (tells & same_price) | of_few))


def _has_conflicting_duplicates(rows: pd.DataFrame) -> pd.Series:
    """Whether many timestamps of a day occur twice with different prices: two clocks overlap in it."""
    repeated = rows[rows["wall"].duplicated(keep=False).to_numpy()]
    spread = repeated.groupby(["day", "wall"])["close"].agg(["min", "max"])
    difference = (spread["max"] / spread["min"] - 1) * 1e4 > _SAME_PRICE_BPS
    return cast(pd.Series, difference.groupby("day").sum() >= _MIN_BARS)


def _fill_from_neighbours(zone: pd.Series) -> pd.Series:
    """Give undecided days the zone of the decided days before and after, where these agree."""
    decided = zone.where(zone != _UNDECIDED)
    before, after = decided.ffill(), decided.bfill()
    agreed = before.where((before == after) | after.isna(), after.where(before.isna()))
    return decided.fillna(agreed).fillna(_UNDECIDED)


def _mean_abs_moves(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute 5-minute log return by day and window, NaN with too few bars."""
    ordered = rows.sort_values("wall", kind="stable")
    same = (ordered["day"].diff() == pd.Timedelta(0)) & (ordered["window"] == ordered["window"].shift())
    next_bar = ordered["wall"].diff() == pd.Timedelta(minutes=5)
    size = np.log(ordered["close"]).diff().abs().where(same & next_bar)
    moves = size.groupby([ordered["day"], ordered["window"]], observed=False)
    return cast(pd.DataFrame, moves.mean().where(moves.count() >= _MIN_BARS - 1).unstack())


def _moves_of_days(rows: pd.DataFrame, days: pd.Index) -> tuple[pd.Series, pd.Series]:
    """Median 5-minute move of each day in basis points, and its move from 12:55 to 13:00 of the clock."""
    ordered = rows.drop_duplicates("wall").sort_values("wall", kind="stable")
    moves = (
        np.log(ordered["close"]).diff().abs().where(ordered["wall"].diff() == pd.Timedelta(minutes=5)) * 1e4
    )
    is_joint = ordered["minute"] == _SESSION_OPENS[UTC]
    typical = moves[~is_joint].groupby(ordered["day"]).median().reindex(days)
    return typical, moves[is_joint].groupby(ordered["day"]).max().reindex(days)


def _fills_sessions(rows: pd.DataFrame, zones: np.ndarray) -> bool:
    """Whether every slot of the session has bars; a third zone's clock would leave slots empty."""
    slot, code = rows["slot"].to_numpy(), rows["window"].cat.codes.to_numpy()
    on_grid = (slot >= 0) & (rows["minute"].to_numpy() % 5 == 0)
    filled = np.zeros(BARS_PER_SESSION, dtype=int)
    for number, zone in enumerate(_SESSION_OPENS):
        filled += np.bincount(slot[on_grid & (code == number) & (zones == zone)], minlength=BARS_PER_SESSION)
    return bool(filled.min() >= _MIN_FILL_RATIO * filled.max())


def _is_continuous(rows: pd.DataFrame) -> bool:
    """Whether prices of mixed days jump at most twice as far in the inferred order as in the written one."""
    in_window = rows[rows["slot"] >= 0].assign(log=np.log(rows["close"]))
    read = in_window.sort_values(["day", "slot", "window"])
    meets = (read["day"] == read["day"].shift()) & (read["window"] != read["window"].shift())
    as_read = read["log"].diff().abs()[meets & (read["slot"] > read["slot"].shift())]
    stamped = in_window.sort_values("wall", kind="stable")
    meets = (stamped["day"] == stamped["day"].shift()) & (stamped["window"] != stamped["window"].shift())
    as_stamped = stamped["log"].diff().abs()[meets]
    return as_read.empty or as_stamped.empty or bool(as_read.mean() <= 2 * as_stamped.mean())


# ---- messages


def _describe(zones: np.ndarray, wall: pd.Series, declared_zone: str | None, evidence: _Evidence) -> str:
    """Describe what was inferred, in one clause."""
    if declared_zone is None:
        counts = " and ".join(
            f"{int((zones == zone).sum()):,} as {zone}{_date_range(wall, zones == zone)}"
            for zone in (UTC, BOGOTA)
            if (zones == zone).any()
        )
        how = f"read {counts or 'in neither zone'}"
        found = f"{len(wall):,} timestamps carry no zone; they fill sessions if {how}"
    else:
        other = zones != declared_zone
        zone = BOGOTA if declared_zone == UTC else UTC
        found = (
            f"{int(other.sum()):,} of {len(wall):,} timestamps stated to be {declared_zone} are {zone} wall "
            f"clock{_date_range(wall, other)}"
        )
    if evidence.days_with_both:
        found += (
            f"; {evidence.days_with_both} day(s) hold both, {evidence.instants_in_both:,} instant(s) have "
            f"a bar under both with closes up to {evidence.max_difference:.2f} apart"
        )
    return found


def _undecided_because(zones: np.ndarray, wall: pd.Series, evidence: _Evidence, whole_sessions: bool) -> str:
    """Say why the zones cannot be inferred; empty if they can."""
    if (conflicting := zones == _CONTRADICTORY).any():
        dates = _date_range(wall, conflicting)
        return f"timestamps occur twice with different prices{dates}, and no price tells which is which"
    if n := int((zones == _UNDECIDED).sum()):
        return f"{n:,} fit either zone"
    if not evidence.is_continuous or (whole_sessions and not evidence.fills_sessions):
        return "but this makes no whole sessions, so that their zone is undecided"
    return ""


def _describe_unclear(unclear: pd.Series, stated: str | None) -> str:
    """State the days that fit either reading, and how each is read; empty without any."""
    said = []
    for zone, days in unclear.groupby(unclear.replace(_UNDECIDED, stated or _UNDECIDED)):
        dates = ", ".join(f"{day:%Y-%m-%d}" for day in days.index[:5]) + (", ..." if len(days) > 5 else "")
        how = "as two zones, which loses no bar" if zone == _MIXED else f"as {zone}, as the days around are"
        said.append(
            f"prices of {len(days):,} day(s) with both do not tell one zone from two ({dates}): read {how}"
        )
    return "; ".join(said)


def _date_range(wall: pd.Series, chosen: np.ndarray) -> str:
    return f" ({wall[chosen].min():%Y-%m-%d} to {wall[chosen].max():%Y-%m-%d})" if chosen.any() else ""
