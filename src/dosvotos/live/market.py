"""L1 in a resident loop: the features of a bar as soon as it is stored, for what a few rows cost to read."""

import logging
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

import numpy as np
import pandas as pd

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.parameters import CalendarParams, Parameters
from dosvotos.database.market_data import BarTable, MacroTables, prefer_dated
from dosvotos.database.stored_since import StoredBar, StoredSince, stored_since
from dosvotos.errors import LateDataError, LineageError
from dosvotos.live.schedule import ScheduledBar
from dosvotos.live.state import MarketView, Watermark, add_rows_since, empty_stream, rebuild
from dosvotos.live.tick import LiveFeatures
from dosvotos.market.calendar import BAR, in_session
from dosvotos.market.features.definition import RATE_DIFFERENCE, TIME_NORMALIZED, VARIABLES
from dosvotos.market.features.inputs import NO_PUBLICATIONS, publication_arrays
from dosvotos.market.microseconds import US_PER_BAR, moment_to_microseconds, to_microseconds, to_timestamp
from dosvotos.market.stream import FeatureStream
from dosvotos.quality.releases import Releases

logger = logging.getLogger(__name__)

_OVERLAP: Final = timedelta(hours=1)
"""A run of L0 stores its rows under the moment at which it began: rows so far back are looked for again."""


class FeatureSource(Protocol):
    """Where the loop's features come from."""

    def features_at(self, bar: ScheduledBar, now: datetime) -> LiveFeatures | None:
        """Compute the features of a bar from what is known at `now`; None if the bar is not there."""

    def prepare(self, now: datetime) -> None:
        """Do before the next bar what may take its time."""

    def use_calendar(self, calendar: CalendarParams) -> None:
        """Go by another calendar from now on."""


class _Counted(NamedTuple):
    """What a full count found, so that the next bars need none."""

    since: datetime
    """Rows stored after this are looked at again."""
    bars: int
    """Rows of bars stored since, up to the stream's last one."""
    macro: int
    """Rows of macro values stored since."""
    retractions: int


class LiveMarket:
    """The features of one stored market, kept up with it in memory.

    Parameters
    ----------
    parameters : Parameters
    bars : BarTable
    macro : MacroTables
    saved : bytes, optional
        What `save` gave before a restart; without it, or where nothing can be gone on from, features are
        computed from all stored rows.

    Notes
    -----
    `prepare` counts all rows behind the stream, as `catch_up` does at each tick. A bar then costs reading
    the rows stored since, if nothing but later bars is among them, and else a full count. The rows are those
    of `market_features` over all that is known, to the last bit.
    """

    def __init__(
        self, parameters: Parameters, bars: BarTable, macro: MacroTables, saved: bytes | None = None
    ) -> None:
        self.parameters, self._bars, self._macro = parameters, bars, macro
        self._stream = empty_stream(parameters)
        self._watermark: Watermark | None = None
        self._counted: _Counted | None = None
        self._waiting = NO_PUBLICATIONS
        """Values published after the stream's last bar."""
        self._rows_waiting = np.empty(0, dtype=np.int64)
        """When the rows behind them are published, those included that feed no feature."""
        self._releases = Releases(parameters.macro_variables.variables)
        if saved is not None:
            self._restore(saved)

    def features_at(self, bar: ScheduledBar, now: datetime) -> LiveFeatures | None:
        """Compute the features of a bar from what is known at `now`; None if the bar is not stored."""
        view = self._view(now, bar.opened)
        if not self._add_new_bars(view):
            self._catch_up(view)
        if self._stream.last_close_time != moment_to_microseconds(bar.close):
            return None
        return live_features(self._stream, self._releases)

    def prepare(self, now: datetime) -> None:
        """Count all rows and take what came behind the last bar, so that the next bar need not."""
        last = None if self._watermark is None else self._last_open()
        self._catch_up(self._view(now, last))

    def save(self) -> bytes | None:
        """Serialize the state to go on from after a restart; None before the first bar."""
        return None if self._watermark is None else self._stream.to_bytes(self._watermark._asdict())

    def use_calendar(self, calendar: CalendarParams) -> None:
        """Go by another calendar from now on; features are rebuilt at the next bar."""
        self.parameters = self.parameters.model_copy(update={"calendar": calendar})
        self._stream, self._watermark, self._counted = empty_stream(self.parameters), None, None

    def _restore(self, saved: bytes) -> None:
        try:
            self._watermark = Watermark(**self._stream.restore(saved))
        except LineageError as reason:
            logger.info("L1 cannot go on from its saved features: %s", reason)

    def _view(self, now: datetime, until: datetime | None) -> MarketView:
        as_fetched = self.parameters.inference.clock == "wall"
        return MarketView(self._bars, self._macro, now, as_fetched, until)

    def _catch_up(self, view: MarketView) -> None:
        """Count all rows, add what is new, roll back before what is late, rebuild where that cannot be."""
        try:
            if self._watermark is None:
                raise LateDataError("none are kept")
            if self._stream.last_close_time > moment_to_microseconds(view.until or view.now) + US_PER_BAR:
                raise LateDataError(f"they reach beyond {view.until}")
            self._watermark = add_rows_since(self._watermark, self._stream, view)
        except (LineageError, LateDataError) as reason:
            logger.info("L1 rebuilds its features from all stored bars: %s", reason)
            self._stream, self._watermark = rebuild(self.parameters, view)
        if np.isfinite(self._stream.last_close_time):
            self._count(view)
        else:
            self._watermark = self._counted = None

    def _count(self, view: MarketView) -> None:
        """Remember what is stored by now, for `_add_new_bars`."""
        since, last = view.now - _OVERLAP, self._last_open()
        waiting = view.macro.rows(view.now, VARIABLES, last + BAR, view.as_fetched)
        self._waiting = publication_arrays(prefer_dated(waiting))
        self._rows_waiting = np.sort(to_microseconds(pd.DatetimeIndex(waiting["published_at"])))
        stored = self._stored_since(since, view.now)
        behind = sum(bar.opened <= last for bar in stored.bars)
        self._counted = _Counted(since, behind, stored.macro, stored.retractions)

    def _stored_since(self, since: datetime, now: datetime) -> StoredSince:
        return stored_since(self._bars.engine, self._bars.instrument, self._bars.feed, since, now)

    def _add_new_bars(self, view: MarketView) -> bool:
        """Add the bars stored since the last count; False if anything else was, or bars behind the last."""
        if self._counted is None or self._watermark is None or view.until is None:
            return False
        last = self._last_open()
        if view.now < to_timestamp(self._watermark.read_at) or view.until <= last:
            return False
        stored = self._stored_since(self._counted.since, view.now)
        behind = sum(bar.opened <= last for bar in stored.bars)
        if (behind, stored.macro, stored.retractions) != self._counted[1:]:
            return False
        self._append(view, [bar for bar in stored.bars if last < bar.opened <= view.until])
        return True

    def _append(self, view: MarketView, rows: list[StoredBar]) -> None:
        """Add bars, the newest row of each, with what was published meanwhile."""
        assert self._watermark is not None and self._counted is not None
        newest = {row.opened: row for row in rows}
        for opened, bar in newest.items():
            if in_session(pd.DatetimeIndex([opened]), self._stream.calendar)[0]:
                self._stream.add_bar(opened, bar.close, bar.high, bar.low, self._waiting)
                taken = np.searchsorted(self._waiting.published_at, self._stream.last_close_time, "right")
                self._waiting = self._waiting.select(int(taken))
        last = self._last_open()
        n_rows = sum(row.opened <= last for row in rows)
        if n_rows == 0:
            return
        n_published = int(np.searchsorted(self._rows_waiting, self._stream.last_close_time, "right"))
        self._rows_waiting = self._rows_waiting[n_published:]
        self._watermark = self._watermark._replace(
            read_at=moment_to_microseconds(view.now),
            bar_rows=self._watermark.bar_rows + n_rows,
            macro_rows=self._watermark.macro_rows + n_published,
        )
        self._counted = self._counted._replace(bars=self._counted.bars + n_rows)

    def _last_open(self) -> pd.Timestamp:
        return to_timestamp(self._stream.last_close_time) - BAR


def live_features(stream: FeatureStream, releases: Releases) -> LiveFeatures:
    """Take the features of a stream's last bar; variables older than their rules promise are named."""
    close, rate = to_timestamp(stream.last_close_time), float(stream.row[RATE_DIFFERENCE])
    return LiveFeatures(
        timestamp=(close - BAR).to_pydatetime(),
        market=stream.row[: len(MARKET_FEATURES)].copy(),
        time_normalized=float(stream.row[TIME_NORMALIZED]),
        macro_late=releases.overdue(stream.last_observations(), close),
        rate_difference=None if np.isnan(rate) else rate,
    )
