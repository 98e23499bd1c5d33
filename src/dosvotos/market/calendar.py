"""The trading calendar of USD/COP, and the moments at which macro values are published."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import PublicationRule
from dosvotos.contracts.parameters import CalendarException, CalendarParams
from dosvotos.errors import DataError
from dosvotos.market.microseconds import (
    US_PER_BAR,
    US_PER_DAY,
    US_PER_MINUTE,
    moment_to_microseconds,
    to_microseconds,
)

BOGOTA = "America/Bogota"
BAR = pd.Timedelta(minutes=5)
BARS_PER_SESSION = 60
LAST_SLOT = BARS_PER_SESSION - 1
SESSIONS_PER_YEAR = 245
_OPEN_MINUTE = 8 * 60
_BOGOTA = ZoneInfo(BOGOTA)
_EPOCH = np.datetime64(0, "D")

REGULAR = CalendarParams()
"""No exception from the calendar."""

_COUNTRY_OF_ZONE = {"America/New_York": "US", "America/Bogota": "CO", "America/Lima": "PE"}


@cache
def closed_days(country: str, first_year: int, last_year: int) -> np.ndarray:
    """List a country's public holidays as sorted ``datetime64[D]``; for Colombia also the banks' closing day.

    The banks close on the year's last weekday that is no holiday.
    """
    years = range(first_year, last_year + 1)
    days = set(holidays.country_holidays(country, years=years))
    if country == "CO":
        days |= {_banks_closing_day(year, days) for year in years}
    return np.array(sorted(days), dtype="datetime64[D]")


def scheduled_sessions(start: date, end: date, calendar: CalendarParams = REGULAR) -> np.ndarray:
    """List the trading days from start to end, both included, as ``datetime64[D]`` Bogota dates."""
    days: np.ndarray = np.arange(np.datetime64(start, "D"), np.datetime64(end, "D") + 1)
    scheduled: np.ndarray = days[_is_session(days, calendar)]
    return scheduled


def session_numbers(days: np.ndarray, calendar: CalendarParams = REGULAR) -> np.ndarray:
    """Count the scheduled sessions from 1970 to before each day (``datetime64[D]``), int64."""
    if len(days) == 0:
        return np.zeros(0, dtype=np.int64)
    regular_days = _business_days(int(days.max().astype("datetime64[Y]").astype(int)) + 1971)
    numbers = np.busday_count(_EPOCH, days, busdaycal=regular_days)
    for day, exception in _exceptions(calendar):
        regular = bool(np.is_busday(day, busdaycal=regular_days))
        numbers += (days > day) * (int(not exception.closed) - int(regular))
    return numbers


def session_dates(bar_times: pd.DatetimeIndex) -> np.ndarray:
    """Return the Bogota date of each bar, ``datetime64[D]`` of shape (n_bars,)."""
    return (_local_microseconds(bar_times) // US_PER_DAY).astype("datetime64[D]")


def slots(bar_times: pd.DatetimeIndex) -> np.ndarray:
    """Return each bar's slot: its index in the session, 0 at 08:00 to 59 at 12:55 Bogota; -1 off session.

    Counts minutes since the open, not bars present. A label off the five-minute grid is off session.
    """
    since_open = _local_microseconds(bar_times) % US_PER_DAY - _OPEN_MINUTE * US_PER_MINUTE
    index, off_grid = np.divmod(since_open, US_PER_BAR)
    return np.where((index >= 0) & (index < BARS_PER_SESSION) & (off_grid == 0), index, -1)


def first_open(bar_time: datetime) -> int:
    """Find when slot 0 opens on the date of one bar (timezone-aware), microseconds UTC."""
    hour, minute = divmod(_OPEN_MINUTE, 60)
    opens = bar_time.astimezone(_BOGOTA).replace(hour=hour, minute=minute, second=0, microsecond=0)
    return moment_to_microseconds(opens)


def session_number(bar_time: datetime, calendar: CalendarParams = REGULAR) -> int:
    """As `session_numbers`, of the date of one bar (timezone-aware)."""
    day = np.datetime64(bar_time.astimezone(_BOGOTA).date(), "D")
    return int(session_numbers(np.array([day]), calendar)[0])


def in_session(bar_times: pd.DatetimeIndex, calendar: CalendarParams = REGULAR) -> np.ndarray:
    """Mask the bars that lie in a scheduled session, bool of shape (n_bars,)."""
    days, slot_numbers = session_dates(bar_times), slots(bar_times)
    inside = _is_session(days, calendar) & (slot_numbers >= 0)
    for day, _ in _exceptions(calendar):
        first, last = session_slots(day, calendar)
        inside &= (days != day) | ((slot_numbers >= first) & (slot_numbers <= last))
    return inside


def session_slots(day: np.datetime64, calendar: CalendarParams = REGULAR) -> tuple[int, int]:
    """Return a session's first and last slot: 0 and 59 but for an exception's other hours."""
    exception = calendar.exceptions.get(day.astype(object)) if calendar.exceptions else None
    if exception is None or exception.opens is None or exception.closes is None:
        return 0, LAST_SLOT
    opens, closes = (
        (at.hour * 60 + at.minute - _OPEN_MINUTE) // 5 for at in (exception.opens, exception.closes)
    )
    return opens, closes - 1


def session_bar_times(day: np.datetime64, calendar: CalendarParams = REGULAR) -> pd.DatetimeIndex:
    """List the bar opens of one session, UTC, 60 of them but for an exception's other hours."""
    first, last = session_slots(np.datetime64(pd.Timestamp(day).date(), "D"), calendar)
    start = pd.Timestamp(day).tz_localize(BOGOTA) + pd.Timedelta(minutes=_OPEN_MINUTE + 5 * first)
    return pd.date_range(start, periods=last - first + 1, freq=BAR).tz_convert("UTC")


def published_at(observation_dates: Sequence[date], rule: PublicationRule) -> pd.DatetimeIndex:
    """Compute the moment at which each observation becomes known under a publication rule.

    Parameters
    ----------
    observation_dates : dates of shape (n_observations,)
        The day, or the first day of the month or quarter, that the value describes.
    rule : PublicationRule

    Returns
    -------
    DatetimeIndex of shape (n_observations,), UTC

    Notes
    -----
    ``B+0`` is the observation date itself, even a closed day; ``B+k`` the k-th business day strictly
    after it, in the calendar of the release zone. A day that its month does not have becomes the
    month's last. Design, sections 3 and 9.
    """
    days = np.asarray(observation_dates, dtype="datetime64[D]")
    if len(days) == 0:
        return pd.DatetimeIndex([], tz="UTC")
    period, _, day = rule.rule.partition(":")
    kind, shift = period[0], int(period[2:])
    closed = closed_days_around(days, rule.zone)
    if kind == "B":
        released = days if shift == 0 else np.busday_offset(days, shift, roll="backward", holidays=closed)
    else:
        released = _day_of_month(_months_after_period(days, kind, shift), day, closed)
    local = pd.DatetimeIndex(released) + pd.Timedelta(rule.time.isoformat())
    return local.tz_localize(rule.zone, ambiguous=False, nonexistent="shift_forward").tz_convert("UTC")


def closed_days_around(days: np.ndarray, zone: str) -> np.ndarray:
    """List the closed days of a release zone's country over the years of `days` and one more on each side.

    Raises
    ------
    DataError
        If the zone has no business calendar.
    """
    if zone not in _COUNTRY_OF_ZONE:
        raise DataError(f"no business calendar for zone {zone!r}; take one of {sorted(_COUNTRY_OF_ZONE)}")
    years = days.astype("datetime64[Y]").astype(int) + 1970
    return closed_days(_COUNTRY_OF_ZONE[zone], int(years.min()) - 1, int(years.max()) + 1)


def last_complete_session(bar_times: pd.DatetimeIndex, calendar: CalendarParams = REGULAR) -> date:
    """Return the latest session whose last bar, at 12:55 but for an exception's other hours, is stored.

    Raises
    ------
    DataError
        If there is none.
    """
    days = session_dates(bar_times)
    last_slots = np.full(len(days), LAST_SLOT)
    for day, _ in _exceptions(calendar):
        last_slots[days == day] = session_slots(day, calendar)[1]
    complete = bar_times[in_session(bar_times, calendar) & (slots(bar_times) == last_slots)]
    if len(complete) == 0:
        raise DataError(
            "bars: no complete session (one with its 12:55 Bogota bar) is stored; deliver whole sessions"
        )
    last: date = session_dates(complete).max().astype(object)
    return last


def last_ended_session(now: pd.Timestamp, calendar: CalendarParams = REGULAR) -> date:
    """Return the last scheduled session whose last bar has closed by `now` (timezone-aware)."""
    today = now.tz_convert(BOGOTA).date()
    days = scheduled_sessions(today - timedelta(days=30), today, calendar)
    ended = [day for day in days[-2:] if session_bar_times(day, calendar)[-1] + BAR <= now]
    last: date = ended[-1].astype(object)
    return last


@cache
def _business_days(last_year: int) -> np.busdaycalendar:
    """Colombia's business days from 1970 to the end of a year."""
    return np.busdaycalendar(holidays=closed_days("CO", 1970, last_year))


def _exceptions(calendar: CalendarParams) -> list[tuple[np.datetime64, CalendarException]]:
    return [(np.datetime64(day, "D"), exception) for day, exception in calendar.exceptions.items()]


def _is_session(days: np.ndarray, calendar: CalendarParams) -> np.ndarray:
    """Mask the days (``datetime64[D]``) on which the market trades."""
    if len(days) == 0:
        return np.zeros(0, dtype=bool)
    scheduled = np.is_busday(days, holidays=closed_days_around(np.array([days.min(), days.max()]), BOGOTA))
    for day, exception in _exceptions(calendar):
        scheduled[days == day] = not exception.closed
    return scheduled


def _local_microseconds(bar_times: pd.DatetimeIndex) -> np.ndarray:
    """Read Bogota's clock at each bar, as microseconds since 1970 there."""
    return to_microseconds(bar_times.tz_convert(BOGOTA).tz_localize(None))


def _banks_closing_day(year: int, closed: set[date]) -> date:
    day = date(year, 12, 31)
    while day.weekday() >= 5 or day in closed:
        day -= timedelta(days=1)
    return day


def _months_after_period(days: np.ndarray, kind: str, shift: int) -> np.ndarray:
    months = days.astype("datetime64[M]")
    if kind == "Q":
        index = months.astype(int)
        months = (index - index % 3 + 2).astype("datetime64[M]")
    return months + np.timedelta64(shift, "M")


def _day_of_month(months: np.ndarray, day: str, closed: np.ndarray) -> np.ndarray:
    first = months.astype("datetime64[D]")
    if day.startswith("BD"):
        return np.busday_offset(first, int(day[2:]) - 1, roll="forward", holidays=closed)
    last = (months + 1).astype("datetime64[D]") - 1
    dated: np.ndarray = np.minimum(first + int(day[1:]) - 1, last)
    return dated
