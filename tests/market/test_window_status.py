"""Whether the calendar or a person chose a test window."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from dosvotos.contracts.window import JudgedWindow
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.market.window_status import judge_window
from tests.conftest import parameters_of

FRIDAY = date(2026, 1, 30)
AFTER_FRIDAY = datetime(2026, 1, 31, 12, tzinfo=UTC)


def bars_until(last: date) -> pd.DatetimeIndex:
    days = scheduled_sessions(date(2025, 12, 1), last)
    return pd.DatetimeIndex([time for day in days for time in session_bar_times(day)])


def judged(
    stored: date = FRIDAY,
    start: str = "2025-07-01",
    end: date = FRIDAY,
    newest_look: date | None = None,
    clock: datetime = AFTER_FRIDAY,
    env: str = "exp2_interbank_costs_v1",
    **sections: dict,
) -> JudgedWindow:
    base = parameters_of(env)
    dates = {**base.date_ranges.model_dump(mode="json"), "test": {"start": start}}
    parameters = parameters_of(env, date_ranges=dates, **sections)
    return judge_window(parameters, end, bars_until(stored), newest_look, clock)


def test_from_the_first_session_after_val_to_the_last_one_stored_is_the_calendars():
    found = judged()
    assert found.status == "calendar"
    assert (found.facts.calendar_first, found.facts.calendar_last) == ("2025-07-01", "2026-01-30")


@pytest.mark.parametrize(
    "changed", [{"start": "2025-07-02"}, {"start": "2025-09-01"}, {"end": date(2026, 1, 29)}]
)
def test_one_session_less_at_either_end_is_a_persons_choice(changed: dict):
    assert judged(**changed).status == "chosen_window"


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


def test_a_sample_markets_end_changes_neither_its_bars_nor_the_hash_where_it_is_unset():
    sample = parameters_of().sample_market
    other = sample.model_copy(update={"test_end": date(2026, 1, 30)})
    unset = sample.model_copy(update={"test_end": None})
    assert sample.feed == other.feed == unset.feed
    assert "test_end" not in unset.model_dump(mode="json") and "test_end" in sample.model_dump(mode="json")
