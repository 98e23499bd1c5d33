"""Macro files as people keep them: names, dates and values are read in one way, or put aside, or refused."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dosvotos.errors import DataError
from dosvotos.readers.macro import known_names, read_macro
from tests.readers.tables import write_text

NAMES = ("rate_a", "index_b")
ROWS = [("rate_a", "2025-03-19", 4.11), ("rate_a", "2025-03-20", 4.25), ("index_b", "2025-03-20", 1234.5)]


def text_of(rows=ROWS, delimiter=",", header="variable,observation_date,value"):
    lines = [header.replace(",", delimiter), *(delimiter.join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def read(tmp_path, text, variables=NAMES, months=False):
    return read_macro(write_text(tmp_path / "macro_daily.csv", text), variables, months)


def rows_of(table):
    return [(name, str(day), value) for name, day, value in table.macro.itertuples(index=False)]


@pytest.mark.parametrize(
    "text",
    [
        text_of(),
        text_of(header="Serie,Fecha,Valor"),
        text_of(header="VARIABLE,DATE, VALUE "),
        text_of(header="variable,observation_date,value (%)"),
        text_of().replace("rate_a", " RATE_A ").replace("index_b", "Index_B"),
        text_of(delimiter=";").replace(".", ","),
        text_of().replace("1234.5", '"1,234.5"'),
        text_of().replace("2025-03-19", "19/03/2025").replace("2025-03-20", "20/03/2025"),
        text_of().replace("2025-03-20", "20-mar-2025"),
        text_of().replace("2025-03-20", "2025-03-20 00:00:00"),
        text_of().replace("2025-03-20", "2025-03-20T00:00:00-05:00"),
        text_of().replace("2025-03-20", "1742428800"),
        text_of().replace("2025-03-20", "45736"),
        text_of().replace("2025-03-20", "20250320"),
        text_of(header="variable,country,observation_date,value").replace("a,2025", "a,CO,2025")
        .replace("b,2025", "b,CO,2025"),
    ],
)  # fmt: skip
def test_one_table_of_many_writers(tmp_path, text):
    table = read(tmp_path, text)
    assert rows_of(table) == ROWS
    assert table.unreadable.empty
    assert type(table.macro["observation_date"].iloc[0]) is dt.date


@pytest.mark.parametrize(
    ("old", "new", "rule", "subject", "told"),
    [
        ("2025-03-20,4.25", ",4.25", "blank_date", "rate_a", "line 3: observation_date is blank"),
        ("2025-03-20,4.25", "3025-03-20,4.25", "not_a_date", "rate_a", "'3025-03-20' is no date; write"),
        ("2025-03-20,4.25", "2025-03,4.25", "not_a_date", "rate_a", "'2025-03' is no date"),
        ("2025-03-20,4.25", "2025-03-20T05:00:00Z,4.25", "not_a_date", "rate_a", "is no date"),
        ("4.25", "N.D.", "not_a_number", "rate_a", "line 3: value 'N.D.' is no number"),
        ("4.25", "4.25%", "percent_cell", "rate_a", "may mean 4.25 or a hundredth of it; write"),
        ("4.25", "4.25 %", "percent_cell", "rate_a", "may mean 4.25 or a hundredth of it"),
        ("4.25", "4.25 e", "not_a_number", "rate_a", "value '4.25 e' is no number"),
        ("rate_a,2025-03-20", ",2025-03-20", "blank_variable", "macro", "line 3: variable is blank"),
        ("rate_a,2025-03-20,4.25", "serie,fecha,valor", "repeated_header", "macro", "line 3 repeats"),
        ("rate_a,2025-03-20,4.25", "Total,,8.36", "totals_row", "macro", "line 3 is a total, 'total'"),
        ("rate_a,2025-03-20,4.25", "rate_a,2025-03-20", "uneven_line", "macro", "has 2 cells, the header 3"),
        ("4.25", "4,25", "uneven_line", "macro", "has 4 cells, the header 3; .* between quotes"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_put_aside_and_the_others_stay(tmp_path, old, new, rule, subject, told):
    import re

    table = read(tmp_path, text_of().replace(old, new))
    assert rows_of(table) == [ROWS[0], ROWS[2]]
    [found] = table.unreadable.itertuples(index=False)
    assert (found.rule, found.subject, found.severity, found.source) == (
        rule,
        subject,
        "quarantined",
        "files",
    )
    assert re.search(f"^macro_daily.csv .*{told}", found.detail)
    assert found.at in {pd.Timestamp("2025-03-19", tz="UTC"), pd.Timestamp("2025-03-20", tz="UTC")}


def test_an_empty_value_is_left_to_the_rules_of_quality(tmp_path):
    table = read(tmp_path, text_of().replace("4.25", "").replace("4.11", "NaN"))
    assert table.unreadable.empty
    assert np.isnan(table.macro["value"]).tolist() == [True, True, False]


def test_months_are_days_where_a_file_is_of_months(tmp_path):
    text = text_of([("rate_a", "2025-01", 1.5), ("rate_a", "feb-25", 2.5), ("rate_a", "2025-03-01", 3.5)])
    days = [day for _, day, _ in rows_of(read(tmp_path, text, months=True))]
    assert days == ["2025-01-01", "2025-02-01", "2025-03-01"]
    assert len(read(tmp_path, text).unreadable) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (text_of([]), "holds a header and no values; export it again, or leave the file out"),
        (text_of().replace("2025-03-", "x"), "none of its 3 rows can be read, first: macro_daily.csv line 2"),
        (text_of([("rate_a", "2025-03-20", '"4,045"')]), "'4,045' may mean 4045 or 4.045, .*decimal commas"),
        (text_of([("rate_a", "2025-03-20", "4.045")], "\t"), "line 2: value '4.045' may mean 4.045 or 4045"),
        (text_of([("rate_a", "2025-03-20", "4,5"), ("rate_a", "2025-03-21", "4.5")], ";"),
         "mixed: line 3 has value '4.5' but line 2 has value '4,5'; write all numbers alike"),
        (text_of([("rate_a", "03/04/2025", 1.5)]), "may mean 2025-03-04 or 2025-04-03"),
        (text_of().replace("rate_a", "x").replace("index_b", "y"), r"none of its 2 variable name.* 'x', 'y'"),
        (text_of(header="variable,observation_date,val"), r"\['value'\] are missing, found \['variable', "),
        (text_of(header="variable,fecha,date"), "one observation_date column, found 'fecha' and 'date'"),
    ],
)  # fmt: skip
def test_a_file_of_two_readings_or_none_is_refused(tmp_path, text, told):
    with pytest.raises(DataError, match=rf"macro_daily\.csv: .*{told}"):
        read(tmp_path, text)


def test_names_that_differ_by_case_only_are_taken_as_written():
    written = pd.Series(["Rate", "rate", "RATE", "other ", "OTHER"])
    found = known_names(written, ("Rate", "rate", "other"))
    assert found.tolist() == ["Rate", "rate", "RATE", "other", "other"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    values=st.lists(st.decimals(-99999, 99999, places=3), min_size=1, max_size=6),
    marks=st.sampled_from([(".", ""), (",", ""), (".", ","), (",", "."), (".", "'")]),
    delimiter=st.sampled_from(",;\t"),
    form=st.sampled_from(["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y%m%d", "%d-%b-%Y"]),
    first=st.dates(dt.date(2019, 1, 1), dt.date(2025, 12, 31)),
)
def test_values_of_three_decimals_come_back_as_they_were_or_are_refused(
    tmp_path, values, marks, delimiter, form, first
):
    """Three decimals look like a group of thousands: of these files some must be refused, none misread."""
    decimal, thousands = marks
    days = [first + dt.timedelta(days=i) for i in range(len(values))]
    cells = [
        (f"{value:,}" if thousands else str(value))
        .replace(",", "T")
        .replace(".", decimal)
        .replace("T", thousands)
        for value in values
    ]
    rows = [("rate_a", day.strftime(form), f'"{cell}"') for day, cell in zip(days, cells, strict=True)]
    try:
        table = read(tmp_path, text_of(rows, delimiter))
    except DataError as error:
        assert "may mean" in str(error)
    else:
        wanted = [("rate_a", str(day), float(value)) for day, value in zip(days, values, strict=True)]
        assert rows_of(table) == wanted
