"""Whether the calendar or a person chose a test window."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.window import JudgedWindow
from dosvotos.market.calendar import scheduled_sessions, session_bar_times, session_dates
from dosvotos.market.window_status import judge_window, last_session_by_clock
from tests.conftest import parameters_of

FRIDAY = date(2026, 1, 30)
AFTER_FRIDAY = datetime(2026, 1, 31, 12, tzinfo=UTC)


def bars_until(last: date, first: date = date(2025, 12, 1)) -> pd.DatetimeIndex:
    days = scheduled_sessions(first, last)
    return pd.DatetimeIndex([time for day in days for time in session_bar_times(day)])


def judged(
    stored: date = FRIDAY,
    start: str = "2025-07-01",
    end: date = FRIDAY,
    newest_look: date | None = None,
    clock: datetime = AFTER_FRIDAY,
    env: str = "exp2_interbank_costs_v1",
    val_end: str = "2025-06-30",
    **sections: dict,
) -> JudgedWindow:
    dates = parameters_of(env).date_ranges.model_dump(mode="json")
    dates |= {"val": {**dates["val"], "end": val_end}, "test": {"start": start}}
    parameters = parameters_of(env, date_ranges=dates, **sections)
    return judge_window(parameters, end, bars_until(stored), newest_look, clock)


def test_from_the_first_session_after_val_to_the_last_one_stored_is_the_calendars():
    found = judged(end=date(2026, 1, 31))
    assert found.status == "calendar", "31 January 2026 is a Saturday"
    assert found.facts.model_dump() == {
        "first_session": "2025-07-01",
        "last_session": "2026-01-30",
        "calendar_first": "2025-07-01",
        "calendar_last": "2026-01-30",
        "stored_last": "2026-01-30",
        "clock": "2026-01-30",
        "sessions_behind": 0,
    }


def test_a_window_of_closed_days_says_its_own_dates():
    found = judged(start="2026-01-31", end=date(2026, 2, 1))
    assert (found.status, found.facts.first_session, found.facts.last_session) == (
        "chosen_window",
        "2026-01-31",
        "2026-02-01",
    )


@pytest.mark.parametrize(
    "changed", [{"start": "2025-07-02"}, {"start": "2025-09-01"}, {"end": date(2026, 1, 29)}]
)
def test_one_session_less_at_either_end_is_a_persons_choice(changed: dict):
    assert judged(**changed).status == "chosen_window"


def test_the_first_session_after_val_is_sought_from_the_day_after_it_whatever_the_end():
    on_a_session = judged(val_end="2025-06-27", end=date(2025, 7, 1))
    assert (on_a_session.facts.calendar_first, on_a_session.status) == ("2025-07-01", "chosen_window")
    assert judged(val_end="2025-06-27").status == "calendar"


def test_closed_days_at_either_end_are_no_choice():
    assert judged(start="2025-07-01", end=date(2026, 2, 1)).status == "calendar", "a Sunday"


def test_a_sessions_bars_stored_later_than_the_contracts_moment_count():
    assert judged(stored=FRIDAY, end=date(2026, 1, 15)).status == "chosen_window"


def test_a_window_may_not_end_before_what_a_look_has_seen():
    assert judged(newest_look=FRIDAY).status == "calendar"
    ahead = judged(newest_look=date(2026, 2, 10))
    assert (ahead.status, ahead.facts.calendar_last) == ("chosen_window", "2026-02-10")


@pytest.mark.parametrize(("behind", "status"), [(0, "calendar"), (10, "calendar"), (11, "stale_window")])
def test_bars_may_end_ten_sessions_behind_the_clock(behind: int, status: str):
    later = scheduled_sessions(FRIDAY + timedelta(days=1), FRIDAY + timedelta(days=60))
    last = later[behind - 1].astype(object) if behind else FRIDAY
    clock = datetime(last.year, last.month, last.day, 23, tzinfo=UTC)
    found = judged(clock=clock)
    assert (found.status, found.facts.sessions_behind) == (status, behind)


def test_bars_of_after_the_clock_do_not_move_the_end():
    assert judged(stored=date(2026, 3, 2)).facts.stored_last == "2026-01-30"


def test_the_sample_markets_test_end_stands_for_the_clock():
    stated = {"sample_market": {**parameters_of().sample_market.model_dump(), "test_end": "2026-01-30"}}
    far = datetime(2027, 1, 1, tzinfo=UTC)
    assert judged(stored=date(2026, 3, 2), clock=far, env="demo", **stated).status == "calendar"
    free = {"sample_market": {**parameters_of().sample_market.model_dump(), "test_end": None}}
    assert judged(stored=date(2026, 3, 2), clock=far, env="demo", **free).status == "chosen_window"
    real = parameters_of("exp2_interbank_costs_v1", **stated)
    assert real.data_acquisition.source != "sample" and last_session_by_clock(real, far) == date(2026, 12, 30)
    on_sunday = {"sample_market": {**stated["sample_market"], "test_end": "2026-02-01"}}
    assert last_session_by_clock(parameters_of("demo", **on_sunday), far) == FRIDAY


def test_a_sample_markets_end_changes_neither_its_bars_nor_the_hash_where_it_is_unset():
    sample = parameters_of().sample_market
    other = sample.model_copy(update={"test_end": date(2026, 1, 30)})
    unset = sample.model_copy(update={"test_end": None})
    assert sample.feed == other.feed == unset.feed
    assert "test_end" not in unset.model_dump(mode="json") and "test_end" in sample.model_dump(mode="json")


def with_exceptions(bars: pd.DatetimeIndex, ever: pd.DatetimeIndex, **exceptions: dict) -> JudgedWindow:
    days = {day.replace("_", "-").lstrip("d"): exception for day, exception in exceptions.items()}
    base = parameters_of("exp2_interbank_costs_v1")
    parameters = parameters_of(
        "exp2_interbank_costs_v1", calendar={**base.calendar.model_dump(mode="json"), "exceptions": days}
    )
    return judge_window(parameters, FRIDAY, bars, None, AFTER_FRIDAY, ever)


CLOSED = {"closed": True, "reason": "said to be a strike"}
HOURS = {"opens": "09:00", "closes": "12:00", "reason": "said to be a blackout"}
DAY = date(2025, 12, 10)


@pytest.mark.parametrize("exception", [CLOSED, HOURS])
def test_an_exception_that_takes_stored_bars_out_of_test_is_a_persons_choice(exception: dict):
    bars = bars_until(FRIDAY)
    found = with_exceptions(bars, bars, d2025_12_10=exception)
    assert (found.status, found.facts.edited_sessions) == ("chosen_window", ("2025-12-10",))
    silent = bars[session_dates(bars) != np.datetime64(DAY)]
    assert with_exceptions(silent, silent, d2025_12_10=exception).status == "calendar", "it never had a bar"


@pytest.mark.parametrize(
    ("day", "edited"),
    [
        ("2025-06-27", ()),
        ("2025-07-01", ("2025-07-01",)),
        ("2026-01-30", ("2026-01-30",)),
        ("2026-02-03", ()),
    ],
)
def test_exceptions_of_the_test_windows_own_days_count_and_those_outside_do_not(day: str, edited: tuple):
    """On the last session of val, the first and the last of test, and the first after it that has bars."""
    bars = bars_until(date(2026, 2, 4), first=date(2025, 6, 3))
    assert np.datetime64(day) in session_dates(bars)
    found = with_exceptions(bars, bars, **{f"d{day.replace('-', '_')}": CLOSED})
    assert (found.status, found.facts.edited_sessions) == ("chosen_window" if edited else "calendar", edited)


def test_a_saturday_that_an_exception_lets_in_is_a_persons_choice_once_it_has_bars():
    bars, saturday = bars_until(FRIDAY), pd.DatetimeIndex(["2025-12-13T15:00Z"])
    open_day = {"opens": "08:00", "closes": "13:00", "reason": "said to be a working day"}
    assert with_exceptions(bars, bars, d2025_12_13=open_day).status == "calendar"
    both = bars.union(saturday)
    found = with_exceptions(both, both, d2025_12_13=open_day)
    assert (found.status, found.facts.edited_sessions) == ("chosen_window", ("2025-12-13",))
    assert with_exceptions(both, both).status == "calendar", "off session it counts nowhere"


def test_bars_retracted_from_within_test_are_a_persons_choice_until_they_are_delivered_again():
    ever = bars_until(FRIDAY)
    left = ever[session_dates(ever) != np.datetime64(DAY)]
    assert with_exceptions(left, ever).facts.edited_sessions == ("2025-12-10",)
    assert with_exceptions(left, ever).status == "chosen_window"
    assert with_exceptions(ever, ever).status == "calendar"
    assert "edited_sessions" not in with_exceptions(ever, ever).facts.model_dump(mode="json")
