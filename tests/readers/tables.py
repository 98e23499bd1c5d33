"""Tables for the tests of the reader, made up, and written in the dialects people use."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from dosvotos.readers.bars import TimedRows, read_bars

COLUMNS = ["timestamp", "open", "high", "low", "close", "volume"]


def bars(n: int = 6, start: str = "2025-03-20 13:00") -> pd.DataFrame:
    """Bars of a made-up session, UTC, prices of two decimals above a thousand."""
    times = pd.date_range(start, periods=n, freq="5min", tz="UTC").as_unit("us")
    close = 4100.25 + np.arange(n) * 1.13
    prices = {"open": close - 0.5, "high": close + 2.75, "low": close - 3.25, "close": close}
    columns = {name: np.round(column, 2) for name, column in prices.items()}
    return pd.DataFrame({"timestamp": times, **columns, "volume": 0})


def write_text(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write text as it is, without translating line ends."""
    path.write_bytes(text.encode(encoding))
    return path


def text_of(
    rows: pd.DataFrame, delimiter: str = ",", marks: str = ".", stamp: str = "iso",
    header: list[str] | None = None, end: str = "\n",
) -> str:  # fmt: skip
    """Write bars in a dialect; `marks` are those of decimals and, if there are two, of thousands."""
    decimal, thousands = marks[0], marks[1:]

    def quote(cell: str) -> str:
        return f'"{cell}"' if delimiter in cell else cell

    def number(value: float) -> str:
        text = f"{value:,.2f}" if thousands else f"{value:.2f}"
        return text.replace(",", "T").replace(".", decimal).replace("T", thousands)

    lines = [delimiter.join(map(quote, header or COLUMNS))]
    for row in rows.itertuples(index=False):
        cells = [write_stamp(row.timestamp, stamp), *map(number, row[1:5]), str(row.volume)]
        lines.append(delimiter.join(map(quote, cells)))
    return end.join(lines) + end


STAMPS = {
    "iso": "%Y-%m-%dT%H:%M:%S+00:00",
    "naive": "%Y-%m-%d %H:%M:%S",
    "minutes": "%Y-%m-%d %H:%M",
    "day first": "%d/%m/%Y %H:%M",
    "dots": "%d.%m.%Y %H:%M:%S",
    "year first": "%Y.%m.%d %H:%M",
    "month first": "%m/%d/%Y %I:%M:%S %p",
    "compact": "%Y%m%d %H%M%S",
    "name": "%d-%b-%Y %H:%M",
    "gmt": "%d.%m.%Y %H:%M:%S.000 GMT+0000",
}


def write_stamp(time: pd.Timestamp, stamp: str) -> str:
    """Write a time in one of the forms of STAMPS, as a number since 1970, or as a spreadsheet's date."""
    units = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
    if stamp in units:
        return str(time.as_unit("ns").value // units[stamp])
    if stamp == "serial":
        return f"{(time.tz_localize(None) - pd.Timestamp('1899-12-30')) / pd.Timedelta(days=1):.10f}"
    return time.strftime(STAMPS[stamp])


def packed(name: str, content: bytes) -> bytes:
    """A zip archive of one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def gzipped(content: bytes) -> bytes:
    """The content as gzip."""
    return gzip.compress(content, mtime=0)


def read(path: Path) -> TimedRows:
    """Read bars, with times as UTC where the file does not say their zone."""
    table = read_bars(path)
    times = table.bars["timestamp"]
    if times.dt.tz is None:
        times = times.dt.tz_localize("UTC")
    return table._replace(bars=table.bars.assign(timestamp=times).reset_index(drop=True))


def assert_bars(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Compare bars to the last bit; the kind of number of the volume plays no part."""
    pd.testing.assert_frame_equal(
        found.astype({"volume": float}), wanted.astype({"volume": float}), check_exact=True
    )
