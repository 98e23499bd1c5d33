"""The way of a vendor's bars and values into the database: judged by L0's rules, stored, late ones marked."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple, Protocol

import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.database.connection import writing
from dosvotos.database.deliveries import Delivery, close_delivery
from dosvotos.database.market_data import StoredMarket, prefer_dated
from dosvotos.database.quarantine import QuarantineTable
from dosvotos.errors import DatabaseError, DataError, SourceError
from dosvotos.hashing import digest_frame, digest_json
from dosvotos.live.alerts import Alerts
from dosvotos.live.clock import ServerTime
from dosvotos.live.schedule import BarSchedule, ScheduledBar
from dosvotos.market.calendar import BAR
from dosvotos.quality.findings import BARS, FINDING_COLUMNS, REPORTED
from dosvotos.quality.references import SPOT, STORED_DAYS
from dosvotos.sources.checks import check_market
from dosvotos.sources.raw_market import BAR_COLUMNS, MACRO_COLUMNS, RawMarket

logger = logging.getLogger(__name__)

LATE_BAR: Final = "late_bar"
"""Rule of the finding about a bar that came after its deadline."""
_ASKED_AGAIN: Final = timedelta(hours=1)
"""How far back a vendor is asked at each bar, to see revisions."""
_FAILURES: Final = 3
"""After so many failed polls in a row the next session begins with the next source."""
_VALUES: Final = ["open", "high", "low", "close", "volume"]
_NO_BARS: Final = pd.DataFrame(columns=[*BAR_COLUMNS, "source"])
_NO_MACRO: Final = pd.DataFrame(columns=[*MACRO_COLUMNS, "vintage", "source"])


class SourceAnswer(NamedTuple):
    """What a vendor sent."""

    bars: pd.DataFrame
    """timestamp (bar open, UTC), open, high, low, close, volume, source."""
    server_time: ServerTime | None = None


class BarSource(Protocol):
    """A vendor of 5-minute bars."""

    name: str

    def bars(self, since: datetime, now: datetime) -> SourceAnswer:
        """Ask for the bars that opened at or after `since`."""


class Feed(Protocol):
    """Where the loop's bars come from."""

    def poll(self, bar: ScheduledBar, now: Callable[[], datetime]) -> None:
        """Store what has come by now."""

    def skew(self) -> timedelta | None:
        """Tell the least clock skew that the last answer's time shows; None without one."""


class StoredFeed:
    """Bars that another process stores, such as a desk's own ``kedro run``."""

    def poll(self, bar: ScheduledBar, now: Callable[[], datetime]) -> None:
        """Nothing is fetched here."""

    def skew(self) -> timedelta | None:
        """No server is asked."""
        return None


class _Session(NamedTuple):
    day: date
    source: BarSource
    delivery_id: int


class VendorFeed:
    """Bars of the first vendor that works, one vendor a session.

    Parameters
    ----------
    sources : list of BarSource
        In order of preference.
    parameters : Parameters
    stored : StoredMarket
    schedule : BarSchedule
    alerts : Alerts
    """

    def __init__(
        self,
        sources: list[BarSource],
        parameters: Parameters,
        stored: StoredMarket,
        schedule: BarSchedule,
        alerts: Alerts,
    ) -> None:
        self._sources, self._parameters, self._stored = sources, parameters, stored
        self._schedule, self._alerts = schedule, alerts
        self._bars, self._macro = stored.tables
        self._quarantine = QuarantineTable(*stored)
        self._session: _Session | None = None
        self._failures: dict[str, int] = {}
        self._known = pd.DataFrame()
        """Daily USD/COP, by which levels are judged."""
        self._answered_to = datetime.max.replace(tzinfo=UTC)
        """The last bar that was asked for with an answer; before the first, the last one stored."""
        self._skew: timedelta | None = None

    def poll(self, bar: ScheduledBar, now: Callable[[], datetime]) -> None:
        """Ask the session's source, and store what passes the rules.

        Raises
        ------
        SourceError
            If it does not answer, or not with this pair's bars.
        """
        session = self._begin(bar, now())
        since = min(self._answered_to, bar.opened) - _ASKED_AGAIN
        self._skew = None
        try:
            with _of_source(session.source.name):
                answer = session.source.bars(since, now())
            self._skew = None if answer.server_time is None else answer.server_time.least_skew()
            self._take(answer.bars, session, since, now())
        except SourceError:
            self._failures[session.source.name] = self._failures.get(session.source.name, 0) + 1
            raise
        self._failures[session.source.name] = 0
        self._answered_to = bar.opened

    def skew(self) -> timedelta | None:
        """Tell the least clock skew that the last answer's time shows; None without one."""
        return self._skew

    def close(self) -> None:
        """Count what the session's delivery brought."""
        if self._session is not None:
            with writing(self._stored.engine) as connection:
                close_delivery(connection, self._session.delivery_id)
            self._session = None

    def _begin(self, bar: ScheduledBar, now: datetime) -> _Session:
        """At a session's first bar choose its source and open its delivery."""
        if self._session is None or self._session.day != bar.opened.date():
            self.close()
            source = self._choose()
            content = {"source": source.name, "session": str(bar.opened.date()), "opened": now.isoformat()}
            delivery = Delivery("live", source.name, now, digest_json(content))
            delivery_id = self._bars.open_delivery(delivery)
            self._session = _Session(bar.opened.date(), source, delivery_id)
            self._known = prefer_dated(self._macro.rows(now, (SPOT,)))
            if (state := self._bars.state(now)) is not None:
                self._answered_to = min(self._answered_to, state.last.to_pydatetime())
        return self._session

    def _choose(self) -> BarSource:
        working = [s for s in self._sources if self._failures.get(s.name, 0) < _FAILURES]
        chosen = (working or self._sources)[0]
        if chosen is not self._sources[0]:
            message = f"{self._sources[0].name} failed; bars of this session come from {chosen.name}"
            self._alerts.raise_alert("BAR_SOURCE", message)
        else:
            self._alerts.clear("BAR_SOURCE")
        if not working:
            self._failures.clear()
        return chosen

    def _take(self, bars: pd.DataFrame, session: _Session, since: datetime, now: datetime) -> None:
        """Store the closed bars that are new or changed, if any, and what the rules found."""
        stored = self._bars.rows(now, after=pd.Timestamp(since) - BAR).drop_duplicates(
            "timestamp", keep="last"
        )
        with _of_source(session.source.name):
            closed = bars[bars["timestamp"] + BAR <= pd.Timestamp(now)]
            is_new = _differs(closed, stored).any()
        if not is_new:
            return
        month = self._bars.rows(now, after=pd.Timestamp(since) - pd.Timedelta(days=STORED_DAYS))
        parameters = self._parameters
        with _of_source(session.source.name):
            checked = check_market(
                RawMarket(closed.reset_index(drop=True), _NO_MACRO, origin=session.source.name),
                parameters.macro_variables.variables,
                parameters.quality_thresholds,
                pd.Timestamp(now),
                self._known,
                month.drop_duplicates("timestamp", keep="last"),
                self._schedule.calendar,
            )
        self._bars.store(checked.bars, now, session.delivery_id)
        late = self._late_bars(checked.bars[_differs(checked.bars, stored)], stored, now, session.source.name)
        findings = pd.concat([checked.findings, late], ignore_index=True) if len(late) else checked.findings
        if len(findings):
            self._quarantine.store(findings, now, session.delivery_id)

    def _late_bars(
        self, fresh: pd.DataFrame, stored: pd.DataFrame, now: datetime, source: str
    ) -> pd.DataFrame:
        """Report the bars that are stored for the first time and too late to be acted on."""
        rows = []
        first_time = fresh[~fresh["timestamp"].isin(stored["timestamp"])]
        for opened, close in zip(first_time["timestamp"], first_time["close"], strict=True):
            deadline = self._schedule.at(opened.to_pydatetime()).deadline
            if now > deadline:
                detail = f"came {now:%Y-%m-%d %H:%M:%S} UTC, after its deadline {deadline:%Y-%m-%d %H:%M:%S}"
                rows.append((LATE_BAR, REPORTED, BARS, opened, close, detail, source))
        return pd.DataFrame(rows, columns=list(FINDING_COLUMNS))


class MacroStore:
    """Where fetched values go: through L0's rules, under a delivery of their own.

    Parameters
    ----------
    parameters : Parameters
    stored : StoredMarket
    """

    def __init__(self, parameters: Parameters, stored: StoredMarket) -> None:
        self._parameters, self._stored = parameters, stored
        self._bars, self.tables = stored.tables

    def store(self, observations: pd.DataFrame, source: str, origin: str, now: datetime) -> int:
        """Store the values that pass; tell how many are new or revised."""
        if observations.empty:
            return 0
        variables, limits = self._parameters.macro_variables.variables, self._parameters.quality_thresholds
        known = prefer_dated(self.tables.rows(now, tuple(observations["variable"].unique())))
        raw = RawMarket(_NO_BARS, observations.reset_index(drop=True))
        checked = check_market(raw, variables, limits, pd.Timestamp(now), known)
        delivery = Delivery(source, origin, now, digest_frame(observations))
        delivery_id = self._bars.open_delivery(delivery)
        stored = self.tables.store(checked.macro, now, delivery_id)
        if len(checked.findings):
            QuarantineTable(*self._stored).store(checked.findings, now, delivery_id)
        self._bars.close_deliveries(now)
        return stored.new + stored.revised


@contextmanager
def _of_source(name: str) -> Iterator[None]:
    """Let whatever an answer leads to be the failure of its source, and no defect of ours."""
    try:
        yield
    except (SourceError, DatabaseError):
        raise
    except DataError as error:
        raise SourceError(str(error)) from error
    except Exception as error:  # an answer of a shape that nobody thought of
        logger.exception("%s: its answer cannot be used", name)
        problem = f"{name}: its answer cannot be used: {type(error).__name__}: {error}"
        raise SourceError(problem) from error


def _differs(bars: pd.DataFrame, stored: pd.DataFrame) -> pd.Series:
    """Mask the bars that are not stored, or with other values."""
    known = stored.set_index("timestamp")[_VALUES].reindex(bars["timestamp"])
    given = bars[_VALUES].to_numpy(float)
    same = (given == known.to_numpy(float)) | (pd.isna(given) & pd.isna(known.to_numpy(float)))
    absent = ~bars["timestamp"].isin(stored["timestamp"]).to_numpy()
    return pd.Series(absent | ~same.all(axis=1), index=bars.index)
