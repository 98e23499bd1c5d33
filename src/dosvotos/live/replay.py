"""The loop over history: the same steps, from memory, into a frame."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from dosvotos.contracts.features import FEATURE_ORDER
from dosvotos.contracts.parameters import CalendarParams, Parameters
from dosvotos.contracts.records import InferenceRecord
from dosvotos.live.alerts import LoggedAlerts
from dosvotos.live.controls import ACTIVE, Control
from dosvotos.live.intake import StoredFeed
from dosvotos.live.loop import LiveLoop, Ports
from dosvotos.live.market import live_features
from dosvotos.live.schedule import BarSchedule, ScheduledBar
from dosvotos.live.signals import Entry, as_allowed
from dosvotos.live.spool import Spool
from dosvotos.live.tick import BookState, LiveFeatures, ServedModel, book_after, feature_vector
from dosvotos.market.features import MarketHistory
from dosvotos.market.features.inputs import bar_arrays, publication_arrays
from dosvotos.market.microseconds import moment_to_microseconds
from dosvotos.market.stream import FeatureStream
from dosvotos.quality.releases import Releases


class ReplayClock:
    """A clock that is set to whatever moment is slept until."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Tell the moment last slept until."""
        return self._now

    def sleep_until(self, moment: datetime) -> None:
        """Be there at once."""
        self._now = max(self._now, moment)

    def jumped(self) -> timedelta:
        """Nobody sets it."""
        return timedelta(0)

    def skew(self) -> timedelta | None:
        """It is right."""
        return timedelta(0)


class HistoryFeatures:
    """The features of a known history, bar by bar.

    Parameters
    ----------
    parameters : Parameters
    history : MarketHistory
    first : datetime
        Bars before it are taken at once.
    """

    def __init__(self, parameters: Parameters, history: MarketHistory, first: datetime) -> None:
        variables, source = parameters.macro_variables.variables, parameters.features.range_source
        self._stream = FeatureStream(variables, source, parameters.calendar)
        self._bars = bar_arrays(history.bars, source, parameters.calendar)
        self._opens = pd.DatetimeIndex(history.bars.index)
        self._publications = publication_arrays(history.macro)
        self._releases = Releases(variables)
        self._next = int(self._opens.searchsorted(pd.Timestamp(first)))
        if self._next:
            before = type(self._bars)(*(array[: self._next] for array in self._bars))
            self._stream.add_bars(before, self._publications)

    def features_at(self, bar: ScheduledBar, now: datetime) -> LiveFeatures | None:
        """Compute the features of a bar; None if the history has none."""
        i, close = self._next, moment_to_microseconds(bar.close)
        if i >= len(self._opens) or self._bars.close_time[i] != close:
            return None
        known = self._publications.published_at
        start = np.searchsorted(known, self._stream.last_close_time, side="right")
        stop = np.searchsorted(known, close, side="right")
        published = self._publications.select(int(start), int(stop))
        high, low, last = self._bars.high[i], self._bars.low[i], self._bars.close[i]
        self._stream.add_bar(bar.opened, last, high, low, published)
        self._next += 1
        return live_features(self._stream, self._releases)

    def prepare(self, now: datetime) -> None:
        """Nothing comes in between."""

    def use_calendar(self, calendar: CalendarParams) -> None:
        """A replay has the calendar of its contract."""


class FixedModel:
    """One model all along."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served

    def current(self) -> ServedModel | None:
        """Give the model."""
        return self._served

    def recheck(self) -> None:
        """It was checked when it was opened."""


class MemoryBook:
    """A book that starts flat and is kept in memory."""

    def __init__(self) -> None:
        self.entries: list[tuple[InferenceRecord, LiveFeatures | None]] = []
        self._state = BookState()

    def control(self) -> Control:
        """Nobody halts a replay."""
        return ACTIVE

    def last_timestamp(self) -> datetime | None:
        """Find the newest bar that has its row."""
        return self.entries[-1][0].timestamp if self.entries else None

    def state_before(self, timestamp: datetime) -> BookState:
        """Read what the rows so far say."""
        return self._state

    def store(self, entry: Entry, now: Callable[[], datetime]) -> InferenceRecord | None:
        """Append a bar's row."""
        record = as_allowed(entry, ACTIVE, now())
        self._append(record, entry.features)
        return record

    def store_missed(self, records: list[InferenceRecord], now: datetime) -> list[InferenceRecord]:
        """Append rows without a signal."""
        for record in records:
            self._append(record, None)
        return records

    def _append(self, record: InferenceRecord, features: LiveFeatures | None) -> None:
        self.entries.append((record, features))
        self._state = book_after(self._state, record)


def replay(
    parameters: Parameters, history: MarketHistory, served: ServedModel, first: datetime, last: datetime
) -> pd.DataFrame:
    """Run the loop over history, from flat, as if each bar came two seconds after its close.

    Parameters
    ----------
    parameters : Parameters
        Of the contract the history was selected by.
    history : MarketHistory
    served : ServedModel
    first, last : datetime, timezone-aware
        Opens of the first and the last bar.

    Returns
    -------
    DataFrame
        Index bar open (UTC), a row a scheduled bar: FEATURE_ORDER, the columns of trading_signals, and
        ``target``, what the model holds after the row.
    """
    book, schedule = MemoryBook(), BarSchedule(parameters.calendar)
    clock = ReplayClock(first)
    features = HistoryFeatures(parameters, history, first)
    instrument = parameters.experiment.instrument
    ports = Ports(
        clock, StoredFeed(), features, FixedModel(served), book, Spool(Path("/nonexistent/replay")),
        LoggedAlerts(), lambda: ACTIVE, lambda: parameters.calendar,
    )  # fmt: skip
    loop = LiveLoop(instrument, schedule, ports)
    loop.start_at(schedule.at(first))
    while loop.bar is not None and loop.bar.opened <= last:
        clock.sleep_until(loop.step())
    return _frame(book)


def _frame(book: MemoryBook) -> pd.DataFrame:
    rows = [record.model_dump() for record, _ in book.entries]
    missing = np.full(len(FEATURE_ORDER), np.nan)
    vectors = [
        missing if features is None else feature_vector(features, record.position)
        for record, features in book.entries
    ]
    frame = pd.DataFrame(np.array(vectors).reshape(-1, len(FEATURE_ORDER)), columns=list(FEATURE_ORDER))
    signals = pd.DataFrame(rows).drop(columns=["position", "spooled"])
    signals["macro_late"] = signals["macro_late"].map(list)
    target = signals["signal"].astype(float).ffill().fillna(0.0)
    joined = pd.concat([signals, frame], axis=1).assign(target=target)
    return joined.set_index("timestamp")
