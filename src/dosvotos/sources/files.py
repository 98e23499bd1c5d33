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
from dosvotos.sources.timestamps import resolve_timestamps

logger = logging.getLogger(__name__)

BARS_FILE: Final = "usdcop_5m"
DAILY_FILE: Final = "macro_daily"
MACRO_FILES: Final = (DAILY_FILE, "macro_monthly", "macro_quarterly")


def read_folder(
    folder: Path,
    timezone: str | None = None,
    mixed_timezone: Literal["refuse", "detect"] = "refuse",
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
    variables : collection of str
        Known macro variables; none: names are taken as written.

    Raises
    ------
    DataError
        If the folder or a needed file is missing; if a file can be read in two ways or not at all; if the
        zone of the bars is unknown, or not the one they carry.
    """
    if not folder.is_dir():
        raise DataError(f"data_acquisition.folder: {folder} is not a folder; correct the parameter")
    paths = {name: path for name in (BARS_FILE, *MACRO_FILES) if (path := _find(folder, name))}
    bars, unreadable_bars = read_bars_file(paths.pop(BARS_FILE), timezone, mixed_timezone)
    tables = [read_macro(path, variables, months=name != DAILY_FILE) for name, path in paths.items()]
    macro = pd.concat([table.macro for table in tables], ignore_index=True)
    unreadable = [unreadable_bars, *(table.unreadable for table in tables)]
    return RawMarket(
        bars=bars.assign(source="files"),
        macro=macro.assign(vintage="final", source="files"),
        unreadable=pd.concat(unreadable, ignore_index=True),
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
    path: Path, timezone: str | None = None, mixed: Literal["refuse", "detect"] = "refuse"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read bars in UTC, and findings about the rows that cannot be read."""
    table = read_bars(path)
    resolved = resolve_timestamps(table.bars["timestamp"], table.bars["close"], timezone, mixed, table.what)
    if resolved.note:
        logger.warning(resolved.note)
    bars = table.bars.assign(timestamp=resolved.instants)
    readable = bars[~bars.index.isin(table.problems.index)].reset_index(drop=True)
    return readable[list(BAR_COLUMNS)], to_findings(table.problems, BARS, bars["timestamp"], "files")
