"""A whole loop on a database of a test's own: fake clock, imitated vendor, a model in production."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Engine, select

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.parameters import CalendarParams, Parameters
from dosvotos.contracts.records import InferenceRecord
from dosvotos.database.connection import reading
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.market_data import StoredMarket
from dosvotos.live.alerts import LoggedAlerts
from dosvotos.live.controls import Controls
from dosvotos.live.intake import VendorFeed
from dosvotos.live.keeper import ModelKeeper
from dosvotos.live.loop import LiveLoop, Ports
from dosvotos.live.market import LiveMarket
from dosvotos.live.schedule import BarSchedule
from dosvotos.live.shadow import ShadowDesk
from dosvotos.live.signals import SignalTable
from dosvotos.live.spool import Spool
from dosvotos.market.calendar import BOGOTA
from dosvotos.market.features.definition import VARIABLES
from tests.conftest import parameters_of
from tests.live.imitated_vendor import ImitatedVendor
from tests.live.markets import simulated
from tests.proposal_fixtures import INSTRUMENT

SECOND = timedelta(seconds=1)


class FakeClock:
    """A clock that stands where it is put; `set` is a person who sets it."""

    def __init__(self, now: datetime) -> None:
        self.time, self._set_by, self.off = now, timedelta(0), timedelta(0)
        self.known = True

    def now(self) -> datetime:
        return self.time

    def sleep_until(self, moment: datetime) -> None:
        self.time = max(self.time, moment)

    def set(self, by: timedelta) -> None:
        self.time += by
        self._set_by += by

    def jumped(self) -> timedelta:
        by, self._set_by = self._set_by, timedelta(0)
        return by

    def skew(self) -> timedelta | None:
        return self.off if self.known else None


def short_market(variables: Mapping[str, MacroVariable]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Thirty sessions of bars (index ``timestamp``), and the macro that features need."""
    bars, macro = simulated(variables)
    recent = macro["published_at"] > bars.index[0] - pd.Timedelta(days=420)
    return bars.iloc[-30 * 60 :], macro[macro["variable"].isin(VARIABLES) & recent]


class LiveDesk:
    """Thirty sessions, of which the last `live` come from the vendor while the loop runs.

    With `short` the first of them ends after six bars.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        market: tuple[pd.DataFrame, pd.DataFrame],
        live: int = 2,
        macro: pd.DataFrame | None = None,
        short: bool = False,
    ) -> None:
        self.engine, self.folder = engine, folder
        self.market, known = market
        self.macro = known if macro is None else macro
        self.first = len(self.market) - live * 60
        self.start = self.market.index[self.first].to_pydatetime() - timedelta(minutes=1)
        exceptions = {}
        if short:
            day = str(self.market.index[self.first].tz_convert(BOGOTA).date())
            exceptions = {day: {"opens": "08:00", "closes": "08:30", "reason": "a short session"}}
            gone = self.market.index[self.first + 6 : self.first + 60]
            self.market = self.market.drop(gone)
        self.parameters: Parameters = parameters_of(calendar={"exceptions": exceptions})
        self.stored = StoredMarket(engine, INSTRUMENT, self.parameters.feed)
        bars, values = self.stored.tables
        bars.store(self.market.iloc[: self.first].reset_index(), self.start - timedelta(hours=12))
        values.store(self.macro, self.start - timedelta(hours=12))
        self.vendors = [ImitatedVendor(self.market)]
        self.clock = FakeClock(self.start)
        self.alerts = LoggedAlerts()
        self.controls = Controls(INSTRUMENT, folder / "HALT")
        self.calendar: CalendarParams = self.parameters.calendar
        self.written: list[InferenceRecord] = []
        self.saved: bytes | None = None
        self.restart()

    @property
    def vendor(self) -> ImitatedVendor:
        return self.vendors[0]

    def restart(self, saved: bool = False) -> LiveLoop:
        """Make the loop anew, as after a crash; with `saved` from the features' saved state."""
        self.schedule = BarSchedule(self.calendar)
        self.features = LiveMarket(self.parameters, *self.stored.tables, self.saved if saved else None)
        self.feed = VendorFeed(list(self.vendors), self.parameters, self.stored, self.schedule, self.alerts)
        self.keeper = ModelKeeper(self.engine, INSTRUMENT, self.parameters, self.alerts)
        self.shadows = ShadowDesk(self.engine, INSTRUMENT, self.parameters, self.clock, self.alerts)
        self.loop = LiveLoop(INSTRUMENT, self.schedule, self.ports())
        return self.loop

    def ports(self) -> Ports:
        return Ports(
            clock=self.clock, feed=self.feed, features=self.features, model=self.keeper,
            book=SignalTable(self.engine, INSTRUMENT, self.controls),
            spool=Spool(self.folder / "unwritten.jsonl"), alerts=self.alerts,
            halt_file=self.controls.of_file, read_calendar=lambda: self.calendar,
            on_row=self.written.append, run_shadows=self.shadows.run,
        )  # fmt: skip

    def run(self, bars: int, until: Callable[[], bool] | None = None) -> None:
        """Step until so many more bars have their rows."""
        wanted = len(self.written) + bars
        while len(self.written) < wanted and not (until and until()):
            self.clock.sleep_until(self.loop.step())

    def run_until(self, moment: datetime) -> None:
        """Step until a moment."""
        while (due := self.loop.step()) <= moment:
            self.clock.sleep_until(due)
        self.clock.sleep_until(moment)

    def rows(self) -> list[Any]:
        """All rows, in time order."""
        with reading(self.engine) as connection:
            return list(connection.execute(select(trading_signals).order_by(trading_signals.c.timestamp)))

    def reasons(self) -> list[str | None]:
        return [row.reason_code for row in self.rows()]
