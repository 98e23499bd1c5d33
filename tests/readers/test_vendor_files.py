"""Names of columns and cells that vendors write: the same bars, to the last bit."""

import pandas as pd
import pytest

from dosvotos.errors import DataError
from dosvotos.readers.bars import read_bars
from dosvotos.readers.headers import BAR_LAYOUT, match_columns
from tests.readers.tables import assert_bars, bars, read, text_of, write_text

HEADERS = [
    ["Date", "Open", "High", "Low", "Price", "Vol."],
    ["Fecha", "Apertura", "Máximo", "Mínimo", "Último", "Vol."],
    ["Date-Time", "Open", "High", "Low", "Last", "Volume"],
    ["Dates", "PX_OPEN", "PX_HIGH", "PX_LOW", "PX_LAST", "PX_VOLUME"],
    ["Date/Time", "Open Price", "High Price", "Low Price", "Close Price", "Volume"],
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda names: names[4])
def test_vendors_names_are_read_and_repeat_as_headers(tmp_path, header):
    text = text_of(bars(), header=header)
    first = text.split("\n", 1)[0]
    again = text.replace("\n", f"\n{first}\n", 3).replace(f"{first}\n{first}\n", f"{first}\n", 1)
    table = read(write_text(tmp_path / "usdcop_5m.csv", again))
    assert_bars(table.bars.assign(volume=0), bars())
    assert set(table.problems["rule"]) == {"repeated_header"}


def test_a_vendors_name_counts_only_where_the_columns_own_does_not_stand():
    header = ["timestamp", "open", "high", "low", "close", "last", "price"]
    assert match_columns(header, BAR_LAYOUT)["close"] == [4]
    with pytest.raises(DataError, match="expected one close column, found 'last' and 'price'"):
        match_columns(["timestamp", "open", "high", "low", "last", "price"], BAR_LAYOUT)


@pytest.mark.parametrize("zone", ["UTC", "America/Bogota", None])
def test_arrows_own_types_are_what_they_say(tmp_path, zone):
    times = bars()["timestamp"].dt.tz_convert(zone) if zone else bars()["timestamp"].dt.tz_localize(None)
    frame = bars().assign(timestamp=times).convert_dtypes(dtype_backend="pyarrow")
    path = tmp_path / "usdcop_5m.parquet"
    frame.to_parquet(path)
    assert isinstance(pd.read_parquet(path)["timestamp"].dtype, pd.ArrowDtype)
    assert (read_bars(path).bars["timestamp"].dt.tz is None) == (zone is None)
    assert_bars(read(path).bars, bars())


def remarked(text: str, remark: str, every: int = 2) -> str:
    """The lines with one more column, of which some hold a remark."""
    lines = text.splitlines()
    cells = [remark if i % every == 1 else '""' for i in range(len(lines) - 1)]
    return "\n".join([f"{lines[0]},note", *(f"{a},{b}" for a, b in zip(lines[1:], cells, strict=True))])


@pytest.mark.parametrize("remark", ['"two\nlines"', '"a, ""b""\n\nc"', '"\n"'])
def test_a_remark_over_several_lines_is_one_cell(tmp_path, remark):
    table = read(write_text(tmp_path / "usdcop_5m.csv", remarked(text_of(bars()), remark)))
    assert table.problems.empty
    assert_bars(table.bars, bars())


def test_lines_after_a_remark_keep_their_numbers(tmp_path):
    text = remarked(text_of(bars()), '"two\nlines"').replace("4103.64,0", "N.D.,0")
    [(_, detail)] = read(write_text(tmp_path / "usdcop_5m.csv", text)).problems.itertuples(index=False)
    number = next(i for i, line in enumerate(text.split("\n"), 1) if "N.D." in line)
    assert f"line {number}: close 'N.D.'" in detail


@pytest.mark.parametrize("last", [4, 6])
def test_quotation_marks_that_swallow_rows_are_refused_with_their_line(tmp_path, last):
    lines = remarked(text_of(bars()), '"x"').splitlines()
    lines[2] = lines[2].replace('"x"', '"x')
    lines[last] = lines[last].replace('"x"', 'x"')
    path = write_text(tmp_path / "usdcop_5m.csv", "\n".join(lines))
    with pytest.raises(DataError, match=r"usdcop_5m\.csv: .*line 3 opens quotation marks"):
        read_bars(path)
