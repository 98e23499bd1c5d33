"""Features bar by bar: the batch's own step, with what it remembers kept, saved, restored and rewound."""

import json
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load, save

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.errors import LateDataError, LineageError
from dosvotos.hashing import canonical_json, digest_arrays, digest_json
from dosvotos.market.alignment import MAX_BUSINESS_DAYS_APART, Z_WINDOW, Window
from dosvotos.market.calendar import BAR, LAST_SLOT, slot
from dosvotos.market.features import (
    ADX_PERIOD,
    ATR_PERIOD,
    COLUMNS,
    NO_NEWS,
    RETURN_BARS,
    RSI_PERIOD,
    SOURCES,
    BarArrays,
    FeatureState,
    News,
    RangeSource,
    arrays_of,
    check_order,
    closed_until,
    empty_state,
    max_ages,
    take,
    take_bar,
)

VERSION = 2
CHECKPOINTS = 5
"""Ends of sessions that a stream can go back to."""

_A_BAR = BAR // pd.Timedelta(microseconds=1)
_A_DAY = 86_400_000_000
"""Microseconds. A session lies within one day of UTC."""


class Snapshot(NamedTuple):
    """A stream at one moment."""

    state: FeatureState
    row: np.ndarray
    """COLUMNS of the last bar taken, shape (15,)."""

    @property
    def closed(self) -> float:
        """When its last bar closed, microseconds UTC; minus infinity before the first."""
        return closed_until(self.state)

    def copy(self) -> "Snapshot":
        """The same, sharing nothing."""
        technical, macro = self.state
        return Snapshot(FeatureState(technical.copy(), Window(*(a.copy() for a in macro))), self.row.copy())


class FeatureStream:
    """The features of one market, one bar after the other.

    Parameters
    ----------
    variables : mapping of MacroVariable by full name
    range_source : {"close", "bars"}

    Notes
    -----
    Every bar costs the same however long the history. The rows are those of `market_features`, to the last
    bit. A checkpoint is kept of the ends of the last 5 sessions.
    """

    def __init__(self, variables: Mapping[str, MacroVariable], range_source: RangeSource = "close") -> None:
        self._ages = max_ages(variables)
        self.range_source = range_source
        self._state, self._row = empty_state(), np.full(len(COLUMNS), np.nan)
        self._closed = closed_until(self._state)
        self._checkpoints: deque[Snapshot] = deque(maxlen=CHECKPOINTS)

    @property
    def definition(self) -> str:
        """Hash of everything the rows depend on beside the data; a state is restored under the same only."""
        return digest_json(
            {
                "version": VERSION,
                "features": FEATURE_ORDER_HASH,
                "periods": [
                    *RETURN_BARS,
                    RSI_PERIOD,
                    ATR_PERIOD,
                    ADX_PERIOD,
                    Z_WINDOW,
                    MAX_BUSINESS_DAYS_APART,
                ],
                "ages": dict(zip(SOURCES, self._ages.tolist(), strict=True)),
                "range_source": self.range_source,
            }
        )

    @property
    def closed(self) -> float:
        """When the last bar taken closed, microseconds UTC; minus infinity before the first."""
        return self._closed

    @property
    def row(self) -> np.ndarray:
        """COLUMNS of the last bar taken, shape (15,); NaN before the first."""
        return self._row

    def bar(
        self, opened: datetime, close: float, high: float, low: float, news: News = NO_NEWS
    ) -> np.ndarray:
        """Take one bar and what was published since the one before it.

        Parameters
        ----------
        opened : datetime, timezone-aware
        close, high, low : float
            High and low count under ``range_source: bars`` alone.
        news : News
            From `news_of`; what is published after the bar's close is left for a later bar.

        Returns
        -------
        ndarray of shape (15,)
            COLUMNS.

        Raises
        ------
        LateDataError
            If the bar or a publication is not later than the last bar taken.
        DataError
            If a price is not positive and finite.
        """
        closed = round(opened.timestamp() * 1e6) + _A_BAR
        close = float(close)
        high, low = (close, close) if self.range_source == "close" else (float(high), float(low))
        bar = (closed, high, low, close, slot(opened) / LAST_SLOT)
        if closed // _A_DAY != self._closed // _A_DAY:
            check_order(self._state, arrays_of(bar), news)
            self._keep_checkpoint()
        row = np.empty(len(COLUMNS))
        take_bar(self._state, bar, news, self._ages, row)
        self._closed, self._row = closed, row
        return row

    def bars(self, bars: BarArrays, news: News = NO_NEWS) -> np.ndarray:
        """Take any number of bars, as `bar` takes one; result of shape (15, n_bars).

        If a row is refused, none is taken.
        """
        check_order(self._state, bars, news)
        parts = [np.empty((len(COLUMNS), 0))]
        first_news = 0
        for start, stop in pairwise(self._cuts(bars.closed)):
            if bars.closed[start] // _A_DAY != self._closed // _A_DAY:
                self._keep_checkpoint()
            part = BarArrays(*(array[start:stop] for array in bars))
            rows = np.empty((len(COLUMNS), stop - start))
            take(self._state, part, News(*(a[first_news:] for a in news)), self._ages, rows)
            first_news = int(np.searchsorted(news.published, part.closed[-1], side="right"))
            self._closed, self._row = int(part.closed[-1]), rows[:, -1].copy()
            parts.append(rows)
        return parts[-1] if len(parts) <= 2 else np.hstack(parts)

    def _now(self) -> Snapshot:
        return Snapshot(self._state, self._row)

    def _stand_at(self, snapshot: Snapshot) -> None:
        self._state, self._row, self._closed = snapshot.state, snapshot.row, snapshot.closed

    def _keep_checkpoint(self) -> None:
        self._checkpoints.append(self._now().copy())

    def _cuts(self, closed: np.ndarray) -> list[int]:
        """Where to stop for a checkpoint: before the last sessions, of which as many as are kept."""
        if len(closed) <= 1:
            return [0, len(closed)][: len(closed) + 1]
        days = closed // _A_DAY
        begins = np.flatnonzero(days[1:] != days[:-1]) + 1
        return [0, *begins[-CHECKPOINTS:].tolist(), len(closed)]

    def rewind(self, moment: float) -> None:
        """Go back to the latest checkpoint whose last bar closed before a moment.

        Parameters
        ----------
        moment : float
            Microseconds UTC: the close of a late bar, or the publication of a late value. What followed the
            checkpoint (`closed` says when it was) is to be taken again, with what was late.

        Raises
        ------
        LateDataError
            If no checkpoint is that old; the stream is as before.
        """
        if not self._checkpoints or self._checkpoints[0].closed >= moment:
            raise LateDataError(
                f"features: {pd.Timestamp(int(moment), unit='us', tz='UTC')} lies before the oldest of "
                f"{len(self._checkpoints)} checkpoints; rebuild them from all stored bars"
            )
        while (back := self._checkpoints.pop()).closed >= moment:
            continue
        self._stand_at(back)

    def to_bytes(self, marks: Mapping[str, int | str]) -> bytes:
        """The stream as it stands, with the caller's own marks, as safetensors."""
        snapshots = [*self._checkpoints, self._now()]
        arrays = {
            name: np.stack([part[i] for part in map(_parts, snapshots)]) for i, name in enumerate(_PARTS)
        }
        header = {"version": VERSION, "definition": self.definition, "marks": dict(marks)}
        header["digest"] = _digest(arrays, header)
        text = np.frombuffer(canonical_json(header).encode(), dtype=np.uint8)
        return save({**arrays, _HEADER: text})

    def restore(self, content: bytes) -> dict[str, Any]:
        """Take over what `to_bytes` gave; the result is the marks.

        Raises
        ------
        LineageError
            If the content is damaged, or of another version or definition; the stream is as before.
        """
        arrays, header = _read(content)
        for name, wanted in (("version", VERSION), ("definition", self.definition)):
            if header.get(name) != wanted:
                raise LineageError(f"feature state: {name} is {header.get(name)}, this one needs {wanted}")
        if header.get("digest") != _digest(arrays, header):
            raise LineageError("feature state: its content is not the one its hash names")
        *checkpoints, now = [_snapshot(*parts) for parts in zip(*map(arrays.get, _PARTS), strict=True)]
        self._stand_at(now)
        self._checkpoints = deque(checkpoints, maxlen=CHECKPOINTS)
        marks: dict[str, Any] = header["marks"]
        return marks


_HEADER = "header"
_PARTS = ("technical", "days", "values", "known", "row")


def _parts(snapshot: Snapshot) -> tuple[np.ndarray, ...]:
    return snapshot.state.technical, *snapshot.state.macro, snapshot.row


def _snapshot(*parts: np.ndarray) -> Snapshot:
    technical, days, values, known, row = (part.copy() for part in parts)
    return Snapshot(FeatureState(technical, Window(days, values, known)), row)


def _digest(arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> str:
    said = {name: value for name, value in header.items() if name != "digest"}
    return digest_json({"arrays": digest_arrays(arrays), "header": said})


def _read(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        arrays = load(content)
        header = json.loads(arrays.pop(_HEADER).tobytes())
    except (SafetensorError, KeyError, ValueError) as error:
        raise LineageError(f"feature state: not readable: {error}") from error
    if set(arrays) != set(_PARTS) or not isinstance(header, dict):
        raise LineageError(f"feature state: must hold {_PARTS}, holds {sorted(arrays)}")
    return arrays, header
