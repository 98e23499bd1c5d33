"""Bars and macro values from a folder of parquet or CSV files.

``usdcop_5m``: timestamp (bar open), open, high, low, close, volume. ``macro_daily``,
``macro_monthly``, ``macro_quarterly``: variable, observation_date (the day, or the first day of the period),
value. Values are final vintages: they say nothing about first prints.
"""

import logging
from pathlib import Path
from typing import Literal

import pandas as pd

from dosvotos.errors import DataError
from dosvotos.sources.labels import read_stamps
from dosvotos.sources.raw_market import BAR_COLUMNS, MACRO_COLUMNS, RawMarket

logger = logging.getLogger(__name__)

BARS_FILE = "usdcop_5m"
MACRO_FILES = ("macro_daily", "macro_monthly", "macro_quarterly")
_OPTIONAL = ("macro_monthly", "macro_quarterly")


def read_folder(
    folder: Path, timezone: str | None = None, mixed_timezone: Literal["refuse", "detect"] = "refuse"
) -> RawMarket:
    """Read a folder's files.

    Parameters
    ----------
    folder : Path
    timezone : str or None
        IANA zone of bar stamps that carry none.
    mixed_timezone : {"refuse", "detect"}
        Whether to refuse bars whose stamps are not in the zone they carry, or to read each in its own.

    Raises
    ------
    DataError
        If the folder or a needed file is missing, cannot be read, or lacks a column; if the zone of the bars
        is unknown, or not the one they carry.
    """
    if not folder.is_dir():
        raise DataError(f"data_acquisition.folder: {folder} is not a folder")
    bars = _read(_find(folder, BARS_FILE), BAR_COLUMNS)
    labels = read_stamps(bars["timestamp"], bars["close"], timezone, mixed_timezone)
    if labels.note:
        logger.warning(labels.note)
    bars["timestamp"] = labels.instants
    present = [name for name in MACRO_FILES if name not in _OPTIONAL or _exists(folder, name)]
    macro = pd.concat([_read(_find(folder, name), MACRO_COLUMNS) for name in present], ignore_index=True)
    macro["observation_date"] = _as_dates(macro["observation_date"])
    return RawMarket(
        bars=bars[list(BAR_COLUMNS)].assign(source="files"),
        macro=macro[list(MACRO_COLUMNS)].assign(vintage="final", source="files"),
    )


def _candidates(folder: Path, name: str) -> list[Path]:
    return [path for suffix in ("parquet", "csv") if (path := folder / f"{name}.{suffix}").is_file()]


def _exists(folder: Path, name: str) -> bool:
    return bool(_candidates(folder, name))


def _find(folder: Path, name: str) -> Path:
    found = _candidates(folder, name)
    if not found:
        raise DataError(f"data_acquisition.folder: {folder} has neither {name}.parquet nor {name}.csv")
    if len(found) > 1:
        raise DataError(f"data_acquisition.folder: {folder} has both {name}.parquet and {name}.csv; keep one")
    return found[0]


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if missing := [name for name in columns if name not in frame.columns]:
        raise DataError(f"{path}: column(s) {missing} are missing, found {list(frame.columns)}")
    return frame


def _as_dates(dates: pd.Series) -> pd.Series:
    try:
        return pd.to_datetime(dates, format="ISO8601").dt.date
    except (ValueError, TypeError) as error:
        raise DataError(f"macro: observation_date is not an ISO 8601 date: {error}") from error
