"""A desk's fills, as people and programs write them: all of a file, or none."""

import pandas as pd
import pytest

from dosvotos.errors import DataError
from dosvotos.readers.fills import read_fills

EXPECTED = pd.DataFrame(
    {
        "time": pd.to_datetime(["2026-11-30 14:41:07", "2026-11-30 15:01:30"], utc=True),
        "side": ["BUY", "SELL"],
        "quantity": [100000.0, 50000.5],
        "price": [3740.5, 3741.25],
    }
)


@pytest.mark.parametrize(
    "text",
    [
        "time,side,quantity,price\n"
        "2026-11-30T15:01:30Z,sell,50000.5,3741.25\n2026-11-30T14:41:07Z,BUY,100000,3740.50\n",
        "fecha;hora;lado;cantidad;precio\n"
        "30/11/2026;09:41:07 -05:00;compra;100.000,0;3.740,50\n"
        "30/11/2026;10:01:30 -05:00;Venta;50.000,5;3.741,25\n",
        "Execution Time\tBuy/Sell\tQty\tRate\n"
        "2026-11-30 14:41:07+00:00\tB\t100000\t3740.5\n2026-11-30 15:01:30+00:00\tS\t50000.5\t3741.25\n",
    ],
)
def test_it_is_read_whatever_its_dialect_and_order(tmp_path, text):
    file = tmp_path / "fills.csv"
    file.write_text(text)
    pd.testing.assert_frame_equal(read_fills(file), EXPECTED, check_dtype=False)


def test_a_parquet_file_and_a_stated_zone(tmp_path):
    local = EXPECTED.assign(time=EXPECTED["time"].dt.tz_convert("America/Bogota").dt.tz_localize(None))
    local.to_parquet(tmp_path / "fills.parquet")
    found = read_fills(tmp_path / "fills.parquet", "America/Bogota")
    pd.testing.assert_frame_equal(found, EXPECTED, check_dtype=False)
    with pytest.raises(DataError, match="carry no zone; add --timezone America/Bogota"):
        read_fills(tmp_path / "fills.parquet")


@pytest.mark.parametrize(
    ("time", "zone", "problem"),
    [
        ("2026-11-30 14:41:07", "Bogota", "--timezone 'Bogota': is no time zone"),
        ("2026-11-01 01:30:00", "America/New_York", "a time does not exist once in America/New_York"),
        ("2026-03-08 02:30:00", "America/New_York", "a time does not exist once in America/New_York"),
    ],
)
def test_a_zone_that_gives_no_moment_is_refused(tmp_path, time, zone, problem):
    (tmp_path / "fills.csv").write_text(f"time,side,quantity,price\n{time},buy,1,3700\n")
    with pytest.raises(DataError, match=rf"fills\.csv: {problem}"):
        read_fills(tmp_path / "fills.csv", zone)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("2026-11-30T14:50:00Z,hold,1,3700", "line 3: side 'hold' is neither BUY nor SELL"),
        ("2026-11-30T14:50:00Z,buy,-5,3700", "line 3: quantity must be above 0"),
        ("2026-11-30T14:50:00Z,buy,5,0", "line 3: price must be above 0"),
        ("2026-11-30T14:50:00Z,buy,5,1e308", "line 3: price must be at most 1e.12"),
        ("2026-11-30T14:50:00Z,buy,2e12,3700", "line 3: quantity must be at most 1e.12"),
        ("2026-11-30T14:50:00Z,buy,,3700", "line 3: quantity must be above 0"),
        ("2026-11-30T14:50:00Z,buy,five,3700", "line 3: quantity 'five' is no number"),
        ("yesterday,buy,5,3700", "line 3: timestamp 'yesterday' is no date"),
        ("2026-11-30T14:50:00Z,buy,5", "line 3 has 3 cells, the header 4"),
        ("2026-11-30T14:50:00,buy,5,3700", "carry a zone and 1 do not"),
    ],
)
def test_one_row_that_cannot_be_read_refuses_the_file(tmp_path, row, problem):
    file = tmp_path / "fills.csv"
    file.write_text(f"time,side,quantity,price\n2026-11-30T14:41:07Z,buy,100000,3740.5\n{row}\n")
    with pytest.raises(DataError, match=problem):
        read_fills(file)


@pytest.mark.parametrize(
    ("time", "zone", "problem"),
    [
        ("2026-11-30 14:41", "Bogota", "'Bogota': is no time zone"),
        ("2026-11-30 14:41", "America", "'America': is no time zone"),
        ("2026-11-01 01:30", "America/New_York", "a time does not exist once in America/New_York"),
        ("2026-03-08 02:30", "America/New_York", "a time does not exist once in America/New_York"),
    ],
)
def test_a_zone_that_gives_no_single_time_is_refused(tmp_path, time, zone, problem):
    file = tmp_path / "fills.csv"
    file.write_text(f"time,side,quantity,price\n{time},buy,100000,3740.5\n")
    with pytest.raises(DataError, match=problem):
        read_fills(file, zone)


def test_a_file_of_something_else_is_named(tmp_path):
    file = tmp_path / "bars.csv"
    file.write_text("timestamp,open,high,low,close\n2026-11-30T14:41:07Z,1,1,1,1\n")
    with pytest.raises(DataError, match=r"bars.csv: column\(s\) \['side', 'quantity', 'price'\] are missing"):
        read_fills(file)
