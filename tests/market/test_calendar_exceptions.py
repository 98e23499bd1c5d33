"""Days on which the market keeps other hours than the calendar says, or none."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.experiment import check_unchanged, make_contract
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.errors import ContractError, ParameterError
from dosvotos.market.calendar import (
    BAR,
    in_session,
    last_complete_session,
    last_ended_session,
    scheduled_sessions,
    session_bar_times,
    session_dates,
    session_numbers,
    session_slots,
)
from dosvotos.market.dataset import select_bars
from tests.conftest import parameters_of

TUESDAY, SATURDAY = np.datetime64("2024-07-02"), np.datetime64("2024-07-06")
HOLIDAY = np.datetime64("2024-07-01")
SHORT = {"opens": "09:00", "closes": "12:00", "reason": "a blackout"}
CLOSED = {"closed": True, "reason": "a strike"}


def calendar(**days: dict) -> CalendarParams:
    exceptions = {name.lstrip("d").replace("_", "-"): value for name, value in days.items()}
    return CalendarParams.model_validate({"version": "1.0.1", "exceptions": exceptions})


def test_a_closed_date_is_no_session_and_an_open_one_is_whatever_its_weekday():
    week = date(2024, 6, 30), date(2024, 7, 7)
    assert scheduled_sessions(*week).astype(str).tolist() == [f"2024-07-0{d}" for d in (2, 3, 4, 5)]
    own = calendar(d2024_07_02=CLOSED, d2024_07_01=SHORT, d2024_07_06=SHORT)
    assert scheduled_sessions(*week, own).astype(str).tolist() == [f"2024-07-0{d}" for d in (1, 3, 4, 5, 6)]


def test_other_hours_bound_the_session_and_leave_its_slots():
    own = calendar(d2024_07_02=SHORT)
    assert session_slots(TUESDAY, own) == (12, 47)
    assert session_slots(TUESDAY) == session_slots(HOLIDAY, own) == (0, 59)
    times = session_bar_times(TUESDAY, own)
    assert len(times) == 36 and str(times[0].tz_convert("America/Bogota"))[11:16] == "09:00"
    inside = in_session(session_bar_times(TUESDAY), own)
    assert inside.nonzero()[0].tolist() == list(range(12, 48))
    assert in_session(session_bar_times(np.datetime64("2024-07-03")), own).all()


def test_a_shortened_session_is_complete_and_ended_with_its_own_last_bar():
    own, times = calendar(d2024_07_02=SHORT), session_bar_times(TUESDAY)
    assert last_complete_session(times[:48], own) == date(2024, 7, 2)
    noon = times[47] + BAR
    assert last_ended_session(noon, own) == date(2024, 7, 2)
    assert last_ended_session(noon - pd.Timedelta(seconds=1), own) < date(2024, 7, 2)
    assert last_ended_session(noon) < date(2024, 7, 2)


def test_session_numbers_count_what_scheduled_sessions_lists():
    for own in (CalendarParams(), calendar(d2024_07_02=CLOSED, d2024_07_06=SHORT, d2024_07_01=SHORT)):
        days = np.arange(np.datetime64("2024-06-20"), np.datetime64("2024-07-15"))
        counted = [len(scheduled_sessions(date(2024, 6, 20), day, own)) for day in days[:-1].astype(object)]
        numbers = session_numbers(days, own)
        assert (numbers[1:] - numbers[0]).tolist() == counted


def test_bars_of_a_closed_session_are_left_out_of_a_dataset():
    times = session_bar_times(TUESDAY).append(session_bar_times(np.datetime64("2024-07-03")))
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0), index=times)
    kept = select_bars(bars, date(2024, 7, 5), calendar(d2024_07_02=CLOSED))
    assert np.unique(session_dates(pd.DatetimeIndex(kept.index))).astype(str).tolist() == ["2024-07-03"]
    assert len(select_bars(bars, date(2024, 7, 5))) == 120


def test_a_later_exception_refuses_no_frozen_contract_and_another_change_still_does():
    contract = make_contract(parameters_of(), date(2025, 12, 19), "ana")
    exceptions = {"exceptions": {"2024-07-02": CLOSED}, "version": "1.0.1"}
    check_unchanged(contract, parameters_of(calendar=exceptions))
    with pytest.raises(ContractError, match="frozen") as refused:
        check_unchanged(contract, parameters_of(calendar=exceptions, splits={"embargo_sessions": 2}))
    assert "embargo_sessions" in str(refused.value) and "calendar" not in str(refused.value)


def test_a_contract_keeps_the_exceptions_it_was_made_with():
    made = make_contract(
        parameters_of(calendar={"exceptions": {"2024-07-02": CLOSED}}), date(2025, 12, 19), "ana"
    )
    assert made.parameters.calendar.exceptions[date(2024, 7, 2)].reason == "a strike"
    assert made.config_hash != make_contract(parameters_of(), date(2025, 12, 19), "ana").config_hash


@pytest.mark.parametrize(
    ("exception", "rule"),
    [
        ({"closed": True}, "reason: required"),
        ({"closed": True, "reason": ""}, "at least 1 character"),
        ({"reason": "why"}, "closed: true, or both opens and closes"),
        ({"closed": True, "opens": "08:00", "closes": "12:00", "reason": "why"}, "either closed"),
        ({"opens": "09:00", "reason": "why"}, "belong together"),
        ({"opens": "07:00", "closes": "12:00", "reason": "why"}, "07:00 to 12:00"),
        ({"opens": "12:00", "closes": "09:00", "reason": "why"}, "before it closes"),
        ({"opens": "09:02", "closes": "12:00", "reason": "why"}, "five-minute grid"),
        ({"opens": "noon", "closes": "13:00", "reason": "why"}, "noon"),
    ],
)
def test_an_exception_that_says_too_little_or_nonsense_is_refused_by_name(exception, rule):
    with pytest.raises(ParameterError, match=r"calendar\.exceptions\.2024-07-02") as refused:
        parameters_of(calendar={"exceptions": {"2024-07-02": exception}})
    assert rule in str(refused.value)


def test_a_date_that_is_none_is_refused_by_name():
    with pytest.raises(ParameterError, match=r"calendar\.exceptions"):
        parameters_of(calendar={"exceptions": {"2024-02-30": CLOSED}})
