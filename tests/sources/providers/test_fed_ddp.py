import datetime as dt
import io
import zipfile

import pytest

from dosvotos.errors import SourceError
from dosvotos.sources.providers.fed_ddp import PACKAGES, fetch
from dosvotos.sources.providers.parsing import normalize_text
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, Reply, client_of, payload

PROGRAM = "/datadownload/Output.aspx"
FUNDS, PRIME, MONEY, OUTPUT = "H15/RIFSPFF_N.M", "H15/RIFSPBLP_N.B", "H6/M2.M", "G17/IP.B50001.S"
RATES = """"Series Description","Prime rate, quoted on an   investment basis","Federal funds effective rate"
"Unit:","Percent:_Per_Year","Percent:_Per_Year"
"Multiplier:","1","1"
"Currency:","NA","NA"
"Unique Identifier: ","H15/H15/RIFSPBLP_N.M","H15/H15/RIFSPFF_N.M"
"Time Period","RIFSPBLP_N.M","RIFSPFF_N.M"
2025-10,7.15,4.09
2025-11,ND,3.88
2025-12,6.79,
"""
MONEY_CSV = """"Series Description","M2; Not seasonally adjusted","M2; Seasonally adjusted"
"Unit:","Currency","Currency"
"Multiplier:","1e+09","1000000000"
"Currency:","USD","USD"
"Unique Identifier:","H6/H6_M2/M2_N.M","H6/H6_M2/M2.M"
"Time Period","M2_N.M","M2.M"
2025-11,22366.1,22322.4
2025-12,22480.0,22411.0
"""
XML = """<?xml version="1.0" encoding="UTF-8"?>
<message:MessageGroup xmlns:message="http://www.SDMX.org/resources/SDMXML/schemas/v1_0/message"
  xmlns:common="http://www.SDMX.org/resources/SDMXML/schemas/v1_0/common"
  xmlns:frb="http://www.federalreserve.gov/structure/compact/common">{sets}</message:MessageGroup>"""
SET = """<frb:DataSet id="{id}" xmlns:kf="http://www.federalreserve.gov/structure/compact/{id}">
  <kf:Series SERIES_NAME="OTHER" UNIT="Currency" UNIT_MULT="1" CURRENCY="USD">
    <frb:Obs OBS_STATUS="A" OBS_VALUE="1" TIME_PERIOD="2026-01-14"/></kf:Series>
  <kf:Series SERIES_NAME="{name}" FREQ="9" UNIT="{unit}" UNIT_MULT="{mult}" CURRENCY="{currency}">
    <frb:Annotations><common:Annotation><common:AnnotationType>Short Description</common:AnnotationType>
      <common:AnnotationText>{text}</common:AnnotationText></common:Annotation></frb:Annotations>
    {obs}</kf:Series></frb:DataSet>"""


def observed(*triples):
    return "".join(
        f'<frb:Obs OBS_STATUS="{status}" OBS_VALUE="{value}" TIME_PERIOD="{period}" />'
        for period, value, status in triples
    )


def data_set(*triples, id="H15_H15", name="RIFSPBLP_N.B", unit="Percent:_Per_Year", mult="1", currency="NA",
             text="Bank prime loan"):  # fmt: skip
    return SET.format(
        id=id, name=name, unit=unit, mult=mult, currency=currency, text=text, obs=observed(*triples)
    )


def archive(*sets, member="H15_data.xml", xml=XML, method=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as packed:
        packed.writestr("H15_struct.xml", "<x/>")
        packed.writestr(member, xml.format(sets="".join(sets)))
    return Reply(target.getvalue(), content_type="application/x-zip-compressed")


PRIME_ARCHIVE = archive(
    data_set(("2026-01-14", "6.75", "A"), ("2026-01-15", "6.75", "A"), ("2026-01-19", "-9999", "ND"))
)
STORED = archive(data_set(("2026-01-14", "6.75", "A")), method=zipfile.ZIP_STORED).content


def request(series=FUNDS, start="2025-11-01", end="2025-12-01", frequency="monthly"):
    return SeriesRequest(series, frequency, dt.date.fromisoformat(start), dt.date.fromisoformat(end))


def prime(start="2026-01-01", end="2026-01-19"):
    return request(PRIME, start, end, "daily")


def serving(package=None, archived=None, release="h15"):
    server = LocalServer()
    if package is not None:
        reply = package if isinstance(package, Reply) else Reply(package, content_type="text/csv")
        server.answer(PROGRAM, reply)
    if archived is not None:
        server.answer(f"/releases/{release}/data/FRB_{release}_xml.zip", archived)
    return server


def ask(server, *requests):
    with client_of("fed_ddp", server) as client:
        return [fetch(each, client) for each in requests or [request()]]


def refusal(server, *requests):
    with pytest.raises(SourceError) as caught:
        ask(server, *requests)
    return str(caught.value)


def values(series):
    return [(str(day), value) for day, value in series.observations.itertuples(index=False)]


def test_the_sample_answer_gives_the_prime_rate_and_no_holiday():
    (series,) = ask(serving(payload("fed_h15.csv")), prime())
    assert values(series) == [("2026-01-14", 6.75), ("2026-01-15", 6.75)]
    for word in ("prime rate", "percent", "multiplier 1", "H15/H15/RIFSPBLP_N.B"):
        assert normalize_text(word) in normalize_text(series.description)


def test_a_package_is_asked_by_its_hash_for_the_range():
    server = serving(RATES)
    ask(server)
    assert [call.query for call in server.calls] == [
        {
            "rel": "H15", "series": "d7e27b7b09a3a7feae95b9c61781fcd8", "lastobs": "",
            "from": "11/01/2025", "to": "12/31/2025", "filetype": "csv", "label": "include",
            "layout": "seriescolumn", "type": "package",
        }
    ]  # fmt: skip


def test_columns_are_found_by_their_identifier_and_months_by_their_first_day():
    (series,) = ask(serving(RATES))
    assert values(series) == [
        ("2025-11-01", 3.88)
    ]  # the blank is no observation, October lies before the range
    assert series.description == (
        "Federal funds effective rate, Percent:_Per_Year, multiplier 1, currency NA, H15/H15/RIFSPFF_N.M"
    )


def test_series_of_one_package_cost_one_call():
    server = serving(RATES)
    funds, rate = ask(server, request(), request("H15/RIFSPBLP_N.M"))
    assert [values(funds), values(rate)] == [[("2025-11-01", 3.88)], [("2025-12-01", 6.79)]]
    assert rate.description.startswith("Prime rate, quoted on an investment basis, Percent:_Per_Year")
    assert len(server.calls) == 1


def test_money_is_in_billions_and_states_its_multiplier_whatever_its_spelling():
    server = serving(MONEY_CSV)
    adjusted, not_adjusted = ask(server, request(MONEY), request("H6/M2_N.M"))
    assert values(adjusted) == [("2025-11-01", 22322.4), ("2025-12-01", 22411.0)]
    assert (
        adjusted.description
        == "M2; Seasonally adjusted, Currency, multiplier 1e+09, currency USD, H6/H6_M2/M2.M"
    )
    assert "Not seasonally adjusted, Currency, multiplier 1e+09" in not_adjusted.description


@pytest.mark.parametrize("written", ["2025-12", "2025-12-31", "2025-12-01"])
def test_a_month_may_be_written_with_a_day(written):
    (series,) = ask(serving(RATES.replace("2025-12,6.79,", f"{written},6.79,3.72")))
    assert values(series)[-1] == ("2025-12-01", 3.72)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"Unit:"', '"Units:"'), "expected rows headed ['Series Description', 'Unit',"),
        (
            ("H15/H15/RIFSPFF_N.M", "H15/H15/RIFSPFF_N.D"),
            "expected one column identified as H15/.../RIFSPFF_N.M",
        ),
        (
            ("H15/H15/RIFSPFF_N.M", "H41/H41/RIFSPFF_N.M"),
            "found ['H15/H15/RIFSPBLP_N.M', 'H41/H41/RIFSPFF_N.M']",
        ),
        (
            ("H15/H15/RIFSPBLP_N.M", "H15/H15/RIFSPFF_N.M"),
            "expected one column identified as H15/.../RIFSPFF",
        ),
        (('"RIFSPBLP_N.M","RIFSPFF_N.M"\n', '"RIFSPBLP_N.M","OTHER"\n'), "is headed 'OTHER'"),
    ],
)
def test_a_package_with_another_schema_is_not_read(change, said):
    message = refusal(serving(RATES.replace(*change)))
    assert message.startswith("fed_ddp H15/RIFSPFF_N.M: package: ")
    assert said in message
    assert "archive: fed_ddp /releases/h15/data/FRB_h15_xml.zip: not there (404)" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("2025-12,", "12/2025,"), "expected a monthly period, found '12/2025'"),
        (("2025-12,", "2025-13,"), "expected a monthly period, found '2025-13'"),
        (("3.88", "n.a."), "fed_ddp H15/RIFSPFF_N.M 2025-11-01: expected a number, found 'n.a.'"),
        (("2025-12,6.79,", "2025-11,6.79,3.72"), "2025-11-01 stands twice, with 3.88 and with 3.72"),
        (('"1","1"', '"1","one"'), "expected a number as multiplier, found 'one'"),
    ],
)
def test_what_a_package_says_wrongly_is_refused(change, said):
    assert said in refusal(serving(RATES.replace(*change)))


def test_a_new_unit_and_multiplier_are_stated_for_the_caller_to_refuse():
    (series,) = ask(serving(MONEY_CSV.replace("1000000000", "1000000")), request(MONEY))
    assert "multiplier 1e+06" in series.description
    assert "multiplier 1e+09" not in series.description


@pytest.mark.parametrize(
    "refused",
    [
        Reply(b"", content_type="text/html"),
        Reply("<html>The Data Download Program has been retired</html>", content_type="text/html"),
        Reply("gone", 410, "text/plain"),
        Reply("busy", 503, "text/plain"),
        RATES.replace("N.M", "N.B").replace("RIFSPBLP", "RIFLGFCY10"),
        "\n".join(RATES.splitlines()[:6]).replace("N.M", "N.B"),
    ],
    ids=["empty", "retired", "410", "503", "not in it", "no observation"],
)
def test_where_the_program_has_no_answer_the_archive_has(refused):
    (series,) = ask(serving(refused, PRIME_ARCHIVE), prime())
    assert values(series) == [("2026-01-14", 6.75), ("2026-01-15", 6.75)]
    assert (
        series.description
        == "Bank prime loan, Percent:_Per_Year, multiplier 1, currency NA, H15/RIFSPBLP_N.B"
    )


def test_a_release_without_a_known_package_is_read_from_its_archive_alone():
    packed = archive(
        data_set(("2026-01-14", "1.16", "A"), id="H10", name="RXI$US_N.B.EU"), member="H10_data.xml"
    )
    server = serving(RATES, packed, "h10")
    (series,) = ask(server, request("H10/RXI$US_N.B.EU", "2026-01-01", "2026-01-19", "daily"))
    assert values(series) == [("2026-01-14", 1.16)]
    assert [call.path for call in server.calls] == ["/releases/h10/data/FRB_h10_xml.zip"]
    assert "H10" not in {release for release, _ in PACKAGES}


def g17(*triples, id="IP_MARKET_GROUPS", **changes):
    words = {"unit": "Index:_2017_100", "text": "Total index; s.a. IP", **changes}
    return data_set(*triples, id=id, name="IP.B50001.S", **words)


def test_a_series_in_several_data_sets_of_an_archive_is_one_series():
    months = [("2025-10-31", "101.4", "A"), ("2025-11-30", "101.8", "A")]
    packed = archive(g17(*months), g17(*months, id="IP_SPECIAL_AGGREGATES"))
    (series,) = ask(serving(b"", packed, "g17"), request(OUTPUT, "2025-10-01"))
    assert values(series) == [
        ("2025-10-01", 101.4),
        ("2025-11-01", 101.8),
    ]  # an archive dates a month by its end
    assert "Total index; s.a. IP, Index:_2017_100, multiplier 1" in series.description


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (g17(("2025-11-30", "99.0", "A"), id="OTHER"), "2025-11-01 stands twice, with 101.8 and with 99.0"),
        (g17(("2025-11-30", "101.8", "A"), id="OTHER", unit="Index:_2022_100"), "data sets that disagree"),
    ],
)
def test_data_sets_that_contradict_each_other_are_refused(other, said):
    packed = archive(g17(("2025-11-30", "101.8", "A")), other)
    assert said in refusal(serving(b"", packed, "g17"), request(OUTPUT))


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (
            archive(data_set(("2026-01-14", "6.75", "P"))),
            "expected an OBS_STATUS of A, ['NA', 'NC', 'ND'], found 'P'",
        ),
        (archive(data_set(name="RIFSPBLP_N.M")), "no series RIFSPBLP_N.B in the archive of H15"),
        (archive(member="H15_figures.xml"), "expected one *_data.xml"),
        (archive(xml="<half>"), "the archive of H15 holds broken XML"),
        (Reply(PRIME_ARCHIVE.content[:-30]), "answered with what is no ZIP archive"),
        (Reply(STORED.replace(b"6.75", b"9.75")), "whose H15_data.xml is broken"),
        (Reply("<html>moved</html>", content_type="text/html"), "answered with what is no ZIP archive"),
    ],
    ids=["status", "unknown", "member", "xml", "half", "bits", "page"],
)
def test_a_changed_archive_is_refused(packed, said):
    message = refusal(serving(b"", packed), prime())
    assert (
        "package: an empty answer: the Data Download Program does not serve this package or range" in message
    )
    assert said in message


@pytest.mark.parametrize("series", ["RIFSPFF_N.M", "H15/H15/RIFSPFF_N.M"])
def test_a_series_is_written_release_and_name(series):
    server = serving(RATES)
    assert "a series is written RELEASE/NAME, such as H15/RIFSPFF_N.M" in refusal(server, request(series))
    assert not server.calls
