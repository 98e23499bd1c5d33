"""Every dialect people write bars in gives the same bars, to the last bit, or is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dosvotos.errors import DataError
from dosvotos.readers.bars import read_bars
from tests.readers.tables import STAMPS, assert_bars, bars, read, text_of, write_text

HEADERS = [
    ["TIMESTAMP", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"],
    [" timestamp ", " open", "high ", "low", "\tclose", "volume"],
    ["Fecha y hora", "Apertura", "Máximo", "Mínimo", "Cierre", "Volumen"],
    ["fecha_hora", "apertura", "maximo", "minimo", "cierre", "volumen"],
    ["Datetime", "Open", "High", "Low", "Close", "Volume"],
    ["<TIMESTAMP>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>"],
    ["timestamp (UTC)", "open (COP)", "high [COP/USD]", "low (COP)", "close (COP)", "volume (lots)"],
    ["time", "open", "high", "low", "close", "Volume"],
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda names: names[0])
def test_columns_are_known_by_any_of_their_names(tmp_path, header):
    path = write_text(tmp_path / "usdcop_5m.csv", text_of(bars(), header=header))
    assert_bars(read(path).bars, bars())


@pytest.mark.parametrize("stamp", [*STAMPS, "s", "ms", "us", "ns", "serial"])
def test_a_time_is_the_same_instant_however_it_is_written(tmp_path, stamp):
    path = write_text(tmp_path / "usdcop_5m.csv", text_of(bars(), stamp=stamp))
    assert_bars(read(path).bars, bars())


@pytest.mark.parametrize(
    "written",
    [
        "20/03/2025 1:00:00 p. m.", "20/03/2025 01:00 PM", "20-mar-2025 13:00", "20 de marzo de 2025 13:00",
        "March 20, 2025 13:00", "20 Mar 2025 13:00:00.000", "2025-03-20T08:00:00-05:00", "2025/03/20 13:00",
        "2025-03-20 08:00:00-05", "20.03.2025 08:00:00.000 GMT-0500", "20250320T130000", "202503201300",
        "2025-03-20T13:00:00Z", "2025-03-20T13:00", "20/03/2025 1:00:00\u00a0p.\u00a0m.",
    ],
)  # fmt: skip
def test_usual_forms_of_one_o_clock_mean_it(tmp_path, written):
    line = f"timestamp;open;high;low;close;volume\n{written};4100,5;4101,5;4099,5;4100,5;0\n"
    found = read(write_text(tmp_path / "usdcop_5m.csv", line)).bars
    assert found["timestamp"].tolist() == [pd.Timestamp("2025-03-20 13:00", tz="UTC")]


@pytest.mark.parametrize(
    "written",
    ["", "30/02/2025 08:00", "20/03/25 08:00", "3025-03-20T13:00:00Z", "0202-03-20 13:00", "2025-03-20 25:00",
     "20 de junio", "2025", "mar-25", "13:00", "2025-03-20 13:00 COT", "yesterday", "-", "13/13/2025"],
)  # fmt: skip
def test_a_time_that_is_none_puts_its_row_aside_and_no_other(tmp_path, written):
    text = text_of(bars(), stamp="naive").replace("2025-03-20 13:10:00", written)
    table = read(write_text(tmp_path / "usdcop_5m.csv", text))
    assert_bars(table.bars, bars().drop(index=2).reset_index(drop=True))
    [(rule, detail)] = table.problems.itertuples(index=False)
    assert rule == ("not_a_date" if written else "blank_date")
    assert detail.startswith("usdcop_5m.csv line 4: timestamp ")


@pytest.mark.parametrize(
    ("edit", "rule", "told"),
    [
        (lambda t: t.replace("4101.38,0", "N.D.,0"), "not_a_number", "line 3: close 'N.D.' is no number"),
        (lambda t: t.replace("4101.38,0", "s/d,0"), "not_a_number", "close 's/d' is no number"),
        (lambda t: t.replace("4101.38,0", "-,0"), "not_a_number", "close '-' is no number"),
        (lambda t: t.replace("4101.38,0", ",0"), "no_value", "line 3: close is empty"),
        (lambda t: t.replace("4101.38,0", "nan,0"), "no_value", "close is empty"),
        (lambda t: t.replace("4101.38,0", "41%,0"), "percent_cell", "may mean 41 or a hundredth of it"),
        (lambda t: t.replace("4101.38,0", "4101.38,-7"), "negative_volume", "volume -7 is negative"),
        (lambda t: t.replace("4101.38,0", "4101.38,x"), "not_a_number", "volume 'x' is no number"),
        (lambda t: t.replace("4101.38,0", "4101"), "(kept)", ""),
        (lambda t: t.replace("4104.13,4098.13,4101.38,0", "4104"), "uneven_line", "3 cells, the header"),
        (lambda t: t.replace("4101.38,0", "4101,38,0"), "uneven_line", "line 3 has 7 cells, the header 6"),
        (lambda t: t.replace("4101.38,0", "--,4"), "not_a_number", "close '--'"),
    ],
)  # fmt: skip
def test_a_cell_that_is_none_puts_its_row_aside_and_no_other(tmp_path, edit, rule, told):
    table = read(write_text(tmp_path / "usdcop_5m.csv", edit(text_of(bars()))))
    if rule == "(kept)":
        assert table.problems.empty
        return
    [(found, detail)] = table.problems.itertuples(index=False)
    assert (found, told in detail, "usdcop_5m.csv line 3" in detail) == (rule, True, True)
    others = table.bars[table.bars["timestamp"] != bars()["timestamp"][1]].reset_index(drop=True)
    assert_bars(others, bars().drop(index=1).reset_index(drop=True))


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("timestamp,open,high,low,close,volume", "repeated_header"),
        ("Fecha,Apertura,Maximo,Minimo,Cierre,Volumen", "repeated_header"),
        ("Total,,,,,", "totals_row"),
        (",TOTAL:,,,,123", "totals_row"),
        ("Promedio,4100.1,,,,", "totals_row"),
        ("Source: the desk,,,,,", "not_a_date"),
        ("2025-03-20T13:25:00+00:00,41", "uneven_line"),
    ],
)
def test_a_line_that_is_no_bar_is_named_wherever_it_stands(tmp_path, line, rule):
    lines = text_of(bars()).splitlines()
    for at in (1, 4, len(lines)):
        text = "\n".join([*lines[:at], line, *lines[at:]])
        table = read(write_text(tmp_path / "usdcop_5m.csv", text))
        readable = table.bars.drop(index=[i for i, row in enumerate(table.bars["close"]) if np.isnan(row)])
        assert_bars(readable.reset_index(drop=True), bars())
        assert table.problems["rule"].tolist() == [rule]
        assert f"line {at + 1}" in table.problems["detail"].iloc[0]


@pytest.mark.parametrize(
    "surround",
    [
        lambda text: "sep=,\n" + text,
        lambda text: "# exported by the desk\n" * 60 + text,
        lambda text: "USD/COP five minutes\n\n" + text,
        lambda text: "\n\n" + text + "\n\n,,,,,\n",
        lambda text: text.replace("\n", ",\n"),
        lambda text: text.replace("\n", "\n# a comment\n", 2),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.rstrip("\n"),
        lambda text: "\n".join(",".join(f'"{c}"' for c in line.split(",")) for line in text.splitlines()),
        lambda text: "\n".join(f"{i or ''},{line}" for i, line in enumerate(text.splitlines())),
        lambda text: text.replace(",volume", ",volume,spread").replace(",0\n", ",0,5\n"),
        lambda text: text.replace(",", " , "),
    ],
    ids=["sep=", "comments above", "title", "blank lines", "trailing delimiter", "comments", "windows", "mac",
         "no last line end", "quotes", "row names", "extra column", "blanks around"],
)  # fmt: skip
def test_what_surrounds_a_table_changes_no_bar(tmp_path, surround):
    table = read(write_text(tmp_path / "usdcop_5m.csv", surround(text_of(bars()))))
    assert_bars(table.bars, bars())
    assert table.problems.empty


def test_a_date_and_its_time_of_day_are_joined(tmp_path):
    for header in ("<DATE>\t<TIME>", "Fecha\tHora"):
        text = text_of(bars(), "\t", stamp="year first").replace(" ", "\t").replace("timestamp", header)
        assert_bars(read(write_text(tmp_path / "usdcop_5m.csv", text)).bars, bars())


def test_a_file_of_metatrader_keeps_its_tick_volume(tmp_path):
    lines = text_of(bars(), "\t", stamp="year first").replace(" ", "\t").splitlines()[1:]
    header = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"
    text = "\n".join([header, *(f"{line[:-1]}12\t0\t5" for line in lines)])
    assert_bars(read(write_text(tmp_path / "usdcop_5m.csv", text)).bars, bars().assign(volume=12))


def test_three_headers_of_yfinance_are_one_and_two_tickers_are_refused(tmp_path):
    rows = text_of(bars()).splitlines()[1:]
    header = ["Price,Open,High,Low,Close,Volume", "Ticker" + ",COP=X" * 5, "Datetime,,,,,"]
    for top in (header, [header[1], header[0], header[2]]):
        path = write_text(tmp_path / "usdcop_5m.csv", "\n".join([*top, *rows]))
        table = read(path)
        assert_bars(table.bars, bars())
        assert table.problems.empty
    two = "\n".join([header[0], "Ticker,COP=X,COP=X,COP=X,COP=X,MXN=X", header[2], *rows])
    with pytest.raises(DataError, match=r"usdcop_5m\.csv: holds 2 tickers, COP=X, MXN=X; write one file"):
        read(write_text(tmp_path / "usdcop_5m.csv", two))


@pytest.mark.parametrize("cell", ["", "-", "N.D.", "n/a", "nan"])
def test_a_currency_without_volume_has_none(tmp_path, cell):
    text = text_of(bars()).replace(",0\n", f",{cell}\n")
    table = read(write_text(tmp_path / "usdcop_5m.csv", text))
    assert table.problems.empty
    assert_bars(table.bars, bars().assign(volume=np.nan))
    without = text_of(bars()).replace(",volume", "").replace(",0\n", "\n")
    assert_bars(read(write_text(tmp_path / "usdcop_5m.csv", without)).bars, bars().assign(volume=np.nan))


# ---- what is refused as a whole


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty; export it again"),
        (" \n\n", "the file is empty"),
        ("timestamp,open,high,low,close,volume\n", "holds a header and no bars; export it again"),
        ("a,b\n1,2\n", r"no header: expected columns \['timestamp', 'open', .*found \['a', 'b'\]"),
        (text_of(bars()).split("\n", 1)[1], "no header: expected columns"),
        (text_of(bars()).replace("close", "settle"), r"column\(s\) \['close'\] are missing, found"),
        (
            text_of(bars()).replace("volume", "Cierre"),
            "expected one close column, found 'close' and 'Cierre'",
        ),
        (text_of(bars()).replace("volume", "close"), "expected one close column, found 'close' and 'close'"),
        (text_of(bars()).replace("volume", "date"), "expected one timestamp column, found 'timestamp' and"),
        (text_of(bars()).replace("4101.38", '"4101.38').replace("4103.64", '"4'), "quotation marks"),
        (
            text_of(bars()).replace(",0\n", ",x\n"),
            r"none of its 6 rows can be read, first: usdcop_5m\.csv line 2",
        ),
        (text_of(bars()).replace("+00:00,41", ",41", 1), "5 timestamps carry a zone and 1 do not, first"),
        (
            text_of(bars(), ";", ",").replace("4101,38", "4101.38"),
            "decimal points and decimal commas are mixed",
        ),
        (
            text_of(bars(), stamp="s").replace("1742475900", "1742475900000"),
            "several units, line 2 in s but line 3 in ms",
        ),
        ("\n".join(text_of(bars()).splitlines()[i] for i in (1, 0, 2)), "line 1 stands above the header"),
        ("<html><body>login</body></html>", "a web page or XML; save it as CSV or xlsx"),
        ("%PDF-1.7 ...", "a PDF document"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_cure(tmp_path, text, told):
    with pytest.raises(DataError, match=rf"usdcop_5m\.csv: .*{told}"):
        read_bars(write_text(tmp_path / "usdcop_5m.csv", text))


@pytest.mark.parametrize("mark", ["/", "-", "."])
def test_day_and_month_are_refused_unless_a_row_tells_them_apart(tmp_path, mark):
    early = bars(start="2025-12-01 13:00")
    text = text_of(early, stamp="day first").replace("/", mark)
    with pytest.raises(DataError) as caught:
        read_bars(write_text(tmp_path / "usdcop_5m.csv", text))
    assert f"line 2: timestamp '01{mark}12{mark}2025 13:00' may mean 2025-01-12 or 2025-12-01" in str(
        caught.value
    )
    assert "ISO" in str(caught.value)
    both = pd.concat([early, bars(start="2025-12-22 13:00")], ignore_index=True)
    for stamp in ("day first", "month first"):
        path = write_text(tmp_path / "usdcop_5m.csv", text_of(both, stamp=stamp).replace("/", mark))
        assert_bars(read(path).bars, both)


def test_one_date_of_both_orders_is_one_and_two_orders_are_refused(tmp_path):
    same = bars(start="2025-12-12 13:00")
    assert_bars(read(write_text(tmp_path / "a.csv", text_of(same, stamp="day first"))).bars, same)
    text = text_of(bars(), stamp="day first").replace("20/03/2025 13:05", "03/20/2025 13:05")
    with pytest.raises(DataError, match="in two orders: line 2 has '20/03/2025 13:00' but line 3"):
        read_bars(write_text(tmp_path / "a.csv", text))


def test_gmt_time_says_the_zone_and_the_order_of_day_and_month(tmp_path):
    early = bars(start="2025-12-01 13:00")
    header = ["Gmt time", "Open", "High", "Low", "Close", "Volume"]
    table = read_bars(write_text(tmp_path / "a.csv", text_of(early, stamp="dots", header=header)))
    assert str(table.bars["timestamp"].dtype) == "datetime64[us, UTC]"
    assert_bars(table.bars, early)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.integers(1, 8),
    st.lists(st.integers(1, 2_000_000), min_size=8, max_size=8),
    st.datetimes(pd.Timestamp("2019-01-01"), pd.Timestamp("2026-01-01")),
    st.fixed_dictionaries({
        "delimiter": st.sampled_from(",;\t|"),
        "marks": st.sampled_from([".", ",", ".,", ",.", ". ", ",'", ",\u202f"]),
        "stamp": st.sampled_from([*STAMPS, "s", "ms", "us", "ns", "serial"]),
        "header": st.sampled_from(HEADERS),
        "end": st.sampled_from(["\n", "\r\n", "\r"]),
    }),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)  # fmt: skip
def test_bars_of_any_dialect_come_back_as_they_were_or_not_at_all(
    tmp_path, n, cents, start, dialect, encoding
):
    prices = np.array(cents[:n]) / 100
    wanted = bars(n, str(start.replace(second=0, microsecond=0)))
    wanted = wanted.assign(open=prices, high=prices, low=prices, close=prices)
    path = write_text(tmp_path / "usdcop_5m.csv", text_of(wanted, **dialect), encoding)
    try:
        table = read(path)
    except DataError as error:
        assert "may mean" in str(error), str(error)
    else:
        assert table.problems.empty
        assert_bars(table.bars, wanted)
