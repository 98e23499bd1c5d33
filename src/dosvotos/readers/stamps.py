"""Dates and timestamps as people and programs write them, each in one way only.

Read are ISO 8601, 2025.11.18 15:00 (MetaTrader), 18/11/2025 1:00 p. m., 18-nov-2025, 20251118 130000, seconds
to nanoseconds since 1970 and the serial dates of spreadsheets. Whether 12/01/2025 begins with its day or its
month must follow from another row.
"""

import datetime as dt
import functools
import re
import unicodedata
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.readers.grids import Grid, first_label

_YEARS: Final = (1900, 2100)
"""Years that a date may have; another is a slip of the pen, and would make ranges of years of nothing."""
_ISO: Final = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_ZONED: Final = r"[T ].*(?:Z|[+-]\d\d:?\d\d)$"
_TIME: Final = (
    r"(?:,?(?:t| )(?P<hour>\d{1,2}):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<half>[ap])\.? ?m\.?)?)?"
)
_ZONE: Final = r"(?: ?(?P<zone>z|utc|gmt|(?:utc|gmt)? ?[+-]\d{1,2}(?::?\d\d)?))?"
_DATES: Final = {
    "year first": r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
    "compact": r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)",
    "year last": r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<other>\d{1,2})(?P=mark)(?P<year>\d{4})",
    "day and name": (
        r"(?P<day>\d{1,2})[-/. ]*(?:de )?(?P<name>[a-z]{3,10})\.?,?[-/. ]*(?:del? )?(?P<year>\d{4})"
    ),
    "name and day": r"(?P<name>[a-z]{3,10})\.? (?P<day>\d{1,2}),? (?P<year>\d{4})",
    "year and month": r"(?P<year>\d{4})-(?P<month>\d{1,2})",
    "name and year": r"(?P<name>[a-z]{3,10})\.?(?:[-/ ]+| del? )?(?P<year>\d{4}|\d\d)",
}
_MONTHS_ONLY: Final = {"year and month", "name and year"}
_EPOCHS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0.001}
"""Microseconds of a unit of time since 1970."""
_EPOCH_SECONDS: Final = (631_152_000, 4_102_444_800)
"""1990 and 2100: what lies between them in one unit lies far outside in the others."""
_SERIAL_DAYS: Final = (20_000, 73_415)
"""1954 to 2100 in days since 1899-12-30, as spreadsheets count."""
_SERIAL_ZERO: Final = np.datetime64("1899-12-30", "us")
_WRITE_ISO: Final = "write 2025-07-01T13:00:00+00:00, or 2025-07-01 for a day"


class Stamps(NamedTuple):
    """The wall clocks of a grid's column."""

    wall: pd.Series
    """``datetime64[us]`` as written; NaT where a cell is no date."""
    offset: pd.Series
    """``timedelta64[us]`` east of UTC; NaT where a cell says none."""
    is_month: pd.Series
    """Whether a cell gives a month alone."""


def read_stamps(grid: Grid, column: str, day_first: bool | None = None) -> Stamps:
    """Read a column of timestamps or dates.

    Parameters
    ----------
    grid : Grid
    column : str
    day_first : bool or None
        Whether 12/01/2025 is the 12th of January; None if the rows must say it.

    Raises
    ------
    DataError
        If no row, or several rows in different ways, say whether the day or the month comes first; or if
        times since 1970 are in different units.
    """
    cells = grid.cells[column]
    if cells.dtype == object and pd.api.types.infer_dtype(cells) == "date":
        cells = pd.to_datetime(cells, errors="coerce")
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return _limit_years(_typed(cells))
    if isinstance(cells.dtype, pd.StringDtype) and cells.str.fullmatch(_ISO).all():
        return _limit_years(_iso(cells))
    text = cells.map(_text).astype("str")
    numeric = text.str.fullmatch(r"\d{5,19}(?:\.\d+)?|\d(?:\.\d+)?e[+-]?\d+").astype(bool)
    named = _named(grid, text[~numeric], column, day_first)
    return _limit_years(_join(text.index, [*named, _counted(grid, text[numeric], column)]))


def _text(cell: object) -> str:
    """Return a cell as text without accents, case and repeated blanks, to compare with the patterns."""
    if isinstance(cell, (dt.date, dt.time)):
        return cell.isoformat().casefold()
    plain = unicodedata.normalize("NFKD", str(cell))
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).casefold().split())


def _typed(times: pd.Series) -> Stamps:
    local = times.dt.tz_localize(None).astype("datetime64[us]")
    offset = pd.Series(pd.NaT, index=times.index, dtype="timedelta64[us]")
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        offset = local - times.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]")
    return Stamps(local, offset, pd.Series(False, index=times.index))


def _iso(text: pd.Series) -> Stamps:
    utc = pd.to_datetime(text, utc=True, format="ISO8601", errors="coerce")
    wall = utc.dt.tz_localize(None).astype("datetime64[us]")
    offset = pd.Series(pd.NaT, index=text.index, dtype="timedelta64[us]")
    zoned = text.str.contains(_ZONED, regex=True).astype(bool)
    offset[zoned] = pd.Timedelta(0)
    elsewhere = zoned & ~text.str.endswith(("Z", "+00:00", "+0000"))
    if elsewhere.any():
        written = text[elsewhere].str.replace(r"(?:[+-]\d\d:?\d\d)$", "", regex=True)
        local = pd.to_datetime(written, format="ISO8601", errors="coerce").astype("datetime64[us]")
        offset[elsewhere] = local - wall[elsewhere]
        wall[elsewhere] = local
    return Stamps(wall, offset, pd.Series(False, index=text.index))


# ---- dates with separators or names


def _named(grid: Grid, text: pd.Series, column: str, day_first: bool | None) -> list[Stamps]:
    """Read the texts of each pattern."""
    found, left = [], text
    for kind, pattern in _DATES.items():
        clock = "" if kind in _MONTHS_ONLY else _TIME + _ZONE
        parts = left.str.extract(re.compile(f"^{pattern}{clock}$"))
        parts = parts[parts["year"].notna()]
        if len(parts):
            if kind == "year last":
                parts = _order(grid, parts, left[parts.index], column, day_first)
            found.append(_compose(parts, kind in _MONTHS_ONLY))
            left = left.drop(parts.index)
    return found


def _order(
    grid: Grid, parts: pd.DataFrame, text: pd.Series, column: str, day_first: bool | None
) -> pd.DataFrame:
    """Name the first two numbers of dates day and month, by the rows in which one is above 12."""
    first, other = parts["first"].astype(int), parts["other"].astype(int)
    says_day, says_month = (first > 12) & (other <= 12), (other > 12) & (first <= 12)
    if day_first is None:
        if says_day.any() and says_month.any():
            labels = first_label(says_day), first_label(says_month)
            found = " but ".join(f"{grid.place(label)} has {text[label]!r}" for label in labels)
            raise DataError(f"{column}: day and month are in two orders: {found}; {_WRITE_ISO}")
        unclear = (first != other) & (first <= 12) & (other <= 12)
        if unclear.any() and not says_day.any() and not says_month.any():
            label = first_label(unclear)
            low, high, year = first[label], other[label], parts["year"][label]
            raise DataError(
                f"{grid.place(label)}: {column} {text[label]!r} may mean {year}-{low:02}-{high:02} or "
                f"{year}-{high:02}-{low:02}: no row has a day above 12 to say whether the day or the month "
                f"comes first; {_WRITE_ISO} (ISO 8601)"
            )
        day_first = not says_month.any()
    names = {"first": "day", "other": "month"} if day_first else {"first": "month", "other": "day"}
    return parts.rename(columns=names)


def _compose(parts: pd.DataFrame, is_month: bool) -> Stamps:
    """Build times of the parts of each text; NaT for the 30th of February or 25 o'clock."""
    get = parts.reindex(columns=["hour", "minute", "second", "half", "zone", "fraction"])
    month = parts["month"] if "month" in parts else parts["name"].map(_month_of_name)
    century = parts["year"].str.len().eq(2) * 2000
    year = parts["year"].astype(int) + century - 100 * (century.gt(0) & (parts["year"].astype(int) >= 70))
    date = {"year": year, "month": month, "day": parts.get("day", 1)}
    days = pd.to_datetime(pd.DataFrame(date, index=parts.index).astype(float), errors="coerce")
    hour, minute, second = (get[name].fillna("0").astype(int) for name in ("hour", "minute", "second"))
    in_half = get["half"].notna()
    valid = (hour < 24) & (minute < 60) & (second < 60) & (~in_half | hour.between(1, 12))
    hour = hour.where(~in_half, hour % 12 + 12 * (get["half"] == "p"))
    micro = get["fraction"].fillna("").str.ljust(6, "0").str[:6].astype(int)
    clock = pd.to_timedelta(((hour * 60 + minute) * 60 + second) * 1_000_000 + micro, unit="us")
    wall = (days.astype("datetime64[us]") + clock).where(valid).astype("datetime64[us]")
    return Stamps(wall, _offsets(get["zone"]), pd.Series(is_month, index=parts.index))


def _offsets(zones: pd.Series) -> pd.Series:
    """Return the offsets of zones such as z, gmt and gmt-0500; NaT without one."""
    return pd.to_timedelta(
        zones.map({zone: _offset(zone) for zone in zones.dropna().unique()}), unit="m"
    ).astype("timedelta64[us]")


def _offset(zone: str) -> float:
    """Return the minutes east of UTC."""
    match = re.search(r"([+-])(\d{1,2}):?(\d\d)?$", zone)
    if match is None:
        return 0.0
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    return float(minutes if match[1] == "+" else -minutes)


@functools.cache
def _month_names() -> dict[str, int]:
    """Spanish and English names of months, whole and cut after three letters or more."""
    from babel.dates import get_month_names

    names = {"set": 9, "setiembre": 9, "sept": 9}
    for language in ("es", "en"):
        for month, name in get_month_names("wide", locale=language).items():
            names |= {name.casefold()[:length]: month for length in range(3, len(name) + 1)}
    return names


def _month_of_name(name: str) -> float:
    return _month_names().get(name, np.nan)


# ---- numbers


def _counted(grid: Grid, text: pd.Series, column: str) -> Stamps:
    """Read digits: a compact time, a time since 1970 by its size, or a spreadsheet's serial date."""
    value = text.astype("float64")
    wall = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]")
    offset = pd.Series(pd.NaT, index=text.index, dtype="timedelta64[us]")
    units = []
    for unit, factor in _EPOCHS.items():
        low, high = (bound * 1_000_000 / factor for bound in _EPOCH_SECONDS)
        rows = (value >= low) & (value < high)
        if rows.any():
            units.append((unit, first_label(rows)))
            wall[rows] = (value[rows] * factor).round().astype("int64").astype("datetime64[us]")
            offset[rows] = pd.Timedelta(0)
    if len(units) > 1:
        found = " but ".join(f"{grid.place(label)} in {unit}" for unit, label in units)
        raise DataError(f"{column}: times since 1970 are in several units, {found}; write all in one")
    serial = value.between(*_SERIAL_DAYS)
    milliseconds = (value[serial] * 86_400_000).round().astype("int64") * 1_000
    wall[serial] = _SERIAL_ZERO + milliseconds.astype("timedelta64[us]")
    compact = text[wall.isna() & text.str.fullmatch(r"(?:19|20)\d{6}(?:\d{4}(?:\d\d)?)?").astype(bool)]
    padded = compact.str.ljust(14, "0")
    wall[compact.index] = pd.to_datetime(padded, format="%Y%m%d%H%M%S", errors="coerce").astype(
        "datetime64[us]"
    )
    return Stamps(wall, offset, pd.Series(False, index=text.index))


# ---- all


def _join(index: pd.Index, parts: list[Stamps]) -> Stamps:
    wall, offset, is_month = (list(columns) for columns in zip(*parts, strict=True))
    in_order = [pd.concat(columns).reindex(index) for columns in (wall, offset, is_month)]
    return Stamps(in_order[0], in_order[1], in_order[2].eq(True))


def _limit_years(stamps: Stamps) -> Stamps:
    year = stamps.wall.dt.year
    wall = stamps.wall.where(year.between(*_YEARS))
    return stamps._replace(wall=wall)
