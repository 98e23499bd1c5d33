"""Signals in the database: a row for each instrument and bar, by the model in production when written."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row

from dosvotos.contracts.records import InferenceRecord
from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import lock_instrument
from dosvotos.database.signals import add_signal, find_signal, position_before
from dosvotos.errors import DecisionConflictError
from dosvotos.live.tick import HALTED, LiveFeatures, feature_row
from dosvotos.promotion.live_acts import read_live_state


@dataclass(frozen=True)
class SignalTable:
    """The signals of one instrument."""

    engine: Engine
    instrument: str

    def position_at(self, timestamp: datetime) -> float:
        """Return the last target signalled before a bar: -1, 0 or 1, and 0 before the first signal."""
        with reading(self.engine) as connection:
            return position_before(connection, self.instrument, timestamp)

    def store(self, record: InferenceRecord, features: LiveFeatures, now: datetime) -> None:
        """Write a bar's signal and features; a bar that has its row already keeps it.

        Raises
        ------
        DecisionConflictError
            If another model was approved, or signals were halted, while this one was computed.
        """
        with writing(self.engine) as connection:
            head = lock_instrument(connection, self.instrument)
            if find_signal(connection, self.instrument, record.timestamp) is not None:
                return
            if (head.epoch, head.production_model_id) != (record.epoch, record.model_id):
                raise DecisionConflictError(
                    f"{self.instrument}: production changed from epoch {record.epoch} ({record.model_id}) to "
                    f"{head.epoch} ({head.production_model_id}) while the signal was computed; run the tick "
                    "again"
                )
            if record.signal and read_live_state(connection, self.instrument) == HALTED:
                raise DecisionConflictError(
                    f"{self.instrument}: was halted while the signal was computed; nothing was stored; "
                    "run the tick again"
                )
            row = record.model_dump(exclude={"latency_ms"})
            row |= {"inference_latency_ms": record.latency_ms, "created_at": now}
            add_signal(connection, row, {**feature_row(features, record), "created_at": now})

    def at(self, timestamp: datetime) -> Row[Any]:
        """Return the row of one bar; LookupError if it has none."""
        with reading(self.engine) as connection:
            row = find_signal(connection, self.instrument, timestamp)
        if row is None:
            raise LookupError(f"{self.instrument}: no row for {timestamp}")
        return row
