import datetime as dt

import pytest

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.providers.umich import fetch
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, Reply, client_of, payload

ICS = (
    "Month,YYYY,ICS_ALL\n"
    "November,1952,86.2\n"
    "February,1953,90.7\n"
    "November,2025,51.0\n"
    "December,2025,52.9\n"
    "January,2026,\n"
)
SERIES = "tbmics.csv:ICS_ALL"


def ask(body, series=SERIES, start=dt.date(2020, 1, 1)):
    server = LocalServer()
    server.answer("/files/tbmics.csv", Reply(body, content_type="text/csv"))
    with client_of("umich", server) as client:
        return fetch(SeriesRequest(series, "monthly", start, dt.date(2026, 1, 15)), client)


def values(series):
    return [(str(day), value) for day, value in series.observations.itertuples(index=False)]


def test_the_sample_answer_gives_its_three_months():
    series = ask(payload("umich_ics.csv"))
    assert values(series) == [("2025-10-01", 53.6), ("2025-11-01", 51.0), ("2025-12-01", 52.9)]


def test_a_month_without_a_value_is_left_out():
    series = ask(ICS)
    assert values(series) == [("2025-11-01", 51.0), ("2025-12-01", 52.9)]
    assert series.description == "tbmics.csv ICS_ALL"


def test_the_early_months_come_where_they_are_asked():
    assert values(ask(ICS, start=dt.date(1953, 1, 1)))[0] == ("1953-02-01", 90.7)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("ICS_ALL", "ICS"),
            "umich tbmics.csv:ICS_ALL: expected one column 'ICS_ALL', found columns ['Month'",
        ),
        (("Month,YYYY", "Year,Month"), "starts with 'Month', 'YYYY', with months, found ['Year', 'Month'"),
        (("December,2025", "Dec,2025"), "and a year of 4 digits, found 'Dec', '2025'"),
        (("December,2025", "12,2025"), "expected a month's English name"),
        (("December,2025", "December,25"), "and a year of 4 digits, found 'December', '25'"),
        (("52.9", "52.9p"), "2025-12-01: expected a number, found '52.9p'"),
        (("December,2025", "November,2025"), "2025-11-01 stands twice, with 51.0 and with 52.9"),
    ],
)
def test_a_changed_file_is_refused(change, said):
    with pytest.raises(SourceError) as caught:
        ask(ICS.replace(*change))
    assert said in str(caught.value)


def test_a_file_without_months_is_refused():
    with pytest.raises(SourceError, match="with months, found"):
        ask("Month,YYYY,ICS_ALL\n")


def test_an_unknown_table_is_named():
    with pytest.raises(NotPublishedError, match=r"umich /files/tbx\.csv: not there"):
        ask(ICS, "tbx.csv:ICS_ALL")


def test_a_series_without_its_column_is_refused():
    with pytest.raises(SourceError, match="expected one column ''"):
        ask(ICS, "tbmics.csv")
