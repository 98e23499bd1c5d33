"""Nodes of L1 and L5."""

import logging
from datetime import datetime
from typing import Any

from dosvotos.contracts.parameters import read_parameters
from dosvotos.contracts.records import InferenceRecord
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.datasets.models import ProductionModel
from dosvotos.errors import DosVotosError
from dosvotos.live.signals import SignalTable
from dosvotos.live.state import MarketView, catch_up
from dosvotos.live.tick import LiveFeatures, ServedModel, decide_tick, feature_row, live_features

logger = logging.getLogger(__name__)


def compute_live_features(
    parameters: dict[str, Any], bar_table: BarTable, macro_tables: MacroTables, saved_state: bytes | None
) -> tuple[LiveFeatures, bytes]:
    """L1: features of the latest bar, from what has come since the last tick."""
    present = read_parameters(parameters)
    now = present.data_acquisition.as_of
    market = MarketView(bar_table, macro_tables, present.feed, now, present.inference.clock == "wall")
    stream, state = catch_up(saved_state, present, market)
    return live_features(present, stream, now), state


def infer_signal(
    features: LiveFeatures, production: ProductionModel | None, book: SignalTable, parameters: dict[str, Any]
) -> tuple[tuple[InferenceRecord, dict[str, Any], datetime], InferenceRecord]:
    """L5: the approved model decides on the latest bar."""
    present = read_parameters(parameters)
    if production is None:
        raise DosVotosError(
            f"{book.instrument} has no production model yet; approve a proposal first (make app)"
        )
    row, bundle, epoch = production
    record = decide_tick(
        features,
        ServedModel(row.model_id, row.model_hash, epoch, bundle.policy),
        book.position_at(features.timestamp),
        present.inference,
        book.instrument,
    )
    return (record, feature_row(features, record), present.data_acquisition.as_of), record


def report_signal(record: InferenceRecord, book: SignalTable) -> None:
    """Say what stands in trading_signals for the bar."""
    row = book.at(record.timestamp)
    what = (
        f"target {row.signal:+.0f} with confidence {row.confidence:.0%}"
        if row.status == "SIGNAL"
        else f"NO_SIGNAL ({row.reason_code})"
    )
    logger.info(
        "L5 %s %s: %s, by %s",
        row.instrument,
        f"{row.timestamp:%Y-%m-%d %H:%M} UTC",
        what,
        row.model_id,
    )
