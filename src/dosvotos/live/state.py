"""L1's memory: features follow the database bar by bar, and are rebuilt when they cannot."""

import logging
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.database.market_data import BarTable, MacroTables, current
from dosvotos.errors import LateDataError, LineageError
from dosvotos.market.calendar import BAR, in_session
from dosvotos.market.features import SOURCES, bar_arrays, news_of
from dosvotos.market.stream import FeatureStream

logger = logging.getLogger(__name__)

_US = pd.Timedelta(microseconds=1)


class Market(NamedTuple):
    """What one experiment's L1 reads, and as of when."""

    bars: BarTable
    macro: MacroTables
    now: datetime
    as_fetched: bool
    """Whether a value counts from its fetch, as it does under the wall's clock."""

    @property
    def scope(self) -> str:
        """Names what is read; a state of another scope is of no use."""
        known = "as fetched" if self.as_fetched else "as published"
        return f"{self.bars.instrument} {self.bars.feed} {known}"


class Marks(NamedTuple):
    """How much of the database a stream has taken: later ticks see by it whether something came late."""

    scope: str
    read_at: int
    """Rows fetched by then were read; microseconds UTC."""
    bar_rows: int
    """Rows of bars up to the last one taken."""
    macro_rows: int
    """Rows of SOURCES published by its close."""


def follow(saved: bytes | None, parameters: Parameters, market: Market) -> tuple[FeatureStream, bytes]:
    """Bring L1's features up to now.

    Parameters
    ----------
    saved : bytes, optional
        What the last tick returned. Without it, or when it is damaged, of another definition, or older than
        something late or revised reaches back, features are rebuilt from all that is stored.
    parameters : Parameters
    market : Market

    Returns
    -------
    FeatureStream, bytes
        The stream after the latest stored session bar, and the state for the next tick. The stream's rows are
        those of `market_features` over the whole history as known now.
    """
    stream = _empty(parameters)
    try:
        if saved is None:
            raise LineageError("feature state: none is kept yet")
        marks = _take_new(stream, Marks(**stream.restore(saved)), market)
    except (LineageError, LateDataError) as reason:
        logger.info("L1 rebuilds its features from all stored bars: %s", reason)
        stream = _empty(parameters)
        marks = _take(stream, market, bar_rows=0, macro_rows=0)
    return stream, stream.to_bytes(marks._asdict())


def _empty(parameters: Parameters) -> FeatureStream:
    return FeatureStream(parameters.macro_variables.variables, parameters.features.range_source)


def _take_new(stream: FeatureStream, marks: Marks, market: Market) -> Marks:
    """Take what the database holds more than at the last tick; what came late first rewinds the stream."""
    read_at = _moment(marks.read_at)
    if marks.scope != market.scope:
        raise LineageError(f"feature state: is of {marks.scope}, needed is {market.scope}")
    if read_at > market.now:
        raise LateDataError(f"as_of: {market.now} lies before the last tick's, {read_at}")
    if not np.isfinite(stream.closed):
        return _take(stream, market, 0, 0)
    if _settled(stream, market) != (marks.bar_rows, marks.macro_rows):
        _rewind(stream, marks, market)
    return _take(stream, market, *_settled(stream, market))


def _rewind(stream: FeatureStream, marks: Marks, market: Market) -> None:
    known = _settled(stream, market._replace(now=_moment(marks.read_at)))
    if known != (marks.bar_rows, marks.macro_rows):
        raise LateDataError(f"database: it was read {_moment(marks.read_at)}; rows as of before came since")
    stream.rewind(min(_late(stream, marks, market)))
    if _late(stream, marks, market):
        raise LateDataError("database: rows came in while they were read")


def _late(stream: FeatureStream, marks: Marks, market: Market) -> list[int]:
    """When what has come since the last tick should have been taken, microseconds UTC."""
    if not np.isfinite(stream.closed):
        return []
    since, closed = _moment(marks.read_at), _moment(stream.closed)
    moments = []
    if (opened := market.bars.late(since, market.now, closed - BAR)) is not None:
        moments.append((pd.Timestamp(opened) + BAR - _EPOCH) // _US)
    rows = market.macro.rows(market.now, SOURCES, as_fetched=market.as_fetched)
    rows = rows[(rows["fetched_at"] > since) & (rows["published_at"] <= closed)]
    _refuse_dated(rows, market)
    return moments + [(at - _EPOCH) // _US for at in rows["published_at"]]


def _take(stream: FeatureStream, market: Market, bar_rows: int, macro_rows: int) -> Marks:
    """Take all bars and values after the stream's last bar; the rows settled before them are given."""
    fresh = not np.isfinite(stream.closed)
    closed = None if fresh else _moment(stream.closed)
    bars = market.bars.rows(market.now, None if closed is None else closed - BAR)
    macro = market.macro.rows(market.now, SOURCES, closed, market.as_fetched)
    if fresh:
        macro = current(stored := macro)
    else:
        _refuse_dated(stored := macro, market)
    latest = bars.drop_duplicates("timestamp", keep="last").set_index("timestamp")
    session = latest[in_session(pd.DatetimeIndex(latest.index))]
    stream.bars(bar_arrays(session, stream.range_source), news_of(macro))
    if np.isfinite(stream.closed):
        closed = _moment(stream.closed)
        bar_rows += int((bars["timestamp"] <= closed - BAR).sum())
        macro_rows += int((stored["published_at"] <= closed).sum())
    return Marks(market.scope, (pd.Timestamp(market.now) - _EPOCH) // _US, bar_rows, macro_rows)


def _settled(stream: FeatureStream, market: Market) -> tuple[int, int]:
    """Rows stored by now of what the stream has behind it."""
    if not np.isfinite(stream.closed):
        return 0, 0
    closed = _moment(stream.closed)
    return (
        market.bars.settled(market.now, closed - BAR),
        market.macro.settled(market.now, SOURCES, closed, market.as_fetched),
    )


def _refuse_dated(rows: pd.DataFrame, market: Market) -> None:
    """A vendor's dated vintages replace what was taken before them: only a rebuild gets them right."""
    if len(rows) and (dated := sorted(set(rows["variable"]) & market.macro.dated(market.now))):
        raise LateDataError(f"macro: {', '.join(dated)} has dated vintages, which replace earlier values")


_EPOCH = pd.Timestamp(0, tz="UTC")


def _moment(microseconds: float) -> pd.Timestamp:
    return pd.Timestamp(int(microseconds), unit="us", tz="UTC")
