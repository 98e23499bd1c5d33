import datetime as dt
import io

import pytest
from openpyxl import Workbook

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.providers.dane import fetch
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import LocalServer, Reply, client_of, payload

EXPORTS = "/files/operaciones/EXPORTACIONES/anex-EXPORTACIONES-SerieTotalesProductosOMCAgrCUCIR3-{}.xlsx"
IMPORTS = "/files/operaciones/IMP/anex-IMP-ProductosOMCAgrCUCI3-{}.xlsx"
CPI = "/files/operaciones/IPC/{0}/anex-IPC-Indices-{0}.xlsx"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MONTHS = ("Enero", "Febrero", "Marzo", "Abril", "Mayo", "Junio", "Julio", "Agosto", "Septiembre", "Octubre",
          "Noviembre", "Diciembre")  # fmt: skip
AUG, SEP = dt.datetime(2025, 8, 1), dt.datetime(2025, 9, 1)
TITLE, UNIT = ("Exportaciones según grupos de productos OMC",), ("Miles de dólares FOB",)


def request(series="EXPORTACIONES", end="2025-11-15", start="2020-01-01", frequency="monthly"):
    return SeriesRequest(series, frequency, dt.date.fromisoformat(start), dt.date.fromisoformat(end))


def book(rows, sheet="Grupos OMC"):
    workbook = Workbook()
    workbook.active.title = "Índice"
    chosen = workbook.create_sheet(sheet)
    for row in rows:
        chosen.append(list(row))
    written = io.BytesIO()
    workbook.save(written)
    return Reply(written.getvalue(), content_type=XLSX)


def trade(*rows, header=("Mes", "Total", "Agropecuarios"), above=((), TITLE, UNIT, ())):
    return book([*above, header, *rows])


def cpi(*rows, years=(2024, 2025), above=(("Índice de Precios al Consumidor",), ())):
    return book([*above, ("Mes", *years), *rows], "IndicesIPC")


GOOD = trade((AUG, 3871216.9, 1050000), (SEP, 4621300.4, 1300000))


def ask(of, *replies, path=EXPORTS, release="sep2025"):
    server = LocalServer()
    server.answer(path.format(release), *replies)
    with client_of("dane", server) as client:
        return fetch(of, client), server


def values(series):
    return [(f"{day:%Y-%m}", value) for day, value in series.observations.itertuples(index=False)]


def test_the_sample_of_exports_is_in_thousand_dollars_fob_of_months():
    series, server = ask(request(), Reply(payload("dane_exports_sep2025.xlsx"), content_type=XLSX))
    assert values(series) == [("2025-07", 4427485.2), ("2025-08", 3871216.9), ("2025-09", 4621300.4)]
    assert series.description == (
        "Grupos OMC; Exportaciones según grupos de productos OMC; Miles de dólares FOB; "
        "p cifras provisionales; Fuente: DIAN-DANE (EXPO)"
    )
    assert [call.path.rsplit("-", 1)[1] for call in server.calls] == [
        "nov2025.xlsx",
        "oct2025.xlsx",
        "sep2025.xlsx",
    ]


def test_the_sample_of_imports_is_in_thousand_dollars_cif_of_months():
    sample = Reply(payload("dane_imports_sep2025.xlsx"), content_type=XLSX)
    series, _ = ask(request("IMP"), sample, path=IMPORTS)
    assert values(series) == [("2025-08", 5520679.0), ("2025-09", 5785414.0)]
    assert series.description == "Grupos OMC; Miles de dólares CIF"


def test_the_sample_of_the_price_index_has_years_in_columns_and_a_summary_below():
    sample = Reply(payload("dane_ipc_dic2025.xlsx"), content_type=XLSX)
    series, server = ask(request("IPC", "2026-01-15", "2024-11-20"), sample, path=CPI, release="dic2025")
    assert values(series) == [
        ("2024-12", 144.88),
        ("2025-01", 146.24),
        ("2025-10", 151.76),
        ("2025-11", 151.87),
        ("2025-12", 152.27),
    ]
    assert "Índice de Precios al Consumidor" in series.description
    assert [call.path.rsplit("-", 1)[1] for call in server.calls] == ["ene2026.xlsx", "dic2025.xlsx"]


def test_months_of_the_year_that_are_still_to_come_are_left_out():
    rows = [(name, 140.0 + i, 150.0 + i if i < 9 else None) for i, name in enumerate(MONTHS)]
    footer = [("En año corrido", 5.2, 3.9), (), ("Fuente: DANE.",), ("Actualizado el 8 de octubre de 2025",)]
    series, _ = ask(request("IPC"), cpi(*rows, *footer, years=(2024, "2025p")), path=CPI)
    assert len(values(series)) == 21
    assert values(series)[0] == ("2024-01", 140.0) and values(series)[-1] == ("2025-09", 158.0)
    assert series.description.endswith("En año corrido; Fuente: DANE.; Actualizado el 8 de octubre de 2025")


@pytest.mark.parametrize(
    "label",
    ["Total 2024", 2024, "2024p", "En año corrido", "Enero-septiembre", "Enero - Septiembre 2025p",
     "Variación %", "Acumulado", "Doce meses"],
)  # fmt: skip
def test_a_known_summary_among_the_months_is_no_month(label):
    series, _ = ask(request(), trade((AUG, 3.0, 1), (label, 99.0, 9), (SEP, 4.0, 1), (label, 99.0, 9)))
    assert values(series) == [("2025-08", 3.0), ("2025-09", 4.0)]


@pytest.mark.parametrize(
    "label",
    ["Septiembre 2025", "sep-25", "Sept. 2025p", "septiembre de 2025 (p)", "SEP-25*", dt.date(2025, 9, 30)],
)
def test_a_month_may_be_written_out_and_marked_as_preliminary(label):
    assert values(ask(request(), trade((label, 4.5, 1)))[0]) == [("2025-09", 4.5)]


def test_headers_are_found_by_name_wherever_they_stand():
    moved = book([(None, *UNIT), (None, None, "TOTAL ", " mes"), (None, "x", 4.5, SEP)])
    series, _ = ask(request(), moved)
    assert values(series) == [("2025-09", 4.5)]
    assert series.description == "Grupos OMC; Miles de dólares FOB"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (
            book([("Mes", "Total"), (SEP, 1.0)], "OMC"),
            "expected one sheet 'Grupos OMC', found \\['Sheet|Índice'",
        ),
        (
            trade((SEP, 1.0, 1), header=("Mes", "Valor", "x")),
            "expected a row with 'Mes' and 'total' in sheet",
        ),
        (trade((SEP, 1.0, 1), header=("Mes", "Total", "Total")), "expected one column 'total'"),
        (trade((SEP, 1.0, 1), header=("Periodo", "Total", "x")), "expected a row with 'Mes'"),
        (
            trade((AUG, 1.0, 1), ("Agosto-septiembre", 9.0, 1), (SEP, 1.0, 1)),
            "expected a month beside numbers",
        ),
        (trade((AUG, 1.0, 1), (None, 9.0, 1), (SEP, 1.0, 1)), "expected a month beside numbers, found None"),
        (trade((SEP, "4.621.300,4", 1)), "2025-09-01: expected a number, found '4.621.300,4'"),
        (trade((SEP, "#REF!", 1)), "expected a number, found '#REF!'"),
        (trade((SEP, 1.0, 1), (SEP, 2.0, 1)), "2025-09-01 stands twice, with 1.0 and with 2.0"),
        (trade((AUG, 1.0, 1)), "expected the file of sep2025 to end with that month, it ends with 2025-08"),
        (trade((SEP, 1.0, 1), (dt.datetime(2025, 10, 1), 0.0, 0)), "it ends with 2025-10-01"),
        (trade((SEP, None, 1)), "it ends with None"),
        (trade(), "it ends with None"),
    ],
)
def test_another_table_is_refused_with_what_was_found(reply, told):
    with pytest.raises(SourceError, match=f"^dane EXPORTACIONES.*{told}"):
        ask(request(), reply)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (
            cpi(("Septiembre", 144.0, 151.0), years=(2024, "2025 revisado")),
            "expected years beside 'Mes', found",
        ),
        (cpi(("Septiembre", 144.0, 151.0), years=("a", "b")), "expected a row with 'Mes' and years"),
        (cpi(("Septiembre", 144.0, 151.0), ("Septiembre", 0.3, 0.2)), "2024-09-01 stands twice"),
        (cpi(("Trimestre III", 144.0, 151.0)), "expected a month beside numbers, found 'Trimestre III'"),
    ],
)
def test_another_table_of_years_is_refused_with_what_was_found(reply, told):
    with pytest.raises(SourceError, match=f"^dane IPC.*{told}"):
        ask(request("IPC"), reply, path=CPI)


def test_a_release_that_is_not_out_yet_is_told_after_six_months():
    server = LocalServer()
    with client_of("dane", server) as client, pytest.raises(NotPublishedError) as caught:
        fetch(request(end="2026-02-03"), client)
    assert "no file from sep2025 to feb2026 at /files/operaciones/EXPORTACIONES/" in str(caught.value)
    asked = [call.path.rsplit("-", 1)[1][:7] for call in server.calls]
    assert asked == ["feb2026", "ene2026", "dic2025", "nov2025", "oct2025", "sep2025"]


def test_an_unavailable_newest_file_is_no_reason_to_take_an_older_one():
    server = LocalServer()
    server.answer(EXPORTS.format("oct2025"), Reply("busy", 503))
    server.answer(EXPORTS.format("sep2025"), GOOD)
    with client_of("dane", server) as client, pytest.raises(SourceError, match="status 503"):
        fetch(request(), client)
    assert not server.called(EXPORTS.format("sep2025"))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Reply("<html>bloqueado</html>", content_type="text/html"), "what is no spreadsheet: b'<html>bloq"),
        (Reply(GOOD.content[:2000], content_type=XLSX), "a damaged spreadsheet"),
        (Reply(b"PK\x03\x04" + bytes(500), content_type=XLSX), "a damaged spreadsheet"),
        (Reply(b"", content_type=XLSX), "what is no spreadsheet: b''"),
        (Reply(GOOD.content, content_type=XLSX, cut_at=900), "peer closed connection"),
    ],
)
def test_half_a_spreadsheet_or_a_page_is_asked_again_and_then_told(fault, told):
    assert len(values(ask(request(), fault, GOOD)[0])) == 2
    with pytest.raises(SourceError, match=told):
        ask(request(), fault)


def test_series_and_frequency_must_be_known():
    for wrong in (request("PIB"), request(frequency="quarterly")):
        with pytest.raises(SourceError, match=r"the monthly ones are \['IPC', 'EXPORTACIONES', 'IMP'\]"):
            ask(wrong, GOOD)
