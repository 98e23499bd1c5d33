"""Nodes of L1 and L5: one tick, by the functions the resident loop calls."""

import logging
from collections.abc import Callable
from datetime import datetime

from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import InferenceRecord
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import DataError, DosVotosError
from dosvotos.live.keeper import serve
from dosvotos.live.market import live_features
from dosvotos.live.production import ProductionModel, check_dossier
from dosvotos.live.schedule import BarSchedule
from dosvotos.live.signals import Entry, SignalTable
from dosvotos.live.state import MarketView, catch_up
from dosvotos.live.tick import LiveFeatures, decide, halted, make_record, row_in_words
from dosvotos.quality.releases import Releases

logger = logging.getLogger(__name__)


def compute_live_features(
    parameters: Parameters, bar_table: BarTable, macro_tables: MacroTables, saved_state: bytes | None
) -> tuple[LiveFeatures, bytes]:
    """Compute the features of the latest bar from what was stored since the last tick."""
    now, wall_clock = parameters.data_acquisition.as_of, parameters.inference.clock == "wall"
    stream, state = catch_up(saved_state, parameters, MarketView(bar_table, macro_tables, now, wall_clock))
    if stream.last_close_time < 0:
        raise DataError(
            f"bars: none stored for {parameters.experiment.instrument}; "
            "run 'kedro run --pipelines data_acquisition' first"
        )
    return live_features(stream, Releases(parameters.macro_variables.variables)), state


def infer_signal(
    features: LiveFeatures, production: ProductionModel | None, signals: SignalTable, parameters: Parameters
) -> tuple[tuple[Entry, Callable[[], datetime]], InferenceRecord]:
    """Let the approved model decide on the latest bar."""
    if production is None:
        raise DosVotosError(
            f"{signals.instrument} has no production model yet; approve a proposal first (make app)"
        )
    check_dossier(signals.engine, production)
    bar = BarSchedule(parameters.calendar).at(features.timestamp)
    served, book = serve(production, parameters.feed), signals.state_before(bar.opened)
    if served.silence is not None:
        logger.warning("L5 %s: %s: %s", signals.instrument, *served.silence)
    control = signals.control()
    if control.state == "HALTED":
        decision = halted(book, control)
    else:
        decision = decide(features, served, book.position, control)
    record = make_record(bar, signals.instrument, book, decision, served, features)
    wall_clock = parameters.inference.clock == "wall"
    now = parameters.data_acquisition.as_of if wall_clock else bar.close
    return (Entry(record, features, book, served.approval), lambda: now), record


def report_signal(record: InferenceRecord, signals: SignalTable) -> None:
    """Log the row of trading_signals for the bar."""
    logger.info("L5 %s", row_in_words(signals.at(record.timestamp)))
