"""Read bars and macro values from a folder of files.

``usdcop_5m``: timestamp (bar open), open, high, low, close, volume. ``macro_daily``, ``macro_monthly``,
``macro_quarterly``: variable, observation_date (the day, or the first day of the period), value. Values are
final vintages: revisions before them are unknown.
"""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from dosvotos.errors import DataError
from dosvotos.quality.findings import BARS
from dosvotos.readers.bars import read_bars
from dosvotos.readers.containers import SUFFIXES, find_files
from dosvotos.readers.macro import read_macro
from dosvotos.readers.unreadable import to_findings
from dosvotos.sources.raw_market import BAR_COLUMNS, RawMarket
from dosvotos.timestamps.bar_length import Resample
from dosvotos.timestamps.delivery import BarLabels
from dosvotos.timestamps.resolve import resolve_bars

logger = logging.getLogger(__name__)

BARS_FILE: Final = "usdcop_5m"
DAILY_FILE: Final = "macro_daily"
MACRO_FILES: Final = (DAILY_FILE, "macro_monthly", "macro_quarterly")


def read_folder(
    folder: Path,
    timezone: str | None = None,
    mixed_timezone: Literal["refuse", "detect"] = "refuse",
    bar_labels: BarLabels = "open",
    resample: Resample | None = None,
    variables: Collection[str] = (),
) -> RawMarket:
    """Read a folder's files as one market, unchecked.

    Parameters
    ----------
    folder : Path
    timezone : str or None
        IANA zone of bar timestamps that carry none.
    mixed_timezone : {"refuse", "detect"}
        Whether to refuse bars whose timestamps are not in the zone they carry, or to read each in its own.
    bar_labels : {"open", "close"}
    resample : {"1min"} or None
        Length of bars to be aggregated to five minutes.
    variables : collection of str
        Known macro variables; none: names are taken as written.

    Raises
    ------
    DataError
        If the folder or a needed file is missing; if a file can be read in two ways or not at all; if the
        zone of the bars is unknown, or not the one they carry; if bars are of another length or not labelled
        as stated.
    """
    if not folder.is_dir():
        raise DataError(f"data_acquisition.folder: {folder} is not a folder; correct the parameter")
    paths = {name: path for name in (BARS_FILE, *MACRO_FILES) if (path := _find(folder, name))}
    bars_path = paths.pop(BARS_FILE)
    bars, unreadable_bars = read_bars_file(bars_path, timezone, mixed_timezone, bar_labels, resample)
    tables = [read_macro(path, variables, months=name != DAILY_FILE) for name, path in paths.items()]
    macro = pd.concat([table.macro for table in tables], ignore_index=True)
    unreadable = [unreadable_bars, *(table.unreadable for table in tables)]
    return RawMarket(
        bars=bars.assign(source="files"),
        macro=macro.assign(vintage="final", source="files"),
        unreadable=pd.concat(unreadable, ignore_index=True),
        origin=str(bars_path),
        macro_origin=", ".join(map(str, paths.values())),
    )


def _find(folder: Path, name: str) -> Path | None:
    """Return the path of a file; None if an optional one is missing."""
    found = find_files(folder, name)
    problem = f"data_acquisition.folder: {folder} has"
    if not found and name in (BARS_FILE, DAILY_FILE):
        raise DataError(f"{problem} no {name} ({', '.join(SUFFIXES)}); docs/data.md has the formats")
    if len(found) > 1:
        raise DataError(f"{problem} {' and '.join(path.name for path in found)}; keep one")
    return found[0] if found else None


def read_bars_file(
    path: Path,
    timezone: str | None = None,
    mixed: Literal["refuse", "detect"] = "refuse",
    bar_labels: BarLabels = "open",
    resample: Resample | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read five-minute bars in UTC, and findings about the rows that cannot be read."""
    table = read_bars(path)
    readable = table.bars.drop(index=table.bars.index.intersection(table.problems.index))
    resolved = resolve_bars(readable, timezone, mixed, bar_labels, resample, table.what)
    if resolved.note:
        logger.warning(resolved.note)
    at = _instants(table.bars["timestamp"], None if resample else resolved.bars["timestamp"])
    bars = resolved.bars.reset_index(drop=True)[list(BAR_COLUMNS)]
    return bars, to_findings(table.problems, BARS, at, "files")


def _instants(written: pd.Series, resolved: pd.Series | None) -> pd.Series:
    """Give each row's instant; a row that cannot be read is shifted as the readable one before it."""
    as_utc = pd.to_datetime(written, utc=True)
    if resolved is None or resolved.empty:
        return as_utc
    shift = (resolved - as_utc[resolved.index]).reindex(written.index).ffill().bfill()
    return as_utc + shift
