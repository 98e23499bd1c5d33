"""One table is the same in every container, and a container of two tables is refused."""

import datetime as dt
from decimal import Decimal

import numpy as np
import openpyxl
import pandas as pd
import pytest

from dosvotos.errors import DataError
from dosvotos.readers.bars import read_bars
from dosvotos.readers.containers import find_files
from tests.readers.tables import COLUMNS, assert_bars, bars, gzipped, packed, read, text_of, write_text

TEXT = text_of(bars()).encode()


def put(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def workbook(tmp_path, rows, more=()):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for title, others in more:
        sheet = book.create_sheet(title)
        for row in others:
            sheet.append(row)
    path = tmp_path / "usdcop_5m.xlsx"
    book.save(path)
    return path


def sheet_rows():
    naive = bars().assign(timestamp=bars()["timestamp"].dt.tz_localize(None))
    return [
        COLUMNS,
        *([row[0].to_pydatetime(), *row[1:]] for row in naive.itertuples(index=False, name=None)),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("usdcop_5m.csv", TEXT),
        ("usdcop_5m.TXT", TEXT),
        ("usdcop_5m.csv.gz", gzipped(TEXT)),
        ("usdcop_5m.csv", gzipped(TEXT)),
        ("usdcop_5m.zip", packed("a/export.csv", TEXT)),
        ("usdcop_5m.zip", packed("export.csv.gz", gzipped(TEXT))),
        ("usdcop_5m.csv", b"\xef\xbb\xbf" + TEXT),
        ("usdcop_5m.csv", TEXT.decode().encode("utf-16")),
        ("usdcop_5m.csv", TEXT.decode().encode("utf-32")),
        ("usdcop_5m.csv", b"\xfe\xff" + TEXT.decode().encode("utf-16-be")),
        ("usdcop_5m.csv", TEXT.decode().replace("high,low", "máximo,mínimo").encode("cp1252")),
    ],
)  # fmt: skip
def test_bytes_count_and_not_the_suffix(tmp_path, name, content):
    put(tmp_path, "usdcop_5m_old.csv", b"another file")
    put(tmp_path, name, content)
    [path] = find_files(tmp_path, "usdcop_5m")
    assert_bars(read(path).bars, bars())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("usdcop_5m.zip", b"PK\x05\x06" + bytes(18), "must hold one file, holds no file"),
        ("usdcop_5m.zip", b"PK\x03\x04 cut off", "cannot be read as zip: .*; pack it again"),
        ("usdcop_5m.csv.gz", gzipped(TEXT)[:-20], "cannot be read as gzip: .*; copy it again"),
        ("usdcop_5m.csv.gz", gzipped(gzipped(gzipped(TEXT))), "packed more than twice; unpack it"),
        ("usdcop_5m.csv.gz", gzipped(b""), "the file is empty"),
        ("usdcop_5m.csv", TEXT.decode().encode("utf-16-le"), "UTF-16 without its byte order mark; save"),
        ("usdcop_5m.csv", b"\xd0\xcf\x11\xe0" + bytes(600), r"an old Excel workbook \(\.xls\).*; save it as"),
        ("usdcop_5m.parquet", TEXT, "cannot be read as parquet: its bytes are text"),
        ("usdcop_5m.parquet", b"PAR1" + bytes(60), "cannot be read as parquet: .*; write it again"),
        ("usdcop_5m.xlsx", packed("xl/workbook.xml", b"<broken"), "cannot be read as xlsx: .*; save it"),
        ("usdcop_5m.csv", b'[{"timestamp": 1}]', "JSON"),
    ],
)  # fmt: skip
def test_a_container_that_cannot_be_opened_is_refused_with_its_cure(tmp_path, name, content, told):
    with pytest.raises(DataError, match=f"{name}: .*{told}"):
        read_bars(put(tmp_path, name, content))


def test_a_file_larger_than_any_delivery_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "usdcop_5m.csv"
    with path.open("wb") as file:
        file.truncate(3 << 30)  # of no block on the disk
    with pytest.raises(DataError, match=r"usdcop_5m\.csv: holds more than 2 GiB; deliver it in parts"):
        read_bars(path)


def test_an_archive_of_two_files_is_refused_and_what_macos_adds_is_no_file(tmp_path):
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("export.csv", TEXT)
        archive.writestr("__MACOSX/._export.csv", b"\0\0")
    assert_bars(read(put(tmp_path, "a.zip", out.getvalue())).bars, bars())
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("other.csv", TEXT)
    with pytest.raises(
        DataError, match=r"a\.zip: an archive must hold one file, holds 2 files, export\.csv, other\.csv"
    ):
        read_bars(put(tmp_path, "a.zip", out.getvalue()))


# ---- workbooks


def test_a_workbook_of_one_table_is_read_and_empty_sheets_are_none(tmp_path):
    assert_bars(read(workbook(tmp_path, sheet_rows())).bars, bars())
    with_title = [["USD/COP"], [], *sheet_rows()]
    assert_bars(read(workbook(tmp_path, with_title, more=[("Sheet2", [])])).bars, bars())
    with pytest.raises(
        DataError, match=r"must hold one table, holds 2 sheets with cells, Sheet, notes; keep one"
    ):
        read_bars(workbook(tmp_path, sheet_rows(), more=[("notes", [["by the desk"]])]))
    with pytest.raises(DataError, match="must hold one table, holds no cell"):
        read_bars(workbook(tmp_path, []))


def test_cells_of_a_workbook_are_numbers_texts_or_put_aside_by_row(tmp_path):
    rows = sheet_rows()
    rows[2][4] = "N.D."
    rows[3][4] = None
    rows[4][1:5] = [f"{price:.2f}".replace(".", ",") for price in rows[4][1:5]]  # typed as text
    rows[5][0] = rows[5][0].strftime("%d/%m/%Y %H:%M")
    table = read(workbook(tmp_path, [*rows, ["Total", 1, 2, 3, 4, 5]]))
    found = table.bars.dropna(subset=["close"]).reset_index(drop=True)
    assert_bars(found, bars().drop(index=[1, 2]).reset_index(drop=True))
    assert table.problems["rule"].tolist() == ["not_a_number", "no_value", "totals_row"]
    assert "usdcop_5m.xlsx row 3: close 'N.D.'" in table.problems["detail"].iloc[0]


def test_a_percentage_of_a_workbook_is_no_number(tmp_path):
    path = workbook(tmp_path, sheet_rows())
    book = openpyxl.load_workbook(path)
    book.active["E3"].number_format = "0.00%"
    book.save(path)
    assert read_bars(path).problems["rule"].tolist() == ["percent_cell"]


def test_a_date_and_a_time_of_day_of_a_workbook_are_joined(tmp_path):
    rows = [["Fecha", "Hora", *COLUMNS[1:]]]
    for time, *others in sheet_rows()[1:]:
        rows.append([dt.datetime.combine(time.date(), dt.time()), time.time(), *others])
    assert_bars(read(workbook(tmp_path, rows)).bars, bars())


# ---- parquet


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f,
        lambda f: f.set_index("timestamp"),
        lambda f: f.set_index("timestamp").rename_axis(None),
        lambda f: f.rename(columns=str.upper),
        lambda f: f.astype({"timestamp": "datetime64[ns, UTC]"}),
        lambda f: f.assign(timestamp=f["timestamp"].dt.tz_convert("America/Bogota")),
        lambda f: f.assign(timestamp=f["timestamp"].dt.tz_localize(None)),
        lambda f: f.assign(timestamp=f["timestamp"].astype("int64") // 1000),
        lambda f: f.assign(timestamp=f["timestamp"].astype("str")),
        lambda f: f.assign(close=[Decimal(str(price)) for price in f["close"]]),
        lambda f: f.assign(close=f["close"].astype("str")),
        lambda f: f.astype({"close": "category", "volume": "Int64"}),
        lambda f: f.assign(venue="desk").set_index(["timestamp", "venue"]),
        lambda f: f.iloc[::-1].iloc[::-1].set_axis(range(10, 16)),
    ],
)
def test_parquet_of_any_writer_gives_the_same_bars(tmp_path, change):
    path = tmp_path / "usdcop_5m.parquet"
    change(bars()).to_parquet(path)
    assert_bars(read(path).bars, bars())


def test_columns_of_yfinance_are_those_of_their_one_ticker(tmp_path):
    path = tmp_path / "usdcop_5m.parquet"
    frame = bars().set_index("timestamp").rename(columns=str.title).rename_axis("Datetime")
    frame.columns = pd.MultiIndex.from_product([frame.columns, ["COP=X"]], names=["Price", "Ticker"])
    frame.to_parquet(path)
    assert_bars(read(path).bars, bars())
    other = frame.rename(columns={"COP=X": "MXN=X"}, level=1)
    frame.join(other).to_parquet(path)
    with pytest.raises(DataError, match=r"holds columns of \['COP=X', 'MXN=X'\]; write one file for USD/COP"):
        read_bars(path)


def test_empty_cells_of_parquet_put_their_row_aside(tmp_path):
    path = tmp_path / "usdcop_5m.parquet"
    frame = bars()
    frame.loc[1, "close"] = np.nan
    frame.loc[3, "timestamp"] = pd.NaT
    frame.to_parquet(path)
    table = read_bars(path)
    assert table.problems.itertuples(index=False, name=None).__next__()[0] == "no_value"
    assert table.problems["rule"].tolist() == ["no_value", "blank_date"]
    assert table.problems["detail"].iloc[1].startswith("usdcop_5m.parquet row 4: timestamp is blank")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "usdcop_5m.csv").mkdir()
    assert find_files(tmp_path, "usdcop_5m") == []
    write_text(tmp_path / "usdcop_5m.txt", "x")
    assert [path.name for path in find_files(tmp_path, "usdcop_5m")] == ["usdcop_5m.txt"]
