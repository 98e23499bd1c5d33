from datetime import date

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.acquisition import PublicationRule
from dosvotos.errors import DataError
from dosvotos.market.calendar import (
    BARS_PER_SESSION,
    closed_days,
    closed_days_around,
    in_session,
    last_complete_session,
    published_at,
    scheduled_sessions,
    session_bar_times,
    session_dates,
    slots,
)


def rule(text: str, at: str = "18:00", zone: str = "America/Bogota") -> PublicationRule:
    return PublicationRule(rule=text, time=at, zone=zone)


def moments(days: list[str], text: str, at: str = "18:00", zone: str = "America/Bogota") -> list[str]:
    known = published_at([date.fromisoformat(day) for day in days], rule(text, at, zone))
    return [f"{moment:%Y-%m-%d %H:%M}" for moment in known]


def bogota(*stamps: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(stamps).tz_localize("America/Bogota").tz_convert("UTC")


# ---- sessions


@pytest.mark.parametrize(
    "day",
    [
        "2024-01-01",  # New Year's Day
        "2024-01-08",  # Epiphany, moved to Monday
        "2024-03-25",  # Saint Joseph, moved to Monday
        "2024-03-28",  # Maundy Thursday
        "2024-03-29",  # Good Friday
        "2024-05-01",  # Labour Day
        "2024-05-13",  # Ascension
        "2024-06-03",  # Corpus Christi
        "2024-06-10",  # Sacred Heart
        "2024-07-01",  # Saints Peter and Paul
        "2024-08-07",  # Battle of Boyaca
        "2024-08-19",  # Assumption, moved
        "2024-10-14",  # Dia de la Raza, moved
        "2024-11-04",  # All Saints, moved
        "2024-11-11",  # Independence of Cartagena
        "2024-12-25",  # Christmas
        "2025-06-30",  # two feasts on one Monday
        "2023-03-20",  # Saint Joseph, moved
    ],
)
def test_a_colombian_holiday_is_no_session(day: str):
    assert scheduled_sessions(date.fromisoformat(day), date.fromisoformat(day)).size == 0


@pytest.mark.parametrize(
    ("year", "closing_day"),
    [
        (2021, "2021-12-31"),  # a Friday
        (2022, "2022-12-30"),  # the 31st is a Saturday
        (2023, "2023-12-29"),  # the 31st is a Sunday
        (2024, "2024-12-31"),
        (2025, "2025-12-31"),
    ],
)
def test_banks_close_on_the_years_last_weekday(year: int, closing_day: str):
    december = scheduled_sessions(date(year, 12, 26), date(year, 12, 31))
    weekdays = np.arange(f"{year}-12-26", f"{year + 1}-01-01", dtype="datetime64[D]")
    weekdays = weekdays[np.is_busday(weekdays)]
    assert weekdays[-1] == np.datetime64(closing_day)
    assert np.array_equal(december, weekdays[:-1])


def test_no_year_ends_on_a_holiday_so_the_closing_day_is_always_its_last_weekday():
    closed = closed_days("CO", 1990, 2060)
    for year in range(1990, 2061):
        days = np.arange(f"{year}-12-26", f"{year + 1}-01-01", dtype="datetime64[D]")
        weekdays = days[np.is_busday(days)]
        assert np.isin(weekdays, closed).tolist() == [False] * (len(weekdays) - 1) + [True]


def test_2024_has_245_sessions():
    # 18 holidays, of which 20 July and 8 December fall on a weekend, and the banks' closing day
    closed_weekdays = [day for day in closed_days("CO", 2024, 2024) if np.is_busday(day)]
    assert np.busday_count("2024-01-01", "2025-01-01") == 262
    assert len(closed_weekdays) == 16 + 1
    assert len(scheduled_sessions(date(2024, 1, 1), date(2024, 12, 31))) == 262 - 17


def test_sessions_include_both_ends_and_none_of_an_empty_range():
    week = scheduled_sessions(date(2024, 7, 1), date(2024, 7, 5))
    assert week.astype(str).tolist() == ["2024-07-02", "2024-07-03", "2024-07-04", "2024-07-05"]
    assert scheduled_sessions(date(2024, 7, 6), date(2024, 7, 7)).size == 0
    assert scheduled_sessions(date(2024, 7, 6), date(2024, 7, 5)).size == 0


def test_sessions_of_several_years_are_the_sessions_of_each():
    whole = scheduled_sessions(date(2022, 1, 1), date(2024, 12, 31))
    parts = [scheduled_sessions(date(y, 1, 1), date(y, 12, 31)) for y in (2022, 2023, 2024)]
    assert np.array_equal(whole, np.concatenate(parts))


# ---- slots


def test_slots_count_five_minutes_from_eight_to_five_to_one():
    times = session_bar_times(np.datetime64("2024-07-02"))
    assert len(times) == BARS_PER_SESSION
    assert times[0] == pd.Timestamp("2024-07-02 13:00", tz="UTC")
    assert times[-1] == pd.Timestamp("2024-07-02 17:55", tz="UTC")
    assert slots(times).tolist() == list(range(60))
    assert in_session(times).all()


@pytest.mark.parametrize(
    ("stamp", "slot"),
    [
        ("2024-07-02 07:55", -1),
        ("2024-07-02 08:00", 0),
        ("2024-07-02 10:35", 31),
        ("2024-07-02 12:55", 59),
        ("2024-07-02 13:00", -1),
        ("2024-07-02 08:01", -1),
        ("2024-07-02 08:00:01", -1),
        ("2024-07-02 08:00:00.000001", -1),
        ("2024-07-02 00:00", -1),
        ("2024-07-02 23:55", -1),
    ],
)
def test_a_label_off_the_grid_or_the_hours_has_no_slot(stamp: str, slot: int):
    assert slots(bogota(stamp)).tolist() == [slot]
    assert in_session(bogota(stamp)).tolist() == [slot >= 0]


def test_a_slot_counts_minutes_not_the_bars_that_are_present():
    times = session_bar_times(np.datetime64("2024-07-02"))[[0, 7, 8, 59]]
    assert slots(times).tolist() == [0, 7, 8, 59]


def test_weekends_holidays_and_the_banks_closing_day_are_off_session():
    times = bogota("2024-07-01 09:00", "2024-07-06 09:00", "2024-07-07 09:00", "2024-12-31 09:00")
    assert slots(times).tolist() == [12] * 4
    assert not in_session(times).any()


def test_the_zone_of_a_label_plays_no_part():
    times = session_bar_times(np.datetime64("2024-07-02"))
    for zone in ("America/Bogota", "Asia/Tokyo"):
        assert slots(times.tz_convert(zone)).tolist() == list(range(60))
        assert in_session(times.tz_convert(zone)).all()


def test_a_date_is_bogotas_not_utcs():
    assert session_dates(bogota("2024-07-02 20:00")).astype(str).tolist() == ["2024-07-02"]
    assert session_dates(pd.DatetimeIndex(["2024-07-02 04:59"], tz="UTC")).astype(str).tolist() == [
        "2024-07-01"
    ]


def test_no_labels_have_no_slots_and_no_sessions():
    nothing = pd.DatetimeIndex([], tz="UTC")
    assert slots(nothing).tolist() == [] and in_session(nothing).tolist() == []
    assert session_dates(nothing).size == 0


# ---- the last complete session


def test_a_session_is_complete_with_its_last_bar_whatever_else_is_missing():
    full = session_bar_times(np.datetime64("2024-07-02"))
    holed = session_bar_times(np.datetime64("2024-07-03"))[[0, 30, 59]]
    unfinished = session_bar_times(np.datetime64("2024-07-04"))[:59]
    assert last_complete_session(full) == date(2024, 7, 2)
    assert last_complete_session(full.append(holed)) == date(2024, 7, 3)
    assert last_complete_session(full.append(holed).append(unfinished)) == date(2024, 7, 3)


def test_a_bar_of_a_closed_day_completes_nothing():
    full = session_bar_times(np.datetime64("2024-07-02"))
    saturday, holiday = bogota("2024-07-06 12:55"), bogota("2024-08-07 12:55")
    assert last_complete_session(full.append(saturday).append(holiday)) == date(2024, 7, 2)


def test_without_a_complete_session_the_rule_is_named():
    unfinished = session_bar_times(np.datetime64("2024-07-04"))[:59]
    for times in (unfinished, pd.DatetimeIndex([], tz="UTC")):
        with pytest.raises(DataError, match="12:55"):
            last_complete_session(times)


# ---- publication


def test_b0_is_the_observation_date_itself_even_a_closed_day():
    # a Tuesday, a Saturday, a holiday, the banks' closing day; Bogota is UTC-5
    days = ["2024-07-02", "2024-07-06", "2024-07-01", "2024-12-31"]
    assert moments(days, "B+0", "13:00") == [f"{day} 18:00" for day in days]


@pytest.mark.parametrize(
    ("observed", "released"),
    [
        ("2024-07-02", "2024-07-03"),  # Tuesday
        ("2024-06-28", "2024-07-02"),  # a Friday before a Monday holiday
        ("2024-06-29", "2024-07-02"),  # the Saturday after it
        ("2024-06-30", "2024-07-02"),
        ("2024-07-01", "2024-07-02"),  # the holiday itself
        ("2024-03-27", "2024-04-01"),  # before Maundy Thursday
        ("2024-12-30", "2025-01-02"),  # over the banks' closing day and New Year
        ("2024-12-31", "2025-01-02"),
    ],
)
def test_b1_is_the_next_business_day_in_bogota(observed: str, released: str):
    assert moments([observed], "B+1") == [f"{released} 23:00"]


@pytest.mark.parametrize(
    ("observed", "released"),
    [
        ("2024-07-18", "2024-07-22"),  # Thursday to Monday
        ("2024-07-19", "2024-07-24"),  # 23 July is a Peruvian holiday, 20 July Colombian only
        ("2024-07-21", "2024-07-24"),  # Sunday: Monday is the first, Wednesday the second
        ("2024-08-29", "2024-09-03"),  # 30 August, Santa Rosa, and a weekend
    ],
)
def test_b2_counts_lima_business_days(observed: str, released: str):
    assert moments([observed], "B+2", "18:00", "America/Lima") == [f"{released} 23:00"]


def test_b1_in_new_york_skips_federal_holidays_that_bogota_works():
    # 4 July 2024 is a Thursday; Bogota works
    assert moments(["2024-07-03"], "B+1", "16:15", "America/New_York") == ["2024-07-05 20:15"]
    assert moments(["2024-07-03"], "B+1", "16:15") == ["2024-07-04 21:15"]


def test_a_federal_holiday_observed_in_the_year_before_counts():
    # New Year's Day 2022 is a Saturday, observed on Friday 31 December 2021
    assert moments(["2021-12-30"], "B+1", "16:15", "America/New_York") == ["2022-01-03 21:15"]


def test_monthly_values_come_on_a_day_of_a_later_month():
    assert moments(["2024-02-01"], "M+1:D15", "08:30", "America/New_York") == ["2024-03-15 12:30"]
    assert moments(["2024-11-01"], "M+2:D5") == ["2025-01-05 23:00"]
    assert moments(["2024-01-31"], "M+1:D15") == ["2024-02-15 23:00"]


def test_a_day_the_month_does_not_have_is_its_last():
    assert moments(["2024-01-01", "2023-01-01"], "M+1:D31") == ["2024-02-29 23:00", "2023-02-28 23:00"]


@pytest.mark.parametrize(
    ("observed", "released"),
    [
        ("2024-02-01", "2024-03-07"),  # March 2024 begins on a Friday: 1, 4, 5, 6, 7
        ("2024-12-01", "2025-01-09"),  # 2, 3, 7, 8, 9 January: New Year, a weekend and Epiphany between
        ("2024-05-01", "2024-06-11"),  # June begins on a Saturday, 3 and 10 are holidays: 4, 5, 6, 7, 11
    ],
)
def test_the_fifth_business_day_of_a_month_counts_holidays_out(observed: str, released: str):
    assert moments([observed], "M+1:BD5") == [f"{released} 23:00"]


def test_quarterly_values_count_from_the_quarters_end():
    days = ["2024-01-01", "2024-04-01", "2024-07-01", "2024-10-01"]
    assert moments(days, "Q+1:D30", "08:30", "America/New_York") == [
        "2024-04-30 12:30",
        "2024-07-30 12:30",
        "2024-10-30 12:30",
        "2025-01-30 13:30",
    ]
    assert moments(["2024-03-01", "2024-02-15"], "Q+3:D5") == ["2024-06-05 23:00"] * 2


def test_new_yorks_summer_time_moves_the_moment_by_an_hour():
    # clocks went forward on 10 March and back on 3 November 2024
    days = ["2024-03-08", "2024-03-11", "2024-11-01", "2024-11-04"]
    assert moments(days, "B+0", "18:00", "America/New_York") == [
        "2024-03-08 23:00",
        "2024-03-11 22:00",
        "2024-11-01 22:00",
        "2024-11-04 23:00",
    ]


def test_every_rule_of_the_contract_publishes_after_its_day_and_in_the_same_order(variables):
    for variable in variables.values():
        step = {"daily": "B", "monthly": "MS", "quarterly": "QS"}[variable.frequency]
        days = pd.date_range("2022-01-01", "2025-12-31", freq=step)
        known = published_at([day.date() for day in days], variable.publication)
        assert known.is_monotonic_increasing
        assert (known >= days.tz_localize(variable.publication.zone)).all()


def test_a_release_time_counts_to_the_second():
    assert published_at([date(2024, 7, 2)], rule("B+0", "08:30:45"))[0] == pd.Timestamp(
        "2024-07-02 13:30:45", tz="UTC"
    )


def test_no_observations_have_no_moments():
    assert published_at([], rule("B+1")).tolist() == []


def test_a_zone_without_a_business_calendar_is_refused_by_name():
    with pytest.raises(DataError, match="Asia/Tokyo"):
        published_at([date(2024, 7, 2)], rule("B+1", zone="Asia/Tokyo"))


def test_closed_days_reach_a_year_further_on_both_sides():
    days = closed_days_around(np.array(["2024-07-02"], dtype="datetime64[D]"), "America/Bogota")
    assert np.isin(np.array(["2023-12-25", "2025-12-25"], dtype="datetime64[D]"), days).all()
