import datetime as dt

import pytest

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.providers.cboe import fetch
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, Reply, client_of, payload

PATH = "/api/global/us_indices/daily_prices/"
VIX = (
    "DATE,OPEN,HIGH,LOW,CLOSE\r\n"
    "01/02/1990,17.240000,17.240000,17.240000,17.240000\r\n"
    "01/14/2026,16.310000,17.550000,16.030000,16.750000\r\n"
    "01/15/2026,16.290000,16.700000,15.580000,15.840000\r\n"
)


def ask(body, series="VIX_History.csv", file="VIX_History.csv", start=dt.date(2020, 1, 1)):
    server = LocalServer()
    server.answer(PATH + file, Reply(body, content_type="text/csv"))
    with client_of("cboe", server) as client:
        return fetch(SeriesRequest(series, "daily", start, dt.date(2026, 1, 15)), client)


def values(series):
    return [(str(day), value) for day, value in series.observations.itertuples(index=False)]


def test_the_sample_answer_gives_its_closes():
    series = ask(payload("cboe_vix.csv"))
    assert values(series) == [("2026-01-14", 16.75), ("2026-01-15", 15.84)]


def test_the_close_from_the_start_on_is_taken_and_stated():
    series = ask(VIX)
    assert values(series) == [("2026-01-14", 16.75), ("2026-01-15", 15.84)]
    assert series.description == "VIX_History.csv CLOSE"
    assert values(ask(VIX, start=dt.date(1990, 1, 1)))[0] == ("1990-01-02", 17.24)


def test_spaces_around_cells_say_nothing():
    assert values(ask(VIX.replace(",", " , ")))[-1] == ("2026-01-15", 15.84)


def test_another_index_may_name_its_column():
    series = ask("DATE,VVIX\n01/15/2026,91.20\n", "VVIX_History.csv:VVIX", "VVIX_History.csv")
    assert values(series) == [("2026-01-15", 91.2)]
    assert series.description == "VVIX_History.csv VVIX"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("CLOSE", "LAST"),
            "cboe VIX_History.csv: expected one column 'CLOSE', found columns ['DATE', 'OPEN'",
        ),
        (
            ("DATE", "Trade Date"),
            "expected a table that starts with 'DATE' and has days, found ['Trade Date'",
        ),
        (("01/15/2026", "2026-01-15"), "expected a date MM/DD/YYYY, found '2026-01-15'"),
        (("15.840000", "15,840000"), "answered with half a table: row 4 has 6 of 5 cells"),
        (("15.840000", "n/a"), "VIX_History.csv 2026-01-15: expected a number, found 'n/a'"),
        (("01/15/2026", "01/14/2026"), "2026-01-14 stands twice, with 16.75 and with 15.84"),
    ],
)
def test_a_changed_file_is_refused(change, said):
    with pytest.raises(SourceError) as caught:
        ask(VIX.replace(*change))
    assert said in str(caught.value)


@pytest.mark.parametrize("body", [VIX.splitlines()[0], ""])
def test_a_file_without_days_is_refused(body):
    with pytest.raises(SourceError, match=r"has days|empty table"):
        ask(body)


def test_an_unknown_index_is_named():
    with pytest.raises(NotPublishedError, match=r"cboe .*/VIY_History\.csv: not there"):
        ask(VIX, "VIY_History.csv")
