"""The book of one instrument: a row each bar, by the model in production when it is written."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, Row

from dosvotos.contracts.records import InferenceRecord
from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import lock_instrument, read_epoch
from dosvotos.database.signals import (
    add_signal,
    find_signal,
    last_signal_before,
    last_timestamp,
    statuses_before,
)
from dosvotos.errors import DecisionConflictError
from dosvotos.live.controls import Control, Controls
from dosvotos.live.limits import Approval, Bar, judge_bar, judge_errors
from dosvotos.live.reasons import HALTING, Reason
from dosvotos.live.tick import (
    SILENT_BARS,
    BookState,
    Decision,
    LiveFeatures,
    after_rows,
    book_after,
    feature_row,
    halted,
    reduced,
    withdrawn,
)


class Entry(NamedTuple):
    """What is to be written about a bar."""

    record: InferenceRecord
    features: LiveFeatures | None
    book: BookState
    """From which `record` was made."""
    approval: Approval | None = None
    """By which limits are judged; None where no model was there to decide, and in a replay."""


class Standing(NamedTuple):
    """What holds of an instrument now."""

    control: Control
    epoch: int


class Book(Protocol):
    """Where the loop's rows stand."""

    def control(self) -> Control:
        """Read what holds for the instrument's signals."""

    def last_timestamp(self) -> datetime | None:
        """Find the newest bar that has its row."""

    def state_before(self, timestamp: datetime) -> BookState:
        """Read what the rows before a bar say."""

    def store(self, entry: Entry, now: Callable[[], datetime]) -> InferenceRecord | None:
        """Write a bar's row and give it as written; None if the bar has one already, which stays."""

    def store_missed(self, records: list[InferenceRecord], now: datetime) -> list[InferenceRecord]:
        """Write rows without a signal of bars that have none; give them as written."""


@dataclass(frozen=True)
class SignalTable:
    """The book in the database."""

    engine: Engine
    instrument: str
    controls: Controls | None = None
    """What holds for the instrument's signals; by default the halt file and the database."""

    def last_timestamp(self) -> datetime | None:
        """Find the newest bar that has its row."""
        with reading(self.engine) as connection:
            return last_timestamp(connection, self.instrument)

    def state_before(self, timestamp: datetime) -> BookState:
        """Read what the rows before a bar say."""
        with reading(self.engine) as connection:
            return self._state_before(connection, timestamp)

    def _state_before(self, connection: Connection, timestamp: datetime) -> BookState:
        signal = last_signal_before(connection, self.instrument, timestamp)
        statuses = list(statuses_before(connection, self.instrument, timestamp, SILENT_BARS - 1))
        if "SIGNAL" in statuses:
            statuses = statuses[: statuses.index("SIGNAL")]
        if signal is None:
            return BookState(silent_bars=len(statuses))
        return BookState(signal.signal, signal.reason_code in HALTING, len(statuses))

    def store(self, entry: Entry, now: Callable[[], datetime]) -> InferenceRecord | None:
        """Write a bar's row and features under the instrument's lock, if the bar has none.

        The model's account is marked to the bar and its limits are judged in the same transaction. What is
        later than its deadline by then, or comes after a halt, is written without its signal.

        Raises
        ------
        DecisionConflictError
            If another model was approved while this signal was computed.
        """
        with writing(self.engine) as connection:
            head = lock_instrument(connection, self.instrument)
            if find_signal(connection, self.instrument, entry.record.timestamp) is not None:
                return None
            record, moment = entry.record, now()
            if record.status == "SIGNAL" and record.model_id is not None:
                self._refuse_replaced(head, record)
            if record.model_id is not None:
                self._judge(connection, entry, moment)
                record = as_allowed(entry, self._control(connection), moment)
            features = entry.features
            written = None if features is None else {**feature_row(features, record), "created_at": moment}
            add_signal(connection, _row(record, moment), written)
        return record

    def store_missed(self, records: list[InferenceRecord], now: datetime) -> list[InferenceRecord]:
        """Write rows without a signal, or that waited on disk, of bars that have none; give them as written.

        Another loop may have written rows before them, so that what rows without a signal say of the position
        is read again under the lock; rows that waited on disk stay as they are.
        """
        written: list[InferenceRecord] = []
        with writing(self.engine) as connection:
            lock_instrument(connection, self.instrument)
            book: BookState | None = None
            for missed in records:
                record = missed
                if find_signal(connection, self.instrument, record.timestamp) is not None:
                    book = None
                    continue
                if not record.spooled:
                    book = book or self._state_before(connection, record.timestamp)
                    record = after_rows(record, book)
                    book = book_after(book, record)
                add_signal(connection, _row(record, now), None)
                written.append(record)
            if any(record.reason_code == Reason.ERROR for record in written):
                judge_errors(connection, self.instrument, written[-1].timestamp, now)
        return written

    def at(self, timestamp: datetime) -> Row[Any]:
        """Return the row of one bar; LookupError if it has none."""
        with reading(self.engine) as connection:
            row = find_signal(connection, self.instrument, timestamp)
        if row is None:
            raise LookupError(f"{self.instrument}: no row for {timestamp}")
        return row

    def newest(self) -> InferenceRecord | None:
        """Read the newest bar's row; None before the first."""
        with reading(self.engine) as connection:
            last = last_timestamp(connection, self.instrument)
            row = None if last is None else find_signal(connection, self.instrument, last)
        return None if row is None else _record(row)

    def control(self) -> Control:
        """Read what holds for the instrument's signals."""
        with reading(self.engine) as connection:
            return self._control(connection)

    def standing(self) -> Standing:
        """Read what holds, and the epoch, in one view of the database."""
        with reading(self.engine) as connection:
            return Standing(self._control(connection), read_epoch(connection, self.instrument))

    def _control(self, connection: Connection) -> Control:
        return (self.controls or Controls(self.instrument)).of_database(connection)

    def _judge(self, connection: Connection, entry: Entry, moment: datetime) -> None:
        if entry.approval is None or entry.features is None:
            return
        record = entry.record
        bar = Bar(record.timestamp, record.signal, entry.features.rate_difference, moment)
        judge_bar(connection, entry.approval, bar)

    def _refuse_replaced(self, head: Row[Any], record: InferenceRecord) -> None:
        if (head.epoch, head.production_model_id) != (record.epoch, record.model_id):
            raise DecisionConflictError(
                f"{self.instrument}: production changed from epoch {record.epoch} ({record.model_id}) to "
                f"{head.epoch} ({head.production_model_id}) while the signal was computed; run the tick "
                "again"
            )


def as_allowed(entry: Entry, control: Control, now: datetime) -> InferenceRecord:
    """Take the signal from a row that is too late by now, or that a halt or a limit was faster than."""
    record, book = entry.record, entry.book
    if control.state == "HALTED":
        return withdrawn(record, book, halted(book, control))
    if record.signal is None:
        return record
    if record.valid_until is not None and now > record.valid_until:
        late = f"decided {now:%H:%M:%S.%f}, valid until {record.valid_until:%H:%M:%S} UTC"
        return withdrawn(record, book, Decision(None, None, Reason.TOO_LATE, late))
    less = reduced(record.signal, book.position, control)
    return record if less is None else withdrawn(record, book, less)


def _row(record: InferenceRecord, now: datetime) -> dict[str, Any]:
    row = record.model_dump(exclude={"latency_ms"})
    row["macro_late"] = list(record.macro_late) or None
    return row | {"inference_latency_ms": record.latency_ms, "created_at": now}


def _record(row: Row[Any]) -> InferenceRecord:
    known = {name: value for name, value in row._mapping.items() if name in InferenceRecord.model_fields}
    known["macro_late"] = tuple(known["macro_late"] or ())
    return InferenceRecord(**known, latency_ms=row.inference_latency_ms)
