"""Nodes of L1 and L5."""

import logging
from datetime import datetime

from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import InferenceRecord
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import DosVotosError
from dosvotos.live.production import ProductionModel, check_dossier, served_model
from dosvotos.live.signals import SignalTable
from dosvotos.live.state import MarketView, catch_up
from dosvotos.live.tick import LiveFeatures, decide_tick, live_features

logger = logging.getLogger(__name__)


def compute_live_features(
    parameters: Parameters, bar_table: BarTable, macro_tables: MacroTables, saved_state: bytes | None
) -> tuple[LiveFeatures, bytes]:
    """Compute the features of the latest bar from what was stored since the last tick."""
    now, wall_clock = parameters.data_acquisition.as_of, parameters.inference.clock == "wall"
    stream, state = catch_up(saved_state, parameters, MarketView(bar_table, macro_tables, now, wall_clock))
    return live_features(parameters, stream, now), state


def infer_signal(
    features: LiveFeatures, production: ProductionModel | None, signals: SignalTable, parameters: Parameters
) -> tuple[tuple[InferenceRecord, LiveFeatures, datetime], InferenceRecord]:
    """Let the approved model decide on the latest bar."""
    if production is None:
        raise DosVotosError(
            f"{signals.instrument} has no production model yet; approve a proposal first (make app)"
        )
    check_dossier(signals.engine, production)
    if production.silence is not None:
        logger.warning("L5 %s: %s: %s", signals.instrument, *production.silence)
    record = decide_tick(
        features,
        served_model(production),
        signals.position_at(features.timestamp),
        parameters.inference,
        signals.instrument,
    )
    return (record, features, parameters.data_acquisition.as_of), record


def report_signal(record: InferenceRecord, signals: SignalTable) -> None:
    """Log the row of trading_signals for the bar."""
    row = signals.at(record.timestamp)
    what = (
        f"target {row.signal:+.0f} with confidence {row.confidence or 0:.0%}"
        if row.status == "SIGNAL"
        else f"NO_SIGNAL ({row.reason_code})"
    )
    logger.info(
        "L5 %s %s: %s, by %s", row.instrument, f"{row.timestamp:%Y-%m-%d %H:%M} UTC", what, row.model_id
    )
