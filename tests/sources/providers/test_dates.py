import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosvotos.errors import SourceError
from dosvotos.sources.providers.dates import parse_month, parse_month_name, parse_short_day, period_start

SHORT = ("Ene", "Feb", "Mar", "Abr", "May", "Jun", "Jul", "Ago", "Set", "Oct", "Nov", "Dic")


@given(st.dates(dt.date(1970, 1, 1), dt.date(2069, 12, 31)))
def test_every_day_of_a_hundred_years_is_read_back_from_both_short_forms(day):
    month, year = SHORT[day.month - 1], f"{day.year % 100:02d}"
    assert parse_short_day(f"{day.day:02d}.{month}.{year}", "x") == day
    assert parse_short_day(f"{day.day:02d}{month.upper()}{year}", "x") == day


@pytest.mark.parametrize(
    "text", ["31.Feb.25", "1.Ene.25", "01.Jan.25", "01.Ene.2025", "Ene.25", "2025-01-01", "", "01.13.25"]
)
def test_another_form_of_day_is_refused_and_shown(text):
    with pytest.raises(SourceError, match=r"^bcrp X: .*expected|is no day") as caught:
        parse_short_day(text, "bcrp X")
    assert repr(text) in str(caught.value) or "'Jan'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "month"),
    [("Enero", 1), ("sept.", 9), ("SET", 9), ("Setiembre", 9), ("dic", 12), ("Marzo", 3), ("Junio", 6)],
)
def test_a_months_name_may_be_whole_or_cut(text, month):
    assert parse_month_name(text) == month


@pytest.mark.parametrize("text", ["Enero-septiembre", "marca", "ma", "Total", "", "junior", "enero 2025"])
def test_what_only_begins_like_a_month_is_none(text):
    assert parse_month_name(text) is None


@pytest.mark.parametrize(
    "text", ["ene-25", "Ene. 2025", "enero de 2025", "ENERO DEL 2025", "ene/25", "ene25"]
)
def test_a_month_and_year_may_be_written_in_many_ways(text):
    assert parse_month(text) == dt.date(2025, 1, 1)


@pytest.mark.parametrize("text", ["2025-01", "ene", "ene-5", "xyz-25", "25-ene", "enero-septiembre 2025"])
def test_other_texts_are_no_month_and_year(text):
    assert parse_month(text) is None


@given(st.dates())
def test_a_period_begins_at_or_before_its_day_and_ends_after_it(day):
    month, quarter = period_start(day, "monthly"), period_start(day, "quarterly")
    assert period_start(day, "daily") == day
    assert (month.year, month.month, month.day) == (day.year, day.month, 1)
    assert quarter.month in (1, 4, 7, 10) and 0 <= day.month - quarter.month <= 2 and quarter.day == 1
