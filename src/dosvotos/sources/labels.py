"""The zone a file's stamps are written in, where the file does not say, or says it wrong.

The session, 08:00 to 12:55 in Bogota, is 13:00 to 17:55 UTC: a stamp of the first window lies in the session
only as Bogota wall clock, one of the second only as UTC. A day with stamps in one window is read so that they
are the session. A day with both holds two zones if the closes of one instant agree, else one zone, whose
session is the livelier window. What a day does not decide its neighbours do; what they do not is refused.
"""

from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.market.calendar import BARS_PER_SESSION, BOGOTA

UTC: Final = "UTC"
_MIXED: Final = "mixed"
_UNDECIDED: Final = ""
_CONTRADICTORY: Final = "contradictory"
_OUTSIDE: Final = "outside"
_OPENS: Final = {BOGOTA: 8 * 60, UTC: 13 * 60}
"""Minute of the day at which the session opens on a clock of each zone."""
_SHIFT: Final = pd.Timedelta(hours=5)
_AGREE_BPS: Final = 1.0
_LIVELIER: Final = 1.5
_ENOUGH: Final = 12
"""Bars, an hour of them, from which a comparison says something."""
_EVENLY_FILLED: Final = 0.25
_HOW_TO_STATE: Final = "state it with --params data_acquisition.timezone="
_HOW_TO_CORRECT: Final = "correct the file"
_HOW_TO_DETECT: Final = (
    f"{_HOW_TO_CORRECT}, or have each stamp read in its own zone with --params "
    "data_acquisition.mixed_timezone=detect"
)


class Labels(NamedTuple):
    """When each row happened, and what had to be found out for it."""

    instants: pd.Series
    """``datetime64[us, UTC]``, by the index of the stamps."""
    note: str
    """A sentence with counts; empty if the stamps said it themselves."""


class _Evidence(NamedTuple):
    reading: np.ndarray
    """Zone of each stamp, or "" where nothing decides; shape (n_rows,)."""
    evenly: bool
    """Whether the readings fill the session evenly; a third zone's clock would not."""
    goes_on: bool
    """Whether prices go on where two readings meet; with a third zone's clock they would not."""
    days_with_both: int
    instants_twice: int
    furthest_apart: float
    """COP between the closes of one instant under both labels."""


def read_stamps(
    stamps: pd.Series, close: pd.Series, timezone: str | None, mixed: Literal["refuse", "detect"]
) -> Labels:
    """Find the instant of each stamp.

    Parameters
    ----------
    stamps : Series of str or datetime64
        Bar opens, all with their zone or all without.
    close : Series of float
        COP per USD, same index; the prices tell the zones apart.
    timezone : str or None
        Zone of stamps that carry none.
    mixed : {"refuse", "detect"}
        What to do where stamps are not in the zone they carry or `timezone` states, or where neither exists.

    Returns
    -------
    Labels

    Raises
    ------
    DataError
        With counts, if stamps are not in their zone or have none and `mixed` is ``refuse``, or if the
        evidence does not decide.
    """
    if stamps.empty:
        return Labels(pd.Series([], dtype="datetime64[us, UTC]"), "")
    wall, declared = _parse(stamps, timezone)
    evidence = _weigh(pd.DatetimeIndex(wall), close.to_numpy(float))
    reading = evidence.reading
    if declared is not None:
        if np.isin(reading, [declared, _UNDECIDED, _CONTRADICTORY]).all():
            return Labels(_instants(wall, np.full(len(wall), declared, dtype=object)), "")
        reading = np.where(reading == _UNDECIDED, declared, reading)
    found = _describe(reading, wall, declared, evidence)
    if doubt := _doubt(reading, wall, evidence, needs_whole_sessions=declared is None):
        stated_helps = declared is None and _CONTRADICTORY not in reading
        how = f"{_HOW_TO_STATE}America/Bogota, UTC or another zone" if stated_helps else _HOW_TO_CORRECT
        raise DataError(f"bars: {found}; {doubt}; {how}")
    if mixed == "refuse":
        one_zone = declared is None and len(set(reading)) == 1
        how = f"{_HOW_TO_STATE}{reading[0]}" if one_zone else _HOW_TO_DETECT
        raise DataError(f"bars: {found}; {how}")
    return Labels(_instants(wall, reading), f"bars: {found}; each was read in its own zone")


# ---- what the stamps say themselves


def _parse(stamps: pd.Series, timezone: str | None) -> tuple[pd.Series, str | None]:
    """Wall clock of each stamp, and the zone it is said to show: UTC, Bogota or none."""
    times = stamps if pd.api.types.is_datetime64_any_dtype(stamps.dtype) else _from_text(stamps)
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        if timezone is not None:
            raise DataError(
                f"data_acquisition.timezone: {timezone!r} is for stamps without a zone, but those of the "
                f"bars carry one, first {stamps.iloc[0]}; leave it out"
            )
        return _clock(times, UTC), UTC
    if timezone is None or timezone in _OPENS:
        return times.astype("datetime64[us]"), timezone
    try:
        return _clock(times.dt.tz_localize(timezone), UTC), UTC
    except ValueError as error:
        raise DataError(f"bars: a stamp does not exist once in {timezone}: {error}") from error


def _from_text(stamps: pd.Series) -> pd.Series:
    text = stamps.astype("str")
    zoned = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    if zoned.any() and not zoned.all():
        raise DataError(
            f"bars: {int(zoned.sum()):,} stamps carry their zone and {int((~zoned).sum()):,} do not, first "
            f"{text[~zoned].iloc[0]!r}; write all as 2025-07-01T13:00:00+00:00"
        )
    try:
        return pd.to_datetime(text, utc=bool(zoned.all()), format="ISO8601")
    except ValueError as error:
        raise DataError(f"bars: not an ISO 8601 timestamp: {error}") from error


def _clock(times: pd.Series, zone: str) -> pd.Series:
    wall: pd.Series = times.dt.tz_convert(zone).dt.tz_localize(None).astype("datetime64[us]")
    return wall


def _instants(wall: pd.Series, reading: np.ndarray) -> pd.Series:
    """UTC instants; Bogota keeps no summer time."""
    instants: pd.Series = wall.where(reading != BOGOTA, wall + _SHIFT).dt.tz_localize("UTC")
    return instants.astype("datetime64[us, UTC]")


# ---- what sessions and prices say


def _weigh(wall: pd.DatetimeIndex, close: np.ndarray) -> _Evidence:
    """Weigh the stamps day by day, then all readings together."""
    rows = _rows(wall, close)
    twice = _instants_twice(rows)
    days = _days(rows, twice)
    zone = days["zone"].reindex(rows["day"]).to_numpy()
    reading = np.where(zone == _MIXED, np.where(rows["minute"] < _OPENS[UTC], BOGOTA, UTC), zone)
    mixed_days = days.index[days["zone"] == _MIXED]
    apart = twice.loc[twice["day"].isin(mixed_days), "apart"]
    return _Evidence(
        reading=reading,
        evenly=_evenly_filled(rows, reading),
        goes_on=_goes_on_across_joints(rows[rows["day"].isin(mixed_days)]),
        days_with_both=len(mixed_days),
        instants_twice=len(apart),
        furthest_apart=float(apart.max()) if len(apart) else 0.0,
    )


def _rows(wall: pd.DatetimeIndex, close: np.ndarray) -> pd.DataFrame:
    """Each stamp with its day, its minute and its window, named by the zone that puts it in session."""
    minute = (wall.hour * 60 + wall.minute).to_numpy()
    window, slot = np.full(len(wall), _OUTSIDE, dtype=object), np.full(len(wall), -1)
    for zone, opens in _OPENS.items():
        inside = (minute >= opens) & (minute < opens + 5 * BARS_PER_SESSION)
        window[inside], slot[inside] = zone, (minute[inside] - opens) // 5
    columns = {"wall": wall, "day": wall.normalize(), "minute": minute, "window": window, "slot": slot}
    return pd.DataFrame(columns | {"close": np.where(close > 0, close, np.nan)})


def _instants_twice(rows: pd.DataFrame) -> pd.DataFrame:
    """The instants that would stand under both labels: day, close under each, and COP between the two."""
    keys = ["day", "slot"]
    local, utc = (rows[rows["window"] == zone].drop_duplicates(keys)[[*keys, "close"]] for zone in _OPENS)
    twice = local.merge(utc, on=keys, suffixes=("_local", "_utc"))
    return twice.assign(apart=(twice["close_local"] - twice["close_utc"]).abs())


def _days(rows: pd.DataFrame, twice: pd.DataFrame) -> pd.DataFrame:
    """What each day shows, and the zone its stamps are read in: one, mixed, or undecided."""
    counts = rows.groupby(["day", "window"]).size().unstack(fill_value=0)
    n = counts.reindex(columns=[*_OPENS, _OUTSIDE], fill_value=0)
    lively = _liveliness(rows).reindex(index=n.index, columns=n.columns)
    pairs = twice.assign(bps=twice["apart"] / twice["close_utc"] * 1e4).groupby("day")
    n_twice = pairs.size().reindex(n.index, fill_value=0)
    apart = pairs["bps"].median().reindex(n.index)
    moves = (pairs["close_utc"].nunique() > 1).reindex(n.index, fill_value=False)
    ends = rows[rows["minute"].isin([_OPENS[UTC] - 5, _OPENS[UTC]])].groupby("day")["minute"].nunique()
    goes_on = (ends == 2).reindex(n.index, fill_value=False)

    def session_in(zone: str, other: str) -> pd.Series:
        return (n[zone] > 0) & ((n[other] < _ENOUGH) | (lively[zone] > _LIVELIER * lively[other]))

    both = (n[BOGOTA] > 0) & (n[UTC] > 0)
    agree = moves & (apart <= _AGREE_BPS)
    by_chance = (n_twice < _ENOUGH) & ~goes_on
    two_zones = both & ((n_twice == 0) | agree | (moves & by_chance))
    one_zone = both & moves & ~two_zones
    alone = ~both & bool(one_zone.mean() <= 0.5)  # a feed of many hours may hold a day's early ones only
    zone = np.select(
        [
            two_zones,
            one_zone & (lively[BOGOTA] > _LIVELIER * lively[UTC]),
            one_zone & (lively[UTC] > _LIVELIER * lively[BOGOTA]),
            alone & session_in(BOGOTA, _OUTSIDE),
            alone & session_in(UTC, _OUTSIDE),
        ],
        [_MIXED, BOGOTA, UTC, BOGOTA, UTC],
        _UNDECIDED,
    )
    decided = _as_their_neighbours(pd.Series(zone, index=n.index))
    clash = _contradicts_itself(rows).reindex(n.index, fill_value=False)
    return n.assign(zone=decided.mask(clash, _CONTRADICTORY))


def _contradicts_itself(rows: pd.DataFrame) -> pd.Series:
    """Whether many stamps of a day stand twice with other prices: two clocks, and no telling them apart."""
    again = rows[rows["wall"].duplicated(keep=False)]
    spread = again.groupby(["day", "wall"])["close"].agg(["min", "max"])
    apart = (spread["max"] / spread["min"] - 1) * 1e4 > _AGREE_BPS
    many: pd.Series = apart.groupby("day").sum() >= _ENOUGH
    return many


def _as_their_neighbours(zone: pd.Series) -> pd.Series:
    """Undecided days take the zone of the decided days before and after, where these agree."""
    decided = zone.where(zone != _UNDECIDED)
    before, after = decided.ffill(), decided.bfill()
    agreed = before.where((before == after) | after.isna(), after.where(before.isna()))
    return decided.fillna(agreed).fillna(_UNDECIDED)


def _liveliness(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean size of the 5-minute moves in each window of each day, where there are enough of them."""
    ordered = rows.sort_values("wall", kind="stable")
    same = (ordered["day"].diff() == pd.Timedelta(0)) & (ordered["window"] == ordered["window"].shift())
    next_bar = ordered["wall"].diff() == pd.Timedelta(minutes=5)
    size = np.log(ordered["close"]).diff().abs().where(same & next_bar)
    moves = size.groupby([ordered["day"], ordered["window"]])
    lively: pd.DataFrame = moves.mean().where(moves.count() >= _ENOUGH - 1).unstack()
    return lively


def _evenly_filled(rows: pd.DataFrame, reading: np.ndarray) -> bool:
    """Whether every place of the session has bars; it would not if a third zone were read as these."""
    in_session = (rows["window"] == reading) & (rows["minute"] % 5 == 0)
    filled = np.bincount(rows.loc[in_session, "slot"], minlength=BARS_PER_SESSION)
    return bool(filled.min() >= _EVENLY_FILLED * filled.max())


def _goes_on_across_joints(rows: pd.DataFrame) -> bool:
    """Whether prices of days read in two zones go on where these meet, rather than as stamped."""
    placed = rows[rows["slot"] >= 0].assign(log=np.log(rows["close"]))
    read = placed.sort_values(["day", "slot", "window"])
    meets = (read["day"] == read["day"].shift()) & (read["window"] != read["window"].shift())
    as_read = read["log"].diff().abs()[meets & (read["slot"] > read["slot"].shift())]
    stamped = placed.sort_values("wall", kind="stable")
    meets = (stamped["day"] == stamped["day"].shift()) & (stamped["window"] != stamped["window"].shift())
    as_stamped = stamped["log"].diff().abs()[meets]
    return as_read.empty or as_stamped.empty or bool(as_read.mean() <= 2 * as_stamped.mean())


# ---- what to say


def _describe(reading: np.ndarray, wall: pd.Series, declared: str | None, evidence: _Evidence) -> str:
    """What was found, in one clause."""
    if declared is None:
        counts = " and ".join(
            f"{int((reading == zone).sum()):,} as {zone}{_span(wall, reading == zone)}"
            for zone in (UTC, BOGOTA)
            if (reading == zone).any()
        )
        found = (
            f"{len(wall):,} stamps carry no zone; they fill sessions if read {counts or 'in neither zone'}"
        )
    else:
        other = reading != declared
        zone = BOGOTA if declared == UTC else UTC
        found = (
            f"{int(other.sum()):,} of {len(wall):,} stamps said to be {declared} are {zone} wall clock"
            f"{_span(wall, other)}"
        )
    if evidence.days_with_both:
        found += (
            f"; {evidence.days_with_both} day(s) hold both, {evidence.instants_twice:,} instant(s) stand "
            f"under both labels with closes up to {evidence.furthest_apart:.2f} apart"
        )
    return found


def _doubt(reading: np.ndarray, wall: pd.Series, evidence: _Evidence, needs_whole_sessions: bool) -> str:
    """Why the evidence does not decide; empty if it does."""
    if (clash := reading == _CONTRADICTORY).any():
        return f"stamps stand twice with other prices{_span(wall, clash)}, and no price tells which is which"
    if n := int((reading == _UNDECIDED).sum()):
        return f"{n:,} fit either zone"
    if not evidence.goes_on or (needs_whole_sessions and not evidence.evenly):
        return "but this makes no whole sessions, so that their zone is undecided"
    return ""


def _span(wall: pd.Series, chosen: np.ndarray) -> str:
    return f" ({wall[chosen].min():%Y-%m-%d} to {wall[chosen].max():%Y-%m-%d})" if chosen.any() else ""
