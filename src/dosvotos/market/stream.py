"""Features bar by bar: the batch's own step, its state kept between bars, saved, restored and rolled back."""

import json
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.errors import LateDataError, LineageError
from dosvotos.hashing import canonical_json, digest_arrays, digest_json
from dosvotos.market.alignment import END, MacroState
from dosvotos.market.calendar import LAST_SLOT, REGULAR, first_open, session_number
from dosvotos.market.features.compute import check_order, update_features, update_features_by_bar
from dosvotos.market.features.definition import COLUMNS, PERIODS, VARIABLES
from dosvotos.market.features.inputs import (
    NO_PUBLICATIONS,
    Bar,
    BarArrays,
    PublicationArrays,
    RangeSource,
    max_ages,
)
from dosvotos.market.features.kernel import FeatureState, empty_state
from dosvotos.market.microseconds import US_PER_BAR, US_PER_DAY, moment_to_microseconds, to_timestamp

VERSION = 4
"""Of the saved format; a state saved under another is rebuilt."""
CHECKPOINTS = 5
"""How many ends of sessions a stream can roll back to."""


class Checkpoint(NamedTuple):
    """A stream after one of its bars."""

    state: FeatureState
    row: np.ndarray
    """COLUMNS of that bar, shape (15,)."""

    def copy(self) -> "Checkpoint":
        """Copy it, sharing no memory."""
        return Checkpoint(self.state.copy(), self.row.copy())

    def arrays(self) -> tuple[np.ndarray, ...]:
        """List what is saved of it, in the order of `_SAVED`."""
        return self.state.technical, *self.state.macro, self.row

    @classmethod
    def from_arrays(cls, *saved: np.ndarray) -> "Checkpoint":
        """Make a checkpoint of the arrays that `arrays` listed."""
        technical, days, values, summary, row = (array.copy() for array in saved)
        return cls(FeatureState(technical, MacroState(days, values, summary)), row)


class FeatureStream:
    """The features of one market, one bar after the other.

    Parameters
    ----------
    variables : mapping of MacroVariable by full name
    range_source : {"close", "bars"}
    calendar : CalendarParams

    Notes
    -----
    Every bar costs the same however long the history. The rows are those of `market_features`, to the last
    bit. Checkpoints are kept of the ends of the last 5 sessions.
    """

    row: np.ndarray
    """COLUMNS of the last bar, shape (15,); NaN before the first."""
    last_close_time: float
    """When the last bar closed, microseconds UTC; minus infinity before the first."""

    def __init__(
        self,
        variables: Mapping[str, MacroVariable],
        range_source: RangeSource = "close",
        calendar: CalendarParams = REGULAR,
    ) -> None:
        self._max_ages = max_ages(variables)
        self.range_source, self.calendar = range_source, calendar
        self._day, self._session, self._first_close = -1, 0, 0
        self._checkpoints: deque[Checkpoint] = deque(maxlen=CHECKPOINTS)
        self._set_to(Checkpoint(empty_state(), np.full(len(COLUMNS), np.nan)))

    @property
    def definition(self) -> str:
        """Hash of all that rows depend on beside the data; `restore` takes only a state of the same."""
        return digest_json(
            {
                "version": VERSION,
                "features": FEATURE_ORDER_HASH,
                "periods": PERIODS,
                "ages": dict(zip(VARIABLES, self._max_ages.tolist(), strict=True)),
                "range_source": self.range_source,
                "calendar": self.calendar.model_dump(mode="json", include={"exceptions"}),
            }
        )

    def add_bar(
        self,
        opened: datetime,
        close: float,
        high: float,
        low: float,
        publications: PublicationArrays = NO_PUBLICATIONS,
    ) -> np.ndarray:
        """Compute the features of one bar from it and from what was published since the bar before.

        Parameters
        ----------
        opened : datetime, timezone-aware
        close, high, low : float
            High and low count under ``range_source: bars`` alone.
        publications : PublicationArrays
            From `publication_arrays`; those after the bar's close are left out: give them again later.

        Returns
        -------
        ndarray of shape (15,)
            COLUMNS.

        Raises
        ------
        LateDataError
            If the bar or a publication is not later than the last bar.
        DataError
            If a price is not positive and finite.
        """
        close_time = moment_to_microseconds(opened) + US_PER_BAR
        close = float(close)
        high, low = (close, close) if self.range_source == "close" else (float(high), float(low))
        day = close_time // US_PER_DAY
        if day != self._day:
            self._begin_day(day, opened)
        index, off_grid = divmod((close_time - self._first_close) % US_PER_DAY, US_PER_BAR)
        slot = index if not off_grid and index <= LAST_SLOT else -1
        bar = Bar(close_time, high, low, close, slot / LAST_SLOT, self._session)
        if day != self.last_close_time // US_PER_DAY:
            check_order(self._state, bar.as_arrays(), publications)
            self._checkpoints.append(self._now().copy())
        self.row = update_features_by_bar(self._state, bar, publications, self._max_ages)
        self.last_close_time = close_time
        return self.row

    def add_bars(self, bars: BarArrays, publications: PublicationArrays = NO_PUBLICATIONS) -> np.ndarray:
        """Compute the features of any number of bars, as `add_bar` of one; result of shape (15, n_bars).

        If a bar or a publication is refused, none is added.
        """
        if not len(bars.close) and not (publications.published_at <= self.last_close_time).any():
            # nothing to add or to refuse, as after a restart, which need not load compiled code for that
            return np.empty((len(COLUMNS), 0))
        check_order(self._state, bars, publications)
        parts, first = [np.empty((len(COLUMNS), 0))], 0
        for start, stop in pairwise(self._cuts(bars.close_time)):
            if self._begins_session(bars.close_time[start]):
                self._checkpoints.append(self._now().copy())
            part = BarArrays(*(array[start:stop] for array in bars))
            parts.append(update_features(self._state, part, publications.select(first), self._max_ages))
            first = int(np.searchsorted(publications.published_at, part.close_time[-1], side="right"))
            self.last_close_time, self.row = int(part.close_time[-1]), parts[-1][:, -1].copy()
        return parts[-1] if len(parts) <= 2 else np.hstack(parts)

    def roll_back(self, before: float) -> None:
        """Go back to the latest checkpoint whose last bar closed before a moment.

        Parameters
        ----------
        before : float
            Microseconds UTC: the close of a late bar, or the publication of a late value. All bars and
            publications after the checkpoint's `last_close_time` are to be added again, late ones included.

        Raises
        ------
        LateDataError
            If no checkpoint is that old; the stream is as before.
        """
        if not self._checkpoints or self._checkpoints[0].state.last_close_time >= before:
            raise LateDataError(
                f"features: {to_timestamp(before)} lies before the oldest of "
                f"{len(self._checkpoints)} checkpoints; rebuild them from all stored bars"
            )
        while (checkpoint := self._checkpoints.pop()).state.last_close_time >= before:
            continue
        self._set_to(checkpoint)

    def to_bytes(self, watermark: Mapping[str, int | str]) -> bytes:
        """Serialize the stream with the caller's own watermark, as safetensors."""
        saved = [checkpoint.arrays() for checkpoint in (*self._checkpoints, self._now())]
        arrays = {name: np.stack(parts) for name, parts in zip(_SAVED, zip(*saved, strict=True), strict=True)}
        header = {"version": VERSION, "definition": self.definition, "watermark": dict(watermark)}
        header["digest"] = _digest(arrays, header)
        text = np.frombuffer(canonical_json(header).encode(), dtype=np.uint8)
        return save({**arrays, _HEADER: text})

    def restore(self, content: bytes) -> dict[str, Any]:
        """Replace the stream by the one that `to_bytes` serialized, and return its watermark.

        Raises
        ------
        LineageError
            If the content is damaged, or of another version or definition; the stream is as before.
        """
        arrays, header = _read(content)
        for name, wanted in (("version", VERSION), ("definition", self.definition)):
            if header.get(name) != wanted:
                raise LineageError(f"feature state: {name} is {header.get(name)}, this one needs {wanted}")
        if set(arrays) != set(_SAVED):
            raise LineageError(f"feature state: must hold {_SAVED}, holds {sorted(arrays)}")
        if header.get("digest") != _digest(arrays, header):
            raise LineageError("feature state: its content is not the one its hash names")
        *checkpoints, now = [
            Checkpoint.from_arrays(*parts) for parts in zip(*map(arrays.get, _SAVED), strict=True)
        ]
        self._set_to(now)
        self._checkpoints = deque(checkpoints, maxlen=CHECKPOINTS)
        return dict(header["watermark"])

    def last_observations(self) -> dict[str, int]:
        """Give for each of VARIABLES the date of the newest observation seen, days since 1970."""
        days, _, summary = self._state.macro
        ends = summary[:, END].astype(int)
        return {name: int(days[i, ends[i] - 1]) for i, name in enumerate(VARIABLES) if ends[i] > 0}

    def _now(self) -> Checkpoint:
        return Checkpoint(self._state, self.row)

    def _set_to(self, checkpoint: Checkpoint) -> None:
        self._state, self.row = checkpoint
        self.last_close_time = self._state.last_close_time

    def _begins_session(self, close_time: int) -> bool:
        """Whether a bar lies in a later session than the last one; no session crosses midnight UTC."""
        return close_time // US_PER_DAY != self.last_close_time // US_PER_DAY

    def _begin_day(self, day: int, opened: datetime) -> None:
        """Number a day's session and find when its first bar closes, from any bar of the day (UTC)."""
        self._day, self._session = day, session_number(opened, self.calendar)
        self._first_close = first_open(opened) + US_PER_BAR

    def _cuts(self, close_time: np.ndarray) -> list[int]:
        """Indices at which to stop for a checkpoint: where the last sessions begin, as many as are kept."""
        begins = np.flatnonzero(np.diff(close_time // US_PER_DAY)) + 1
        return [0, *begins[-CHECKPOINTS:].tolist(), len(close_time)] if len(close_time) else [0]


_HEADER = "header"
_SAVED = ("technical", "days", "values", "summary", "row")


def _digest(arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> str:
    covered = {name: value for name, value in header.items() if name != "digest"}
    return digest_json({"arrays": digest_arrays(arrays), "header": covered})


def _read(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        arrays = load(content)
        header = json.loads(arrays.pop(_HEADER).tobytes())
    except (SafetensorError, KeyError, ValueError) as error:
        raise LineageError(f"feature state: not readable: {error}") from error
    if not isinstance(header, dict):
        raise LineageError(f"feature state: its header must be a mapping, is {type(header).__name__}")
    return arrays, header
