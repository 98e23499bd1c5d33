"""Nodes of L0."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from dosvotos.contracts.parameters import (
    DataAcquisitionParams,
    MacroVariablesParams,
    SampleMarketParams,
)
from dosvotos.contracts.records import AcquisitionRecord, FetchRecord, SeriesState
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import DataError
from dosvotos.hashing import combine, digest_frame
from dosvotos.sources.base import RawMarket, check_bars, check_macro
from dosvotos.sources.feed import feed_of
from dosvotos.sources.files import read_folder
from dosvotos.sources.sample import simulate_market

logger = logging.getLogger(__name__)

Batch = tuple[pd.DataFrame, str, pd.Timestamp]


def fetch_market(
    acquisition: DataAcquisitionParams, sample: SampleMarketParams, macro: MacroVariablesParams
) -> tuple[pd.DataFrame, pd.DataFrame, FetchRecord]:
    """Fetch bars and macro observations from the configured source, up to ``as_of``."""
    if acquisition.source == "files":
        raw = read_folder(_folder(acquisition))
    else:
        market = simulate_market(sample, macro.variables, pd.Timestamp(acquisition.as_of))
        raw = RawMarket(
            market.bars.assign(source="sample"), market.macro.assign(vintage="simulated", source="sample")
        )
    fetched = FetchRecord(
        source=acquisition.source,
        feed=feed_of(acquisition.source, sample),
        fetched_at=acquisition.as_of,
        source_hash=combine([digest_frame(raw.bars), digest_frame(raw.macro)]),
    )
    return raw.bars, raw.macro, fetched


def _folder(acquisition: DataAcquisitionParams) -> Path:
    if acquisition.folder is None:
        raise DataError(
            "data_acquisition.folder: needed with source 'files'; add --params data_acquisition.folder=PATH"
        )
    return Path(acquisition.folder)


def check_market(
    raw_bars: pd.DataFrame, raw_macro: pd.DataFrame, macro: MacroVariablesParams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Refuse data that break the documented format; date every observation's publication."""
    return check_bars(raw_bars), check_macro(raw_macro, macro.variables)


def batch_for_storage(
    bars: pd.DataFrame, observations: pd.DataFrame, fetched: FetchRecord
) -> tuple[Batch, Batch]:
    """Address what was fetched to its tables."""
    now = pd.Timestamp(fetched.fetched_at)
    return (bars, fetched.feed, now), (observations, fetched.feed, now)


def seal_acquisition(
    bars: pd.DataFrame,
    observations: pd.DataFrame,
    fetched: FetchRecord,
    bar_table: BarTable,
    macro_tables: MacroTables,
    macro: MacroVariablesParams,
) -> AcquisitionRecord:
    """Record what was fetched and stored."""
    now, feed = fetched.fetched_at, fetched.feed
    present = set(observations["variable"])
    record = AcquisitionRecord(
        instrument=bar_table.instrument,
        feed=feed,
        source=fetched.source,
        extraction_hash=combine([digest_frame(bars), digest_frame(observations)]),
        source_hash=fetched.source_hash,
        extraction_timestamp=now,
        bars=len(bars),
        first_bar=bars["timestamp"].iloc[0],
        last_bar=bars["timestamp"].iloc[-1],
        rows_stored={
            "usdcop_m5_ohlcv": bar_table.stored_at(feed, now),
            "macro_indicators": macro_tables.stored_at(feed, now),
        },
        series=tuple(_series_state(name, observations, pd.Timestamp(now)) for name in macro.variables),
        absent=tuple(name for name in macro.variables if name not in present),
    )
    logger.info(
        "L0 %s: %s bars to %s, %d of %d macro variables; stored %s",
        record.instrument,
        f"{record.bars:,}",
        f"{record.last_bar:%Y-%m-%d %H:%M} UTC",
        len(present),
        len(macro.variables),
        ", ".join(f"{count:,} {name}" for name, count in record.rows_stored.items()),
    )
    if record.absent:
        logger.info("L0 absent: %s", ", ".join(record.absent))
    return record


def _series_state(name: str, observations: pd.DataFrame, now: pd.Timestamp) -> SeriesState:
    known = observations[(observations["variable"] == name) & (observations["published_at"] <= now)]
    if known.empty:
        return SeriesState(variable=name, rows=0, last_observation=None, published_at=None, age_days=None)
    last: Any = known.iloc[-1]
    return SeriesState(
        variable=name,
        rows=len(known),
        last_observation=str(last["observation_date"]),
        published_at=last["published_at"],
        age_days=round((now - last["published_at"]) / pd.Timedelta(days=1), 2),
    )
