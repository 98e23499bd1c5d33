"""Read bars and macro values from a folder of parquet or CSV files.

``usdcop_5m``: timestamp (bar open), open, high, low, close, volume. ``macro_daily``, ``macro_monthly``,
``macro_quarterly``: variable, observation_date (the day, or the first day of the period), value. Values are
final vintages: revisions before them are unknown.
"""

import logging
from pathlib import Path
from typing import Literal

import pandas as pd

from dosvotos.errors import DataError
from dosvotos.quality.findings import require_columns
from dosvotos.sources.raw_market import BAR_COLUMNS, MACRO_COLUMNS, RawMarket
from dosvotos.sources.timestamps import resolve_timestamps

logger = logging.getLogger(__name__)

BARS_FILE = "usdcop_5m"
MACRO_FILES = ("macro_daily", "macro_monthly", "macro_quarterly")
_OPTIONAL = ("macro_monthly", "macro_quarterly")
_FORMAT = "docs/data.md has the format"


def read_folder(
    folder: Path, timezone: str | None = None, mixed_timezone: Literal["refuse", "detect"] = "refuse"
) -> RawMarket:
    """Read a folder's files as one market, unchecked.

    Parameters
    ----------
    folder : Path
    timezone : str or None
        IANA zone of bar timestamps that carry none.
    mixed_timezone : {"refuse", "detect"}
        Whether to refuse bars whose timestamps are not in the zone they carry, or to read each in its own.

    Raises
    ------
    DataError
        If the folder or a needed file is missing, cannot be read, or lacks a column; if the zone of the bars
        is unknown, or not the one they carry; if a date is not ISO 8601.
    """
    if not folder.is_dir():
        raise DataError(f"data_acquisition.folder: {folder} is not a folder; correct the parameter")
    [bars_path] = _find(folder, BARS_FILE)
    bars = _read(bars_path, BAR_COLUMNS)
    resolved = resolve_timestamps(bars["timestamp"], bars["close"], timezone, mixed_timezone, str(bars_path))
    if resolved.note:
        logger.warning(resolved.note)
    bars["timestamp"] = resolved.instants
    paths = [path for name in MACRO_FILES for path in _find(folder, name)]
    macro = pd.concat(map(_read_macro, paths), ignore_index=True)
    return RawMarket(
        bars=bars[list(BAR_COLUMNS)].assign(source="files"),
        macro=macro[list(MACRO_COLUMNS)].assign(vintage="final", source="files"),
        origin=str(bars_path),
        macro_origin=", ".join(map(str, paths)),
    )


def _find(folder: Path, name: str) -> list[Path]:
    """Return the path of a file in a list; an empty list if an optional one is missing."""
    parquet, csv = folder / f"{name}.parquet", folder / f"{name}.csv"
    found = [path for path in (parquet, csv) if path.is_file()]
    problem = f"data_acquisition.folder: {folder} has"
    if not found and name not in _OPTIONAL:
        raise DataError(f"{problem} neither {parquet.name} nor {csv.name}; {_FORMAT}")
    if len(found) > 1:
        raise DataError(f"{problem} both {parquet.name} and {csv.name}; keep one")
    return found


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]}: {error}; {_FORMAT}") from error
    require_columns(str(path), frame, columns, hint=f"; {_FORMAT}")
    return frame


def _read_macro(path: Path) -> pd.DataFrame:
    macro = _read(path, MACRO_COLUMNS)
    try:
        dates = pd.to_datetime(macro["observation_date"], format="ISO8601")
        return macro.assign(observation_date=dates.dt.date)
    except (ValueError, TypeError) as error:
        reason = str(error).partition(" You might want")[0]
        raise DataError(f"{path}: observation_date: {reason}; write dates as 2025-07-01") from error
