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

UTC: Final = "UTC"
_MIXED: Final = "mixed"
_UNDECIDED: Final = ""
_CONTRADICTORY: Final = "contradictory"
_OUTSIDE: Final = "outside"
_SESSION_OPENS: Final = {BOGOTA: 8 * 60, UTC: 13 * 60}
"""Minute of the day at which the session opens, by zone of the clock."""
_BOGOTA_OFFSET: Final = pd.Timedelta(hours=5)
_SAME_PRICE_BPS: Final = 1.0
_MIN_ACTIVITY_RATIO: Final = 1.5
_MIN_BARS: Final = 12
"""Fewest bars, an hour of them, for a comparison of two windows."""
_MIN_FILL_RATIO: Final = 0.25
_HOW_TO_STATE: Final = "state it with --params data_acquisition.timezone="
_HOW_TO_CORRECT: Final = "correct the file"
_HOW_TO_DETECT: Final = (
    f"{_HOW_TO_CORRECT}, or have each stamp read in its own zone with --params "
    "data_acquisition.mixed_timezone=detect"
)


class ResolvedTimestamps(NamedTuple):
    """The instant of each timestamp, and what had to be inferred for it."""

    instants: pd.Series
    """``datetime64[us, UTC]``, indexed as the timestamps."""
    note: str
    """A sentence with counts, for the log; empty if the timestamps are in the zone they state."""


class _Evidence(NamedTuple):
    zones: np.ndarray
    """Zone inferred for each timestamp, "" where undecided; shape (n_rows,)."""
    fills_sessions: bool
    """Whether every slot of the session has bars if read so; with a third zone's clock it would not."""
    is_continuous: bool
    """Whether prices do not jump where two zones meet; with a third zone's clock they would."""
    days_with_both: int
    instants_in_both: int
    max_difference: float
    """Largest COP difference between the two closes of an instant that has a bar in both zones."""


def resolve_timestamps(
    timestamps: pd.Series,
    close: pd.Series,
    timezone: str | None,
    mixed: Literal["refuse", "detect"],
    context: str = "bars",
) -> ResolvedTimestamps:
    """Return the UTC instant of each timestamp.

    Parameters
    ----------
    timestamps : Series of str or datetime64
        Bar opens, all with a zone or all without.
    close : Series of float
        COP per USD, same index: prices tell the zones apart.
    timezone : str or None
        Zone of timestamps without one.
    mixed : {"refuse", "detect"}
        Whether to refuse timestamps that are not in the zone they carry or `timezone` states, or that have
        neither, or to read each in the zone inferred for it.
    context : str
        Start of every message, such as the file.

    Returns
    -------
    ResolvedTimestamps

    Raises
    ------
    DataError
        With counts, if `mixed` is ``refuse`` and timestamps are not in their zone or have none, or if the
        zones cannot be inferred.
    """
    if timestamps.empty:
        return ResolvedTimestamps(pd.Series([], dtype="datetime64[us, UTC]"), "")
    wall, declared_zone = _parse(timestamps, timezone, context)
    evidence = _infer_zones(pd.DatetimeIndex(wall), close.to_numpy(float))
    zones = evidence.zones
    if declared_zone is not None:
        if np.isin(zones, [declared_zone, _UNDECIDED, _CONTRADICTORY]).all():
            return ResolvedTimestamps(_to_utc(wall, np.full(len(wall), declared_zone, dtype=object)), "")
        zones = np.where(zones == _UNDECIDED, declared_zone, zones)
    found = _describe(zones, wall, declared_zone, evidence)
    if reason := _undecided_because(zones, wall, evidence, whole_sessions=declared_zone is None):
        stated_helps = declared_zone is None and _CONTRADICTORY not in zones
        remedy = f"{_HOW_TO_STATE}America/Bogota, UTC or another zone" if stated_helps else _HOW_TO_CORRECT
        raise DataError(f"{context}: {found}; {reason}; {remedy}")
    if mixed == "refuse":
        one_zone = declared_zone is None and len(set(zones)) == 1
        remedy = f"{_HOW_TO_STATE}{zones[0]}" if one_zone else _HOW_TO_DETECT
        raise DataError(f"{context}: {found}; {remedy}")
    return ResolvedTimestamps(_to_utc(wall, zones), f"{context}: {found}; each was read in its own zone")


# ---- what the timestamps state


def _parse(timestamps: pd.Series, timezone: str | None, context: str) -> tuple[pd.Series, str | None]:
    """Parse timestamps to their wall clock and the zone they state: UTC, Bogota or None."""
    is_text = not pd.api.types.is_datetime64_any_dtype(timestamps.dtype)
    times = _from_text(timestamps, context) if is_text else timestamps
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        if timezone is not None:
            raise DataError(
                f"{context}: data_acquisition.timezone {timezone!r} is for timestamps without a zone, but "
                f"these carry one, first {timestamps.iloc[0]}; leave the parameter out"
            )
        return _utc_wall_clock(times), UTC
    if timezone is None or timezone in _SESSION_OPENS:
        return times.astype("datetime64[us]"), timezone
    try:
        return _utc_wall_clock(times.dt.tz_localize(timezone)), UTC
    except ValueError as error:
        raise DataError(
            f"{context}: a timestamp does not exist once in {timezone}: {error}; write timestamps in UTC"
        ) from error


def _from_text(timestamps: pd.Series, context: str) -> pd.Series:
    text = timestamps.astype("str")
    zoned = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    if zoned.any() and not zoned.all():
        raise DataError(
            f"{context}: {int(zoned.sum()):,} timestamps carry a zone and {int((~zoned).sum()):,} do not, "
            f"first {text[~zoned].iloc[0]!r}; write all as 2025-07-01T13:00:00+00:00"
        )
    try:
        return pd.to_datetime(text, utc=bool(zoned.all()), format="ISO8601")
    except ValueError as error:
        reason = str(error).partition(" You might want")[0]
        raise DataError(f"{context}: timestamp: {reason}; write 2025-07-01T13:00:00+00:00") from error


def _utc_wall_clock(times: pd.Series) -> pd.Series:
    return cast(pd.Series, times.dt.tz_convert(UTC).dt.tz_localize(None).astype("datetime64[us]"))


def _to_utc(wall: pd.Series, zones: np.ndarray) -> pd.Series:
    """Convert wall clocks to instants; Bogota has no daylight saving time."""
    instants = wall.where(zones != BOGOTA, wall + _BOGOTA_OFFSET).dt.tz_localize("UTC")
    return cast(pd.Series, instants.astype("datetime64[us, UTC]"))


# ---- what sessions and prices show


def _infer_zones(wall: pd.DatetimeIndex, close: np.ndarray) -> _Evidence:
    """Infer the zone of each timestamp day by day, and check the result as a whole."""
    rows = _classify(wall, close)
    in_both = _instants_in_both(rows)
    days = _decide_days(rows, in_both)
    zone = days["zone"].reindex(rows["day"]).to_numpy()
    zones = np.where(zone == _MIXED, np.where(rows["minute"] < _SESSION_OPENS[UTC], BOGOTA, UTC), zone)
    mixed_days = days.index[days["zone"] == _MIXED]
    difference = in_both.loc[in_both["day"].isin(mixed_days), "difference"]
    return _Evidence(
        zones=zones,
        fills_sessions=_fills_sessions(rows, zones),
        is_continuous=_is_continuous(rows[rows["day"].isin(mixed_days)]),
        days_with_both=len(mixed_days),
        instants_in_both=len(difference),
        max_difference=float(difference.max()) if len(difference) else 0.0,
    )


def _classify(wall: pd.DatetimeIndex, close: np.ndarray) -> pd.DataFrame:
    """Table of day, minute, window (the zone that puts the timestamp in session), slot and close."""
    minute = (wall.hour * 60 + wall.minute).to_numpy()
    window, slot = np.full(len(wall), _OUTSIDE, dtype=object), np.full(len(wall), -1)
    for zone, opens in _SESSION_OPENS.items():
        inside = (minute >= opens) & (minute < opens + 5 * BARS_PER_SESSION)
        window[inside], slot[inside] = zone, (minute[inside] - opens) // 5
    columns = {"wall": wall, "day": wall.normalize(), "minute": minute, "window": window, "slot": slot}
    return pd.DataFrame(columns | {"close": np.where(close > 0, close, np.nan)})


def _instants_in_both(rows: pd.DataFrame) -> pd.DataFrame:
    """Instants with a bar in both windows of a day: day, both closes, and their difference in COP."""
    keys = ["day", "slot"]
    local, utc = (
        rows[rows["window"] == zone].drop_duplicates(keys)[[*keys, "close"]] for zone in _SESSION_OPENS
    )
    in_both = local.merge(utc, on=keys, suffixes=("_local", "_utc"))
    return in_both.assign(difference=(in_both["close_local"] - in_both["close_utc"]).abs())


def _decide_days(rows: pd.DataFrame, in_both: pd.DataFrame) -> pd.DataFrame:
    """Counts of each day by window, and the zone of its timestamps: one, mixed, or undecided."""
    counts = rows.groupby(["day", "window"]).size().unstack(fill_value=0)
    n = counts.reindex(columns=[*_SESSION_OPENS, _OUTSIDE], fill_value=0)
    activity = _mean_abs_moves(rows).reindex(index=n.index, columns=n.columns)
    pairs = in_both.assign(bps=in_both["difference"] / in_both["close_utc"] * 1e4).groupby("day")
    n_in_both = pairs.size().reindex(n.index, fill_value=0)
    difference = pairs["bps"].median().reindex(n.index)
    is_moving = (pairs["close_utc"].nunique() > 1).reindex(n.index, fill_value=False)
    at_joint = rows["minute"].isin([_SESSION_OPENS[UTC] - 5, _SESSION_OPENS[UTC]])
    is_continuous = rows[at_joint].groupby("day")["minute"].nunique().eq(2).reindex(n.index, fill_value=False)

    def is_livelier(zone: str, other: str) -> pd.Series:
        return activity[zone] > _MIN_ACTIVITY_RATIO * activity[other]

    def is_session(zone: str) -> pd.Series:
        return (n[zone] > 0) & ((n[_OUTSIDE] < _MIN_BARS) | is_livelier(zone, _OUTSIDE))

    both = (n[BOGOTA] > 0) & (n[UTC] > 0)
    same_price = is_moving & (difference <= _SAME_PRICE_BPS)
    by_chance = (n_in_both < _MIN_BARS) & ~is_continuous
    two_zones = both & ((n_in_both == 0) | same_price | (is_moving & by_chance))
    one_zone = both & is_moving & ~two_zones
    alone = ~both & bool(one_zone.mean() <= 0.5)  # a feed of many hours may hold a day's early ones only
    zone = np.select(
        [
            two_zones,
            one_zone & is_livelier(BOGOTA, UTC),
            one_zone & is_livelier(UTC, BOGOTA),
            alone & is_session(BOGOTA),
            alone & is_session(UTC),
        ],
        [_MIXED, BOGOTA, UTC, BOGOTA, UTC],
        _UNDECIDED,
    )
    decided = _fill_from_neighbours(pd.Series(zone, index=n.index))
    conflicting = _has_conflicting_duplicates(rows).reindex(n.index, fill_value=False)
    return n.assign(zone=decided.mask(conflicting, _CONTRADICTORY))


def _has_conflicting_duplicates(rows: pd.DataFrame) -> pd.Series:
    """Whether many timestamps of a day occur twice with different prices: two clocks overlap in it."""
    repeated = rows[rows["wall"].duplicated(keep=False)]
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
    moves = size.groupby([ordered["day"], ordered["window"]])
    return cast(pd.DataFrame, moves.mean().where(moves.count() >= _MIN_BARS - 1).unstack())


def _fills_sessions(rows: pd.DataFrame, zones: np.ndarray) -> bool:
    """Whether every slot of the session has bars; a third zone's clock would leave slots empty."""
    in_session = (rows["window"] == zones) & (rows["minute"] % 5 == 0)
    filled = np.bincount(rows.loc[in_session, "slot"], minlength=BARS_PER_SESSION)
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


def _date_range(wall: pd.Series, chosen: np.ndarray) -> str:
    return f" ({wall[chosen].min():%Y-%m-%d} to {wall[chosen].max():%Y-%m-%d})" if chosen.any() else ""
