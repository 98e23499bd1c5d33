"""Parse timestamps to a wall clock and the zone they state."""

from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.market.calendar import BOGOTA

UTC = "UTC"
BOGOTA_OFFSET = pd.Timedelta(hours=5)
"""UTC less Bogota's clock, which knows no summer time."""


class WallClock(NamedTuple):
    """Timestamps as a clock shows them, and where that clock hangs."""

    times: pd.Series
    """``datetime64[us]``, naive."""
    zone: str | None
    """UTC or Bogota; None if nothing states it. Other zones are converted to UTC."""
    is_carried: bool
    """Whether the timestamps themselves carry the zone."""
    written: pd.Series
    """As in the file, naive; in UTC if they carry a zone."""


def parse_timestamps(timestamps: pd.Series, timezone: str | None, subject: str) -> WallClock:
    """Parse timestamps and the zone they are stated to be in.

    Parameters
    ----------
    timestamps : Series of str or datetime64
        All with a zone or all without.
    timezone : str or None
        Zone of timestamps without one.
    subject : str
        Start of every message.

    Raises
    ------
    DataError
        If a timestamp cannot be read, if some carry a zone and others do not, or if `timezone` contradicts.
    """
    is_text = not pd.api.types.is_datetime64_any_dtype(timestamps.dtype)
    times = _from_text(timestamps, subject) if is_text else timestamps
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        if timezone is not None:
            raise DataError(
                f"{subject}: data_acquisition.timezone {timezone!r} is for timestamps without a zone, but "
                f"these carry one, first {timestamps.iloc[0]}; leave the parameter out"
            )
        in_utc = _utc_wall_clock(times)
        return WallClock(in_utc, UTC, True, in_utc)
    naive = times.astype("datetime64[us]")
    if timezone is None or timezone in (UTC, BOGOTA):
        return WallClock(naive, timezone, False, naive)
    try:
        return WallClock(_utc_wall_clock(naive.dt.tz_localize(timezone)), UTC, False, naive)
    except ValueError as error:
        raise DataError(
            f"{subject}: a timestamp does not exist once in {timezone}: {error}; write timestamps in UTC"
        ) from error


def to_utc(wall: pd.Series, zones: np.ndarray | str) -> pd.Series:
    """Convert wall clocks, each or all in UTC or Bogota, to instants, ``datetime64[us, UTC]``."""
    is_local = np.broadcast_to(np.asarray(zones) == BOGOTA, len(wall))
    instants = wall.mask(is_local, wall + BOGOTA_OFFSET).dt.tz_localize(UTC)
    return cast(pd.Series, instants.astype("datetime64[us, UTC]"))


def _from_text(timestamps: pd.Series, subject: str) -> pd.Series:
    text = timestamps.astype("str")
    zoned = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    if zoned.any() and not zoned.all():
        raise DataError(
            f"{subject}: {int(zoned.sum()):,} timestamps carry a zone and {int((~zoned).sum()):,} do not, "
            f"first {text[~zoned].iloc[0]!r}; write all as 2025-07-01T13:00:00+00:00"
        )
    try:
        return pd.to_datetime(text, utc=bool(zoned.all()), format="ISO8601")
    except ValueError as error:
        reason = str(error).partition(" You might want")[0]
        raise DataError(f"{subject}: timestamp: {reason}; write 2025-07-01T13:00:00+00:00") from error


def _utc_wall_clock(times: pd.Series) -> pd.Series:
    return cast(pd.Series, times.dt.tz_convert(UTC).dt.tz_localize(None).astype("datetime64[us]"))
