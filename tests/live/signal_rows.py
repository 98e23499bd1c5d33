"""Rows of a loop as consumers and watchers are told of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dosvotos.contracts.records import InferenceRecord
from dosvotos.live.schedule import ScheduledBar
from dosvotos.live.tick import BookState, Decision, make_record
from tests.proposal_fixtures import INSTRUMENT

OPENED = datetime(2026, 11, 30, 14, 35, tzinfo=UTC)
BAR = timedelta(minutes=5)


def signal_row(
    number: int = 0, target: float | None = 1.0, position: float = 0.0, **change: Any
) -> InferenceRecord:
    """The row of the bar so many after 14:35, by a model of epoch 2."""
    opened = OPENED + number * BAR
    bar = ScheduledBar(opened, opened + BAR, opened + 2 * BAR)
    decision = Decision(target, 0.9, None if target is not None else "NO_BAR")
    record = make_record(bar, INSTRUMENT, BookState(position), decision, epoch=2)
    return record.model_copy(update={"model_id": "demo_1", **change})
