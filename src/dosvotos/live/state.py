"""L1's saved state: features caught up with the database at each tick, or rebuilt where that cannot be."""

import logging
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.database.market_data import BarTable, MacroTables, prefer_dated
from dosvotos.errors import LateDataError, LineageError
from dosvotos.market.calendar import BAR, in_session
from dosvotos.market.features.definition import VARIABLES
from dosvotos.market.features.inputs import bar_arrays, publication_arrays
from dosvotos.market.microseconds import moment_to_microseconds, to_timestamp
from dosvotos.market.stream import FeatureStream

logger = logging.getLogger(__name__)

_SMALLEST: Final = timedelta(microseconds=1)


class MarketView(NamedTuple):
    """The stored market of one experiment, as of a moment."""

    bars: BarTable
    macro: MacroTables
    now: datetime
    as_fetched: bool
    """Whether a value counts from its fetch, as under ``clock: wall``."""
    until: datetime | None = None
    """When the last bar to be taken opened; None for all that are stored."""

    @property
    def scope(self) -> str:
        """What a state was computed from; one of another scope is rebuilt."""
        known = "as fetched" if self.as_fetched else "as published"
        return f"{self.bars.instrument} {self.bars.feed} {known}"


class Watermark(NamedTuple):
    """How much of the database a stream has read; the next tick finds late rows by it."""

    scope: str
    read_at: int
    """Rows fetched by then were read; microseconds UTC."""
    bar_rows: int
    """Stored rows of bars up to the stream's last one, revisions included."""
    macro_rows: int
    """Stored rows of VARIABLES published by that bar's close."""
    retractions: int
    """Deliveries retracted by `read_at`."""


def catch_up(saved: bytes | None, parameters: Parameters, market: MarketView) -> tuple[FeatureStream, bytes]:
    """Restore a feature stream and add all rows stored since it was saved, or rebuild it from all rows.

    `saved` is the second result of the last tick. Features are rebuilt if it is None, damaged, or of another
    definition or scope, or if a late or revised row lies before its oldest checkpoint.

    Returns
    -------
    FeatureStream, bytes
        The stream, equal to `market_features` over the whole history as known now, and the state to save.
    """
    stream = empty_stream(parameters)
    try:
        if saved is None:
            raise LineageError("feature state: none is kept yet")
        watermark = add_rows_since(Watermark(**stream.restore(saved)), stream, market)
    except (LineageError, LateDataError) as reason:
        logger.info("L1 rebuilds its features from all stored bars: %s", reason)
        stream, watermark = rebuild(parameters, market)
    return stream, stream.to_bytes(watermark._asdict())


def rebuild(parameters: Parameters, market: MarketView) -> tuple[FeatureStream, Watermark]:
    """Compute features from all stored rows."""
    stream = empty_stream(parameters)
    return stream, _add_rows(stream, market, 0, 0)


def empty_stream(parameters: Parameters) -> FeatureStream:
    """Make a stream of these parameters that has seen no bar."""
    variables, source = parameters.macro_variables.variables, parameters.features.range_source
    return FeatureStream(variables, source, parameters.calendar)


def add_rows_since(watermark: Watermark, stream: FeatureStream, market: MarketView) -> Watermark:
    """Add rows stored since the last tick; if one is late, first roll back to the checkpoint before it.

    Raises
    ------
    LineageError, LateDataError
        If only a rebuild gets them right; the stream is no more to be used.
    """
    read_at = to_timestamp(watermark.read_at)
    if watermark.scope != market.scope:
        raise LineageError(f"feature state: is of {watermark.scope}, needed is {market.scope}")
    if (retractions := market.bars.retractions(market.now)) != watermark.retractions:
        raise LateDataError(
            f"database: {retractions} deliveries are retracted, at the last tick {watermark.retractions} were"
        )
    if _count_rows(stream, market) != (watermark.bar_rows, watermark.macro_rows):
        if read_at > market.now:
            raise LateDataError(f"as_of: {market.now} lies before the last tick's, {read_at}")
        _roll_back(stream, watermark, market)
    return _add_rows(stream, market, *_count_rows(stream, market))


def _roll_back(stream: FeatureStream, watermark: Watermark, market: MarketView) -> None:
    """Roll back to the checkpoint before the oldest late row.

    Raises
    ------
    LateDataError
        If there is none, or rows were stored under a time of fetching before the last tick's.
    """
    read_at = to_timestamp(watermark.read_at)
    n_rows = _count_rows(stream, market._replace(now=read_at))
    if n_rows != (watermark.bar_rows, watermark.macro_rows):
        raise LateDataError(f"database: it was read {read_at}; rows as of before came since")
    stream.roll_back(min(_late_rows(stream, read_at, market)))
    if _late_rows(stream, read_at, market):
        raise LateDataError("database: rows came in while they were read")


def _late_rows(stream: FeatureStream, read_at: pd.Timestamp, market: MarketView) -> list[int]:
    """List the close of the oldest late bar and the publication of each late value, microseconds UTC.

    Late is what was stored after `read_at` and lies at or before the stream's last bar.
    """
    if (last_close := _last_close(stream)) is None:
        return []
    moments = []
    if (opened := market.bars.earliest_late_bar(read_at, market.now, last_close - BAR)) is not None:
        moments.append(moment_to_microseconds(opened + BAR))
    rows = market.macro.rows(market.now, VARIABLES, as_fetched=market.as_fetched)
    rows = rows[(rows["fetched_at"] > read_at) & (rows["published_at"] <= last_close)]
    _refuse_dated_vintages(rows, market)
    return moments + [moment_to_microseconds(moment) for moment in rows["published_at"]]


def _add_rows(stream: FeatureStream, market: MarketView, bar_rows: int, macro_rows: int) -> Watermark:
    """Add all bars and values after the stream's last bar, before which so many rows are stored."""
    last_close = _last_close(stream)
    after = None if last_close is None else last_close - BAR
    before = None if market.until is None else market.until + _SMALLEST
    bars = market.bars.rows(market.now, after, before)
    macro = market.macro.rows(market.now, VARIABLES, last_close, market.as_fetched)
    if last_close is not None:
        _refuse_dated_vintages(macro, market)
    latest = bars.drop_duplicates("timestamp", keep="last").set_index("timestamp")
    session = latest[in_session(pd.DatetimeIndex(latest.index), stream.calendar)]
    bar_values = bar_arrays(session, stream.range_source, stream.calendar)
    stream.add_bars(bar_values, publication_arrays(prefer_dated(macro)))
    if (last_close := _last_close(stream)) is not None:
        bar_rows += int((bars["timestamp"] <= last_close - BAR).sum())
        macro_rows += int((macro["published_at"] <= last_close).sum())
    read_at, retractions = moment_to_microseconds(market.now), market.bars.retractions(market.now)
    return Watermark(market.scope, read_at, bar_rows, macro_rows, retractions)


def _count_rows(stream: FeatureStream, market: MarketView) -> tuple[int, int]:
    """Count the stored rows of bars, and of macro values, up to the stream's last bar."""
    if (last_close := _last_close(stream)) is None:
        return 0, 0
    return (
        market.bars.count_until(market.now, last_close - BAR),
        market.macro.count_until(market.now, VARIABLES, last_close, market.as_fetched),
    )


def _last_close(stream: FeatureStream) -> pd.Timestamp | None:
    """When the stream's last bar closed; None before the first."""
    return to_timestamp(stream.last_close_time) if np.isfinite(stream.last_close_time) else None


def _refuse_dated_vintages(rows: pd.DataFrame, market: MarketView) -> None:
    """Raise if a vendor's dated vintages may replace values already added: only a rebuild gets them right."""
    if len(rows) and (dated := sorted(set(rows["variable"]) & market.macro.dated_variables(market.now))):
        raise LateDataError(f"macro: {', '.join(dated)} has dated vintages, which replace earlier values")
