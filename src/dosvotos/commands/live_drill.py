"""A halt or a rollback tried on a copy: the loop goes on by repeated bars, and what it does is counted."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import AwareDatetime
from sqlalchemy import Engine

from dosvotos.commands.people import Keys, decide_on_terminal
from dosvotos.config_loader import load_parameters
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import InferenceRecord, Record
from dosvotos.database.connection import reading
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.signals import last_timestamp
from dosvotos.errors import DataError, DecisionError, LineageError
from dosvotos.live.alerts import LoggedAlerts
from dosvotos.live.controls import Controls
from dosvotos.live.keeper import ModelKeeper
from dosvotos.live.loop import LiveLoop, Ports
from dosvotos.live.market import LiveMarket
from dosvotos.live.production import open_production
from dosvotos.live.reasons import Reason
from dosvotos.live.replay import ReplayClock
from dosvotos.live.schedule import BarSchedule, ScheduledBar
from dosvotos.live.signals import SignalTable
from dosvotos.live.spool import Spool
from dosvotos.promotion.live_acts import Rollback, SwitchSignals

LiveAction = Literal["HALT", "ROLLBACK"]
_WHY: Final = "a drill: tried on a copy, production goes on"
_BEFORE, _AFTER = 2, 3
"""Bars that run before and after."""


class LiveDrillRecord(Record):
    """What a drill of a halt or a rollback found; seconds are of this machine."""

    drilled_at: AwareDatetime
    action: LiveAction
    instrument: str
    model_before: str | None
    """Of the last row before the decision."""
    model_after: str | None
    """In production after it."""
    bars_to_effect: int
    """From the decision's commit until the flat row, or the first row by the older model; 1 is the least."""
    decision_seconds: float
    """To check, sign and commit."""
    tick_seconds: float
    """From the next bar being at hand to its row."""
    stray_rows: int
    """Rows after it that signal though halted, or by the model that was replaced; none is allowed."""


class DrilledLoop(NamedTuple):
    """A loop on a copied database, whose bars come when they are asked for."""

    engine: Engine
    instrument: str
    loop: LiveLoop
    clock: ReplayClock
    rows: list[InferenceRecord]

    def run(self, bars: int) -> None:
        """Step until so many more bars have their rows."""
        wanted = len(self.rows) + bars
        while len(self.rows) < wanted:
            self.clock.sleep_until(self.loop.step())


class RepeatedBar:
    """A feed that stores the last known close again, bar by bar.

    Parameters
    ----------
    stored : StoredMarket
    close : float
    """

    def __init__(self, stored: StoredMarket, close: float) -> None:
        self._bars, self._close = stored.tables[0], close

    def poll(self, bar: ScheduledBar, now: Callable[[], datetime]) -> None:
        """Store the bar."""
        prices = dict.fromkeys(("open", "high", "low", "close"), self._close)
        row = {"timestamp": pd.Timestamp(bar.opened), **prices, "volume": np.nan, "source": "drill"}
        self._bars.store(pd.DataFrame([row]), now())

    def skew(self) -> timedelta | None:
        """No server is asked."""
        return None


def drilled_loop(
    engine: Engine, instrument: str, folder: Path, parameters: Parameters | None = None
) -> DrilledLoop:
    """Put a loop on a copied database that goes on after its last bar and row.

    Parameters
    ----------
    engine : Engine
    instrument : str
    folder : Path
        Takes what a loop keeps on disk.
    parameters : Parameters, optional
        By default those of the model's experiment.

    Raises
    ------
    DecisionError
        If no model is in production, or signals are held back already.
    """
    production = open_production(engine, instrument)
    if production is None:
        raise DecisionError(f"drill: {instrument} has no production model; approve a proposal first")
    controls = Controls(instrument, folder / "HALT")
    book = SignalTable(engine, instrument, controls)
    if (control := book.control()).state != "ACTIVE":
        raise DecisionError(
            f"drill: signals are {control.state} already: {control.reason}; run 'dosvotos resume' first"
        )
    parameters = parameters or load_parameters(production.row.experiment_name)
    stored, schedule = StoredMarket(engine, instrument, parameters.feed), BarSchedule(parameters.calendar)
    last, close = _last_bar(stored)
    with reading(engine) as connection:
        first = schedule.after(max(last, last_timestamp(connection, instrument) or last))
    rows: list[InferenceRecord] = []
    clock, alerts = ReplayClock(first.opened), LoggedAlerts()
    ports = Ports(
        clock=clock,
        feed=RepeatedBar(stored, close),
        features=LiveMarket(parameters, *stored.tables),
        model=ModelKeeper(engine, instrument, parameters, alerts),
        book=book,
        spool=Spool(folder / "unwritten_signals.jsonl"),
        alerts=alerts,
        halt_file=controls.of_file,
        read_calendar=lambda: parameters.calendar,
        on_row=rows.append,
    )
    loop = LiveLoop(instrument, schedule, ports)
    loop.start_at(first)
    return DrilledLoop(engine, instrument, loop, clock, rows)


def _last_bar(stored: StoredMarket) -> tuple[datetime, float]:
    bars = stored.tables[0].as_of(datetime.max.replace(tzinfo=UTC))
    if not len(bars):
        raise DataError(
            f"drill: no bar of {stored.instrument} is stored; run 'kedro run --pipelines "
            "data_acquisition' first"
        )
    return bars.index[-1].to_pydatetime(), float(bars["close"].iloc[-1])


def try_live(
    drilled: DrilledLoop, action: LiveAction, keys: Keys, now: Callable[[], datetime]
) -> LiveDrillRecord:
    """Let the loop run, decide, and count until the decision has its effect.

    Raises
    ------
    LineageError
        If it has none within three bars.
    """
    engine, instrument, rows = drilled.engine, drilled.instrument, drilled.rows
    drilled.run(_BEFORE)
    before = rows[-1].model_id
    act = SwitchSignals("HALT", instrument, _WHY) if action == "HALT" else Rollback(instrument, _WHY)
    began = time.perf_counter()
    decided = decide_on_terminal(engine, act, keys, now).row
    decision_seconds, began = time.perf_counter() - began, time.perf_counter()
    drilled.run(1)
    tick_seconds = time.perf_counter() - began
    drilled.run(_AFTER - 1)
    after = rows[-_AFTER:]
    took = [_has_effect(row, action, decided.model_id) for row in after]
    if not any(took):
        raise LineageError(
            f"drill: {_AFTER} bars after {action} {instrument} goes on as before; do not rely on it, and "
            "report it as a defect"
        )
    strays = [row for row, done in zip(after, took, strict=True) if row.signal is not None and not done]
    return LiveDrillRecord(
        drilled_at=now(),
        action=action,
        instrument=instrument,
        model_before=before,
        model_after=decided.model_id if action == "ROLLBACK" else before,
        bars_to_effect=took.index(True) + 1,
        decision_seconds=round(decision_seconds, 3),
        tick_seconds=round(tick_seconds, 3),
        stray_rows=len(strays),
    )


def _has_effect(row: InferenceRecord, action: LiveAction, model_id: str | None) -> bool:
    if action == "HALT":
        return row.reason_code == Reason.HALTED and row.signal == 0.0
    return row.model_id == model_id
