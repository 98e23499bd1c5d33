"""The resident L5: one step looks at the clock, and what is due is done; exactly one row a scheduled bar."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from dosvotos.contracts.parameters import CalendarParams
from dosvotos.contracts.records import InferenceRecord
from dosvotos.errors import DatabaseError, DecisionConflictError, DosVotosError, SourceError
from dosvotos.live.alerts import Alerts
from dosvotos.live.clock import MAX_SKEW, Clock
from dosvotos.live.controls import Control
from dosvotos.live.intake import Feed
from dosvotos.live.keeper import ModelSource
from dosvotos.live.market import FeatureSource
from dosvotos.live.reasons import OF_LIMITS, Reason
from dosvotos.live.schedule import BarSchedule, ScheduledBar
from dosvotos.live.signals import Book, Entry
from dosvotos.live.spool import Spool
from dosvotos.live.tick import (
    BookState,
    Decision,
    LiveFeatures,
    ServedModel,
    book_after,
    decide,
    halted,
    make_record,
)
from dosvotos.market.calendar import BAR

logger = logging.getLogger(__name__)

FIRST_POLL: Final = timedelta(seconds=2)
"""After a bar's close; each further poll waits twice as long as the one before."""
_LONGEST_PAUSE: Final = timedelta(seconds=64)
"""Between polls inside a session; a session's last bar, which may come the next morning, is asked for more
and more seldom."""
_LAST_POLL: Final = timedelta(seconds=2)
"""Before the deadline: the last look."""
_SMALLEST: Final = timedelta(microseconds=1)
_RETRIES: Final = 3
"""How often a signal is computed again when another model is approved meanwhile."""
_RECHECK_BARS: Final = 12
"""Every so many bars all files of the model are compared."""


class Ports(NamedTuple):
    """What a loop works on; a test or a replay puts its own in."""

    clock: Clock
    feed: Feed
    features: FeatureSource
    model: ModelSource
    book: Book
    spool: Spool
    alerts: Alerts
    halt_file: Callable[[], Control]
    """Reads whether a file halts the signals, which needs no database."""
    read_calendar: Callable[[], CalendarParams]
    on_row: Callable[[InferenceRecord], None] = lambda record: None
    """Called with each row when it is committed, or waits on disk (`spooled`); neither waits nor raises."""
    run_shadows: Callable[[ScheduledBar, LiveFeatures], None] = lambda bar, features: None
    """Called with each bar that had its features, after its row is written."""
    after_session: Callable[[date], None] = lambda session: None
    """Called between bars once a session of which this loop wrote rows is over."""


class LiveLoop:
    """One instrument's loop.

    Parameters
    ----------
    instrument : str
    schedule : BarSchedule
    ports : Ports

    Notes
    -----
    All that outlives a restart is in the database, or in the spool while that is down. `step` neither sleeps
    nor raises; it gives the moment at which it wants to be called again, and may be called earlier.
    """

    def __init__(self, instrument: str, schedule: BarSchedule, ports: Ports) -> None:
        self.instrument, self._schedule, self._ports = instrument, schedule, ports
        self._bar: ScheduledBar | None = None
        self._polled_at: list[datetime] = []
        """When the bar was polled, oldest first."""
        self._problem: Decision | None = None
        """What the last poll of the bar ended with."""
        self._jumped = False
        self._rows = 0
        self._since = datetime.max.replace(tzinfo=UTC)
        """When this loop began."""
        self._epoch = 0
        self._session: date | None = None
        """Of the last row written, until it has been checked."""
        self._book = BookState()
        """What the rows say as far as they could be read."""

    @property
    def bar(self) -> ScheduledBar | None:
        """The first bar without a row."""
        return self._bar

    def start_at(self, bar: ScheduledBar) -> None:
        """Begin with a bar, whatever rows there are."""
        self._bar = bar

    def step(self) -> datetime:
        """Do what is due; give when to be called again."""
        now = self._ports.clock.now()
        self._watch_clock(now)
        if self._bar is None and not self._begin(now):
            return now + FIRST_POLL
        assert self._bar is not None
        if now > self._bar.deadline:
            self._close_missed(now)
        bar = self._bar
        if (due := self._next_poll(bar)) > now:
            return due
        self._poll(bar)
        return self._next_poll(self._bar)

    def housekeep(self) -> None:
        """Do between bars what may take its time: write what waited, compare files, prepare the features."""
        now = self._ports.clock.now()
        try:
            self._flush()
            if self._rows % _RECHECK_BARS == 0:
                self._ports.model.recheck()
            self._ports.features.prepare(now)
            self._follow_calendar()
            self._end_session()
        except DosVotosError as error:
            logger.warning("between bars: %s", error)
        except Exception:
            logger.exception("between bars")

    def _end_session(self) -> None:
        if self._session is None or self._bar is None or self._bar.opened.date() == self._session:
            return
        session, self._session = self._session, None
        self._ports.after_session(session)

    def _begin(self, now: datetime) -> bool:
        """Find the first bar that has no row; False while the database cannot be asked."""
        try:
            self._flush()
            last = self._ports.book.last_timestamp()
        except DatabaseError as error:
            self._ports.alerts.raise_alert("DATABASE_DOWN", str(error))
            return False
        self._since, pending = now, self._schedule.pending_at(now)
        self._bar = pending if last is None else self._schedule.after(last)
        return True

    def _watch_clock(self, now: datetime) -> None:
        moved = self._ports.clock.jumped()
        if abs(moved) > MAX_SKEW:
            self._jumped = True
            text = (
                f"the clock was set by {moved.total_seconds():+.1f} s; it is {now:%Y-%m-%d %H:%M:%S} UTC now"
            )
            self._ports.alerts.raise_alert("CLOCK_JUMP", text)

    def _next_poll(self, bar: ScheduledBar) -> datetime:
        """Tell when to poll: 2 s after the close, after growing pauses, before the deadline, after it."""
        if not self._polled_at:
            return bar.close + FIRST_POLL
        pause: timedelta = FIRST_POLL * 2 ** (len(self._polled_at) - 1)
        last = bar.deadline - _LAST_POLL
        if bar.deadline - bar.close <= BAR.to_pytimedelta():
            pause = min(pause, _LONGEST_PAUSE)
        if self._polled_at[-1] >= last:
            return bar.deadline + _SMALLEST
        return min(self._polled_at[-1] + pause, last)

    def _close_missed(self, now: datetime) -> None:
        """Write the rows of bars whose deadline has passed; go on with the first that can be signalled."""
        missed, bar, jumped = [], self._bar, self._jumped
        assert bar is not None
        while now > bar.deadline:
            missed.append((bar, self._missed(bar)))
            self._polled_at, self._problem = [], None
            bar = self._schedule.after(bar.opened)
        self._forget_bar()
        self._jumped = jumped and bar.close < now
        self._write_missed(missed, now)
        self._bar = bar

    def _missed(self, bar: ScheduledBar) -> Decision:
        """Say why a bar ended without a decision."""
        control = self._ports.halt_file()
        if control.state == "HALTED":
            return Decision(None, None, Reason.HALTED, str(control.reason))
        if self._problem is not None:
            return self._problem
        if self._polled_at:
            return Decision(None, None, Reason.NO_BAR, f"had not come by {bar.deadline:%H:%M:%S} UTC")
        if self._jumped:
            return Decision(None, None, Reason.CLOCK_JUMP, "the clock was set past its deadline")
        if bar.close > self._since:
            return Decision(None, None, Reason.TOO_LATE, "the loop was busy past its deadline")
        return Decision(None, None, Reason.LOOP_DOWN, "no loop was there in time")

    def _write_missed(self, missed: list[tuple[ScheduledBar, Decision]], now: datetime) -> None:
        records: list[InferenceRecord] = []
        try:
            state = self._read_book(missed[0][0])
            for bar, decision in missed:
                records.append(self._record(bar, decision, state))
                state = book_after(state, records[-1])
            self._wrote(self._ports.book.store_missed(records, now))
        except DatabaseError as error:
            for bar, decision in missed[len(records) :]:
                records.append(self._record(bar, decision, self._book))
            self._spool(records, str(error))

    def _poll(self, bar: ScheduledBar) -> None:
        """Look for a bar, and write its row if it can be."""
        self._polled_at.append(self._ports.clock.now())
        try:
            entry = self._entry(bar)
            if entry is not None:
                self._write(entry)
                if entry.features is not None:
                    self._ports.run_shadows(bar, entry.features)
        except DatabaseError as error:
            self._database_down(bar, error)
        except DosVotosError as error:
            logger.warning("bar %s: %s", bar.opened, error)
            self._problem = Decision(None, None, Reason.ERROR, str(error))
        except Exception as error:  # whatever it is, the bar gets its row
            logger.exception("bar %s", bar.opened)
            self._problem = Decision(None, None, Reason.ERROR, f"{type(error).__name__}: {error}")

    def _entry(self, bar: ScheduledBar) -> Entry | None:
        """Decide on a bar; None if it has not come yet."""
        control = self._ports.book.control()
        book = self._read_book(bar)
        if control.state == "HALTED":
            return Entry(self._record(bar, halted(book, control), book), None, book)
        problem = self._take(bar)
        started = time.perf_counter()
        features = self._ports.features.features_at(bar, self._ports.clock.now())
        if features is None:
            self._problem = problem
            return None
        if (skewed := self._wrong_clock()) is not None:
            return Entry(self._record(bar, skewed, book, None, features, started), features, book)
        return self._decided(bar, features, book, control, started)

    def _take(self, bar: ScheduledBar) -> Decision | None:
        """Let the feed store what has come; a source that does not answer is no more than late."""
        try:
            self._ports.feed.poll(bar, self._ports.clock.now)
        except SourceError as error:
            logger.warning("bar %s: %s", bar.opened, error)
            return Decision(None, None, Reason.NO_BAR, str(error))
        return None

    def _decided(
        self, bar: ScheduledBar, features: LiveFeatures, book: BookState, control: Control, started: float
    ) -> Entry:
        try:
            served = self._ports.model.current()
        except DatabaseError:
            raise
        except DosVotosError as error:
            refused = Decision(None, None, Reason.MODEL_REFUSED, str(error))
            return Entry(self._record(bar, refused, book, None, features, started), features, book)
        if served is None:
            missing = Decision(None, None, Reason.NO_MODEL, "no model is in production")
            return Entry(self._record(bar, missing, book, None, features, started), features, book)
        self._epoch = served.epoch
        decision = decide(features, served, book.position, control)
        record = self._record(bar, decision, book, served, features, started)
        return Entry(record, features, book, served.approval)

    def _wrong_clock(self) -> Decision | None:
        """Refuse a signal by a clock that was set meanwhile or is wrong; that nobody knows is one alert."""
        if self._jumped:
            return Decision(None, None, Reason.CLOCK_JUMP, "the clock was set while the bar was waited for")
        known = [skew for skew in (self._ports.clock.skew(), self._ports.feed.skew()) if skew is not None]
        if not known:
            text = "neither the kernel nor the source tells whether the clock is right"
            self._ports.alerts.raise_alert("CLOCK_UNKNOWN", text)
            return None
        self._ports.alerts.clear("CLOCK_UNKNOWN")
        worst = max(known, key=abs)
        if abs(worst) <= MAX_SKEW:
            self._ports.alerts.clear("CLOCK_SKEW")
            return None
        text = f"the clock is {worst.total_seconds():+.1f} s off"
        self._ports.alerts.raise_alert("CLOCK_SKEW", text)
        return Decision(None, None, Reason.CLOCK_SKEW, text)

    def _write(self, entry: Entry) -> None:
        """Write a row; when another model was approved meanwhile, decide again by it."""
        for _ in range(_RETRIES):
            try:
                written = self._ports.book.store(entry, self._ports.clock.now)
            except DecisionConflictError as error:
                logger.info("%s", error)
                entry = self._again(entry)
                continue
            if written is not None:
                self._book = book_after(entry.book, written)
                self._wrote([written])
            self._advance()
            self._announce_limits()
            return
        raise DecisionConflictError(
            f"{self.instrument}: production changed {_RETRIES} times during one bar; see 'dosvotos audit "
            "list' for who decides so often"
        )

    def _announce_limits(self) -> None:
        """Raise an alert for a limit that holds the signals back, until a RESUME."""
        try:
            control = self._ports.book.control()
        except DatabaseError as error:
            logger.warning("what limits hold could not be read: %s", error)
            return
        for code in OF_LIMITS:
            if control.state != "ACTIVE" and control.code == code:
                self._ports.alerts.raise_alert(f"LIMIT {code}", control.reason)
            else:
                self._ports.alerts.clear(f"LIMIT {code}")

    def _again(self, entry: Entry) -> Entry:
        assert self._bar is not None and entry.features is not None
        control = self._ports.book.control()
        return self._decided(self._bar, entry.features, entry.book, control, time.perf_counter())

    def _database_down(self, bar: ScheduledBar, error: DatabaseError) -> None:
        """Keep trying until the deadline; a halt's flat row waits for nothing."""
        self._ports.alerts.raise_alert("DATABASE_DOWN", str(error))
        self._problem = Decision(None, None, Reason.DATABASE_DOWN, str(error))
        control = self._ports.halt_file()
        if control.state == "HALTED":
            record = self._record(bar, halted(self._book, control), self._book)
            self._spool([record], str(error))
            self._book = book_after(self._book, record)
            self._advance()

    def _read_book(self, bar: ScheduledBar) -> BookState:
        """Read what the rows before a bar say, once those that wait on disk are written."""
        self._flush()
        self._book = self._ports.book.state_before(bar.opened)
        self._ports.alerts.clear("DATABASE_DOWN")
        return self._book

    def _flush(self) -> None:
        if len(self._ports.spool):
            written = self._ports.book.store_missed(self._ports.spool.rows, self._ports.clock.now())
            logger.warning("%d row(s) that had waited on disk are written", len(written))
            self._ports.spool.clear()

    def _spool(self, records: list[InferenceRecord], problem: str) -> None:
        self._ports.alerts.raise_alert("DATABASE_DOWN", problem)
        self._wrote([self._ports.spool.add(record) for record in records])

    def _record(
        self,
        bar: ScheduledBar,
        decision: Decision,
        book: BookState,
        served: ServedModel | None = None,
        features: LiveFeatures | None = None,
        started: float | None = None,
    ) -> InferenceRecord:
        return make_record(bar, self.instrument, book, decision, served, features, self._epoch, started)

    def _wrote(self, records: list[InferenceRecord]) -> None:
        self._rows += len(records)
        for record in records:
            self._session = record.timestamp.date()
            self._ports.on_row(record)

    def _advance(self) -> None:
        assert self._bar is not None
        self._bar = self._schedule.after(self._bar.opened)
        self._forget_bar()

    def _forget_bar(self) -> None:
        self._polled_at, self._problem, self._jumped = [], None, False
        self._ports.alerts.clear("CLOCK_JUMP")

    def _follow_calendar(self) -> None:
        """Take over what people have changed of the calendar."""
        calendar = self._ports.read_calendar()
        if calendar.exceptions == self._schedule.calendar.exceptions:
            return
        logger.info("the calendar has other exceptions now: %s", ", ".join(map(str, calendar.exceptions)))
        self._schedule.use(calendar)
        self._ports.features.use_calendar(calendar)
        if self._bar is not None and not self._polled_at:
            self._bar = self._schedule.at(self._bar.opened)
