import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.providers.drop_in import fetch
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import payload


def request(series="x.csv", frequency="daily"):
    return SeriesRequest(series, frequency, dt.date(2025, 1, 1), dt.date(2026, 1, 15))


def read(folder, text, series="x.csv", frequency="daily", encoding="utf-8"):
    (folder / "x.csv").write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return fetch(request(series, frequency), folder)


def values(series):
    return [(str(day), value) for day, value in series.observations.itertuples(index=False)]


def days(*written):
    """A daily file with these values, as it stands between semicolons."""
    return "fecha;ICC\n" + "".join(f"2025-03-{i:02d};{value}\n" for i, value in enumerate(written, 1))


def numbers(folder, text):
    return [value for _, value in values(read(folder, text))]


def test_the_sample_file_is_read_by_column_with_decimal_commas_and_short_months(tmp_path):
    (tmp_path / "icc.csv").write_bytes(payload("fedesarrollo_icc.csv"))
    icc, ici = (fetch(request(f"icc.csv:{name}", "monthly"), tmp_path) for name in ("ICC", "ICI"))
    assert values(icc) == [("2025-01-01", -1.1), ("2025-02-01", -5.6), ("2025-03-01", -8.0)]
    assert values(ici) == [("2025-01-01", 3.5), ("2025-02-01", 1.2)]
    assert (icc.description, ici.description) == ("icc.csv ICC", "icc.csv ICI")


def test_a_missing_file_says_where_to_put_what(tmp_path):
    with pytest.raises(NotPublishedError) as caught:
        fetch(request("icc.csv:ICC", "monthly"), tmp_path)
    assert str(caught.value) == (
        f"drop-in file {tmp_path}/icc.csv: not there; save a CSV under this name, with the header fecha;ICC "
        "and lines such as ene-25;-1,1 (docs/data.md)"
    )


@pytest.mark.parametrize("name", ["../secret.csv", "/etc/passwd", "a/b.csv"])
def test_a_file_outside_the_folder_is_not_read(tmp_path, name):
    with pytest.raises(SourceError, match="expected the name of a file in the drop-in folder"):
        fetch(request(name), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        'date,ICC\n2025-03-03,"-1,5"\n2025-03-04,"2,0"\n',
        "fecha;ICC\n20250303;-1,5\n4 de marzo de 2025;2\n",
        "fecha;ICC\n2025-03-03;-1,5\n2025-03-04;2\n".encode("utf-16"),
        "fecha;ICC\n2025-03-03;-1,5\n2025-03-04;2\n",
        "date,ICC\n2025-03-03,-1.5\n2025-03-04,2\n",
        "observation_date\tICC\n2025-03-03\t-1.5\n2025-03-04\t2.0\n",
        "Fecha;ICC\r\n03/03/2025;-1,5\r\n4/3/2025;2,0\r\n;\r\n",
        '"ICC";"FECHA"\n" -1.5 ";"2025-03-03"\n"+2";"2025-03-04"\n',
        "\n\nfecha;ICC;\n2025-03-04;2;\n2025-03-03;-1,5;\n",
    ],
    ids=[
        "quoted commas",
        "other dates",
        "utf-16",
        "semicolons",
        "commas",
        "tabs",
        "windows",
        "quotes",
        "blank lines and columns",
    ],
)
def test_separators_dates_and_line_ends_of_common_programs_mean_the_same(tmp_path, text):
    assert values(read(tmp_path, text)) == [("2025-03-03", -1.5), ("2025-03-04", 2.0)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_accents_in_a_header_are_read_in_any_usual_encoding(tmp_path, encoding):
    text = "fecha;Índice de confianza;Año\n2025-03-03;1,5;7\n"
    series = read(tmp_path, text, "x.csv:indice de CONFIANZA", encoding=encoding)
    assert values(series) == [("2025-03-03", 1.5)]
    assert series.description == "x.csv Índice de confianza"


def test_history_before_the_request_is_given_too(tmp_path):
    assert values(read(tmp_path, "fecha;v\n2019-12-31;3\n")) == [("2019-12-31", 3.0)]


@pytest.mark.parametrize(
    ("frequency", "written", "day"),
    [
        ("monthly", "ene-25", "2025-01-01"),
        ("monthly", "Set. 2025", "2025-09-01"),
        ("monthly", "2025-02", "2025-02-01"),
        ("monthly", "2025-02-01", "2025-02-01"),
        ("monthly", "28/02/2025", "2025-02-01"),
        ("quarterly", "2025-07-01", "2025-07-01"),
        ("quarterly", "30/09/2025", "2025-07-01"),
        ("quarterly", "sep-25", "2025-07-01"),
        ("quarterly", "2025-12", "2025-10-01"),
        ("daily", "1/2/2025", "2025-02-01"),
    ],
)
def test_a_period_stands_at_its_first_day_however_it_is_dated(tmp_path, frequency, written, day):
    assert values(read(tmp_path, f"fecha;v\n{written};3\n", frequency=frequency)) == [(day, 3.0)]


@pytest.mark.parametrize(
    ("frequency", "written", "told"),
    [
        ("daily", "ene-25", "line 2: expected a day, as the variable is daily, found the month 2025-01"),
        ("daily", "2025-01", "expected a day, as the variable is daily"),
        ("daily", "12/31/2025", "line 2: observation_date '12/31/2025' is no date; write dates as"),
        ("daily", "2025-02-30", "is no date"),
        (
            "daily",
            "03/02/25",
            "'03/02/25' is no date; write dates as 2025-01-31, 31/01/2025, 2025-01 or ene-25",
        ),
        ("daily", "2025-02-03 08:00", "is no date"),
        ("daily", "", "line 2: observation_date is blank"),
        ("monthly", "Fuente: Fedesarrollo", "'Fuente: Fedesarrollo' is no date"),
        ("monthly", "02/01/2025", "expected a period's first or last day, as the variable is monthly"),
        ("quarterly", "2025-02-01", "expected a period's first or last day, as the variable is quarterly"),
        ("quarterly", "feb-25", "expected a period's first or last day"),
        ("quarterly", "2025-07-31", "expected a period's first or last day"),
    ],
)
def test_a_date_that_may_mean_another_is_refused(tmp_path, frequency, written, told):
    with pytest.raises(SourceError, match=f"^drop-in file .*x.csv: .*{told}"):
        read(tmp_path, f"fecha;v\n{written};3\n", frequency=frequency)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["1.234,5"], [1234.5]),
        (["1.234.567,25", "-3"], [1234567.25, -3.0]),
        (["1,234.5"], [1234.5]),
        (["1.234", "567,8"], [1234.0, 567.8]),
        (["1.234", "5.6"], [1.234, 5.6]),
        (["0.123"], [0.123]),
        (["8,852", "8,851"], [8.852, 8.851]),
        (["1.234", "5,678"], [1234.0, 5.678]),
        (["1234", "", "-5"], [1234.0, -5.0]),
        (["1234.567"], [1234.567]),
        (["1 234", "1e3", "$ 5,5"], [1234.0, 1000.0, 5.5]),
        (["nan", "7"], [7.0]),
    ],
)
def test_between_semicolons_the_column_tells_its_decimal_mark(tmp_path, written, meant):
    assert numbers(tmp_path, days(*written)) == meant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            days("1.234"),
            "line 2: value '1.234' may mean 1.234 or 1234, .*; write decimal commas between semicolons",
        ),
        (days("12", "1.234", "5.678"), "'1.234' may mean"),
        ("date\tv\n2025-03-03\t1,234\n", "'1,234' may mean 1234 or 1.234"),
        (days("1.5", "2,5"), "decimal points and decimal commas are mixed"),
        (days("1.234,5", "1,234.5"), "decimal points and decimal commas are mixed"),
        ('date,v\n2025-03-03,"1,234"\n', "'1,234' may mean 1234 or 1.234"),
        ("date,v\n2025-03-03,1,5\n", "line 2 has 3 cells, the header 2; .* a decimal comma, between quotes"),
        *(
            (days(text), f"line 2: value '{text}' is no number")
            for text in ("n.d.", "inf", "1_000", "--1", "12 34")
        ),
        (days("5%"), "'5%' may mean 5 or a hundredth of it"),
        (days("1.23,4", "5"), "'1.23,4' is no number"),
        (days("=A1"), "'=A1' is no number"),
    ],
)
def test_a_number_that_may_mean_another_is_refused(tmp_path, text, told):
    with pytest.raises(SourceError, match=f"^drop-in file .*{told}"):
        read(tmp_path, text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(
    st.lists(st.decimals(-(10**7), 10**7, places=2), min_size=1, max_size=8),
    st.sampled_from([("", ","), (".", ","), ("", "."), (",", ".")]),
    st.sampled_from(";\t,"),
)
def test_a_number_of_two_decimals_is_read_as_meant_in_any_style(tmp_path, meant, style, separator):
    thousands, mark = style
    written = [
        f"{n:,.2f}".replace(",", "_").replace(".", mark).replace("_", thousands) for n in map(float, meant)
    ]
    lines = [f'"2025-03-{i:02d}"{separator}"{text}"' for i, text in enumerate(written, 1)]
    assert numbers(tmp_path, "\n".join([f"fecha{separator}v", *lines])) == [float(n) for n in meant]


@pytest.mark.parametrize(
    ("text", "series", "told"),
    [
        ("", "x.csv", "the file is empty"),
        ("fecha\n2025-03-03\n", "x.csv", "column\\(s\\) \\['value'\\] are missing, found \\['fecha'\\]"),
        ("\n", "x.csv:ICC", "the file is empty"),
        ("dia;v\n2025-03-03;1\n", "x.csv", "no header: expected columns \\['observation_date', 'value'\\]"),
        (
            "fecha;date;v\n2025-03-03;2025-03-03;1\n",
            "x.csv",
            "expected one observation_date column, found 'fecha'",
        ),
        ("fecha;a;b\n2025-03-03;1;2\n", "x.csv", "expected one value column, found 'a' and 'b'"),
        ("fecha;a;b\n2025-03-03;1;2\n", "x.csv:c", "\\['c'\\] are missing, found \\['fecha', 'a', 'b'\\]"),
        ("fecha;a;A\n2025-03-03;1;2\n", "x.csv:a", "expected one value column, found 'a' and 'A'"),
        ("fecha;v\n", "x.csv", "column 'v' holds no value"),
        ("fecha;v\n2025-03-03;\n", "x.csv", "column 'v' holds no value"),
        ("fecha;v\n2025-03-03;1\n2025-03-04\n", "x.csv", "line 3 has 1 cells, the header 2"),
        ("fecha;v\n2025-03-03;1\n2025-03-03;2\n", "x.csv", "may stand once, 2025-03-03 stands more often"),
        ("fecha;v\n2025-03-03;1\n03/03/2025;1\n", "x.csv", "may stand once"),
        (
            "fecha;v\n2025-03-03;1\n".encode("utf-16-le"),
            "x.csv",
            "without its byte order mark; save it as CSV UTF-8",
        ),
        (b"PK\x03\x04" + bytes(64), "x.csv", "cannot be read as zip"),
        ('fecha;v\n2025-03-03;"' + "1" * 140_000, "x.csv", "cannot be read as CSV: field larger"),
    ],
)
def test_another_file_is_refused_with_what_was_found(tmp_path, text, series, told):
    with pytest.raises(SourceError, match=f"^drop-in file .*{told}"):
        read(tmp_path, text, series)


def test_two_dates_of_one_month_are_refused_for_a_monthly_variable(tmp_path):
    with pytest.raises(SourceError, match="2025-01-01 stands more often"):
        read(tmp_path, "fecha;v\n2025-01-01;1\n2025-01-31;1\n", frequency="monthly")
