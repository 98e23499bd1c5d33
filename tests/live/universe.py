"""A seeded universe: two loops, promoter, halter, feed, clock and disk as steps of one scheduler.

The loops, their book, halts and limits are real, on SQLite in memory; the feed stores bars by plain SQL and
features are drawn, since both have tests of their own. Between any two questions that a loop asks of the
outside, another actor may have its turn, the machine may die, the database or the disk refuse. A seed is one
run, to the last bit.
"""

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Engine, StaticPool, create_engine, insert, select, update

from dosvotos.audit.log import append_audit_row
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.contracts.records import InferenceRecord
from dosvotos.database.connection import _prepare_sqlite, reading, writing
from dosvotos.database.live_tables import model_accounts, trading_signals
from dosvotos.database.registry import lock_instrument
from dosvotos.database.signals import last_timestamp
from dosvotos.database.tables import instruments, usdcop_m5_ohlcv
from dosvotos.errors import DatabaseError, SourceError
from dosvotos.hashing import digest_json
from dosvotos.live import spool
from dosvotos.live.account import AccountBook, AccountTerms, LiveAccount, Mark, advance
from dosvotos.live.alerts import LoggedAlerts
from dosvotos.live.controls import Control, Controls
from dosvotos.live.limits import Approval
from dosvotos.live.loop import LiveLoop, Ports
from dosvotos.live.reasons import HALTING, Reason
from dosvotos.live.schedule import BarSchedule, ScheduledBar
from dosvotos.live.signals import Entry, SignalTable
from dosvotos.live.spool import Spool
from dosvotos.live.tick import BookState, Decision, LiveFeatures, ServedModel, make_record, served_model
from dosvotos.market.calendar import BOGOTA
from dosvotos.promotion.live_acts import write_live_state
from tests.live.live_desk import FakeClock
from tests.migrated import copy_migrated
from tests.proposal_fixtures import INSTRUMENT, tiny_policy

FEED = "universe"
TERMS = AccountTerms(0.00035, 100_000.0, False)
START = datetime(2026, 3, 2, 8, 0, tzinfo=ZoneInfo(BOGOTA)).astimezone(UTC)
N_BARS = 5
_ROOM = 130
"""Bars beyond those that the feed has, for clocks that are set forward; an outage may last longer."""
_TOO_MANY_STEPS = 4000


class Crash(BaseException):
    """The machine dies; no handler of the loop may stop it."""


class InvariantError(AssertionError):
    """An invariant that did not hold, with the seed that shows it."""


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        opened = sqlite3.connect(copy_migrated(Path(folder) / "dosvotos.db"))
        opened.execute("PRAGMA journal_mode=DELETE")  # a log beside it needs a file
        content = opened.serialize()
        opened.close()
    return content


@cache
def _models() -> dict[str, ServedModel]:
    return {f"m{seed}": served_model(f"m{seed}", "h" * 64, 0, tiny_policy(seed)) for seed in range(3)}


@cache
def _schedule() -> BarSchedule:
    return BarSchedule(CalendarParams())


@cache
def _memory() -> Engine:
    """One database in memory for all seeds, whose compiled statements are kept."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    _prepare_sqlite(engine)
    return engine


def memory_engine() -> Engine:
    """The database in memory, on one connection, as the migrations leave it."""
    engine = _memory()
    raw = engine.raw_connection()
    raw.driver_connection.deserialize(_migrated())  # type: ignore[union-attr]
    raw.close()
    return engine


class Universe:
    """One run of a seed; `run` raises `InvariantError` if an invariant does not hold."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        self.folder, self.engine = folder, memory_engine()
        self.clock = FakeClock(START - timedelta(seconds=self.rng.randrange(1, 240)))
        self.controls = Controls(INSTRUMENT, folder / "HALT")
        self.down = self.disk_full = self.nested = self.has_new_rows = False
        self.events: list[str] = []
        self.broken: str | None = None
        """The first invariant that did not hold."""
        self.stored: set[int] = set()
        """Bars the feed has stored, by index."""
        self.bars = [_schedule().pending_at(self.clock.time)]
        while len(self.bars) < N_BARS + _ROOM:
            self.bars.append(_schedule().after(self.bars[-1].opened))
        drawn = np.random.default_rng(seed)
        self.closes = 4000 * np.exp(np.cumsum(drawn.normal(0, 0.001, len(self.bars))))
        self.features = drawn.normal(0, 1, (len(self.bars), len(MARKET_FEATURES)))
        delays = [self.rng.choice((1, 1, 1, 1, 5, 290, 350)) for _ in self.bars]
        self.due = {
            bar.opened: bar.close + timedelta(seconds=s) for bar, s in zip(self.bars, delays, strict=True)
        }
        with writing(self.engine) as connection:
            lock_instrument(connection, INSTRUMENT)
        self.promote("m0")
        before = Decision(None, None, Reason.NO_MODEL, "the loops go on after this row")
        first = make_record(self.bars[0], INSTRUMENT, BookState(), before)
        SignalTable(self.engine, INSTRUMENT, self.controls).store_missed([first], self.clock.time)
        self.machines = [Machine(self, number) for number in range(2)]

    def run(self) -> str:
        """Let everything happen until the bars have their rows; gives a digest of all that was stored."""
        done = False
        for _ in range(_TOO_MANY_STEPS):
            if self.has_new_rows:
                done, self.has_new_rows = self.last_row() >= self.bars[N_BARS - 1].opened, False
            if done:
                self.check()
            if self.broken is not None:
                raise InvariantError(self.broken)
            if done:
                return self.digest()
            self.turn()
        raise InvariantError(f"seed {self.seed}: rows stopped coming after {self.events[-5:]}")

    def stored_bar(self, index: int, now: datetime) -> dict[str, Any]:
        """Make the row of a bar as the feed stores it."""
        prices = dict.fromkeys(("open", "high", "low", "close"), float(self.closes[index]))
        named = {"instrument": INSTRUMENT, "feed": FEED, "timestamp": self.bars[index].opened}
        return named | prices | {"source": "seed", "fetched_at": now, "delivery_id": 0}

    def last_row(self) -> datetime:
        with reading(self.engine) as connection:
            last = last_timestamp(connection, INSTRUMENT)
        return last or START - timedelta(days=1)

    def turn(self) -> None:
        """Move the clock to whoever is due first and give them their step; now and then somebody else's."""
        machine = min(self.machines, key=lambda one: (one.due, self.rng.random()))
        self.clock.sleep_until(machine.due)
        if self.rng.random() < 0.15:
            self.interleave()
        machine.step()

    def interleave(self) -> None:
        """Give one of the other actors a turn."""
        acts: list[Callable[[], None]] = [
            self.promote, self.switch, self.halt_file, self.set_clock, self.outage, self.fill_disk, self.race,
        ]  # fmt: skip
        self.rng.choice(acts)()

    def at(self, call: str) -> None:
        """A loop calls one of its ports: other actors may come first, the machine may die."""
        if self.down and call not in ("feed", "model"):
            raise DatabaseError("database: connection refused")
        draw = self.rng.random()
        if draw < 0.015:
            self.note(f"crash at {call}")
            raise Crash(call)
        if draw < (0.2 if call == "store" else 0.05) and not self.nested:
            self.nested = True
            try:
                self.interleave()
            finally:
                self.nested = False

    def note(self, event: str) -> None:
        self.events.append(f"{self.clock.time:%H:%M:%S.%f} {event}")

    def promote(self, model: str | None = None) -> None:
        """Put a model into production: the epoch rises in the same transaction."""
        model = model or self.rng.choice(list(_models()))
        with writing(self.engine) as connection:
            epoch = lock_instrument(connection, INSTRUMENT).epoch + 1
            head = update(instruments).where(instruments.c.instrument == INSTRUMENT)
            connection.execute(head.values(epoch=epoch, production_model_id=model))
        self.note(f"promote {model} {epoch}")

    def switch(self) -> None:
        """Halt, or resume."""
        with writing(self.engine) as connection:
            lock_instrument(connection, INSTRUMENT)
            halted = self.controls.of_database(connection).state == "HALTED"
            action, state = ("RESUME", "ACTIVE") if halted else ("HALT", "HALTED")
            entry = {"action": action, "reviewer": "olga", "instrument": INSTRUMENT, "epoch": 0,
                     "self_approved": False}  # fmt: skip
            append_audit_row(connection, entry, self.clock.time)
            write_live_state(connection, INSTRUMENT, state, "a seed", "olga", self.clock.time)  # type: ignore[arg-type]
        self.note(action)

    def halt_file(self) -> None:
        file = self.controls.halt_file
        if file.exists():
            file.unlink()
        else:
            file.write_text("a seed")
        self.note("halt file")

    def set_clock(self) -> None:
        by = timedelta(seconds=self.rng.choice((-90, -3, 3, 61, 240, 700)))
        self.clock.set(by)
        self.note(f"clock {by}")

    def outage(self) -> None:
        self.down = not self.down
        self.note(f"down {self.down}")

    def fill_disk(self) -> None:
        self.disk_full = not self.disk_full
        self.note(f"disk full {self.disk_full}")

    def race(self) -> None:
        """Let a machine step though it is not due, perhaps in the middle of the other's step."""
        self.rng.choice(self.machines).step()

    def written(self, record: InferenceRecord | None) -> None:
        """Check a row at its commit, before anybody else has a turn."""
        if record is None or record.signal is None or record.reason_code in HALTING:
            return
        with reading(self.engine) as connection:
            head = connection.execute(select(instruments)).one()
            state = self.controls.of_database(connection).state
        self.require(state != "HALTED", f"{record.timestamp}: a signal after a halt")
        same = (head.epoch, head.production_model_id) == (record.epoch, record.model_id)
        self.require(same, f"{record.timestamp}: a signal of {record.model_id} after the swap")

    def require(self, holds: bool, what: str) -> None:
        """Note an invariant that does not hold; a loop would take an exception for a defect of its own."""
        if not holds and self.broken is None:
            self.broken = f"seed {self.seed}: {what}; the last events: {self.events[-8:]}"

    def check(self) -> None:
        """Check what must hold of all rows together."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(trading_signals).order_by(trading_signals.c.timestamp)).all()
            accounts = connection.execute(
                select(model_accounts).order_by(model_accounts.c.approval_id, model_accounts.c.timestamp)
            ).all()
        bar, opened = self.bars[0], []
        while len(opened) < len(rows):
            opened.append(bar.opened)
            bar = _schedule().after(bar.opened)
        self.require([row.timestamp for row in rows] == opened, "not one row a scheduled bar")
        position, flat = 0.0, False
        for row in rows:
            self.require(row.position == position or row.spooled, f"{row.timestamp}: position {row.position}")
            if row.signal is None:
                continue
            late = row.created_at > row.valid_until and row.reason_code not in HALTING
            self.require(not late, f"{row.timestamp}: a signal after its deadline")
            repeated = row.reason_code in HALTING and flat and not row.spooled
            self.require(not repeated, f"{row.timestamp}: a second flat row of a halt")
            position, flat = row.signal, row.reason_code in HALTING
        self.check_accounts(rows, [LiveAccount(*row[1:2], *row[3:]) for row in accounts],
                            [row.approval_id for row in accounts])  # fmt: skip

    def check_accounts(self, rows: Any, accounts: list[LiveAccount], approvals: list[int]) -> None:
        """Each account is what its rows and bars make of it, to the last bit, crashes or not."""
        closes = dict(zip((bar.opened for bar in self.bars), self.closes, strict=True))
        steps = zip(accounts, accounts[1:], approvals, approvals[1:], strict=False)
        for before, after, one, other in steps:
            if one != other:
                continue
            targets = [r.signal for r in rows if r.timestamp < after.timestamp and r.signal is not None]
            bar = Mark(after.timestamp, float(closes[after.timestamp]))
            made = advance(before, TERMS, bar, targets[-1] if targets else 0.0, after.resumed_by)
            self.require(made == after, f"{after.timestamp}: account {after}, its bars make {made}")
        marked = {
            (approval, account.timestamp) for approval, account in zip(approvals, accounts, strict=True)
        }
        for row in rows:
            if row.signal is not None and row.reason_code is None:
                self.require((row.epoch, row.timestamp) in marked, f"{row.timestamp}: no account was marked")

    def digest(self) -> str:
        """Hash all rows, without what the machine's own time was, and all that happened."""
        with reading(self.engine) as connection:
            kept = {
                table.name: [
                    [
                        str(value).replace(str(self.folder), "")
                        for name, value in row._mapping.items()
                        if name != "inference_latency_ms"
                    ]
                    for row in connection.execute(select(table))
                ]
                for table in (trading_signals, model_accounts)
            }
        return digest_json({"rows": kept, "events": self.events})


class Machine:
    """A machine that runs a loop, dies and comes back; also the loop's ports, all but the clock."""

    def __init__(self, universe: Universe, number: int) -> None:
        self.universe, self.number, self.due = universe, number, universe.clock.time
        self.table = SignalTable(universe.engine, INSTRUMENT, universe.controls)
        self.stepping = False
        self.start()

    def start(self) -> None:
        """Begin anew with what is on disk and in the database."""
        universe = self.universe
        self.loop = LiveLoop(INSTRUMENT, _schedule(), Ports(
            clock=universe.clock, feed=self, features=self, model=self, book=self,
            spool=Spool(universe.folder / f"unwritten{self.number}.jsonl"), alerts=LoggedAlerts(),
            halt_file=universe.controls.of_file, read_calendar=CalendarParams,
        ))  # fmt: skip

    def step(self) -> None:
        if self.stepping:  # this machine is the one that was interrupted
            return
        self.stepping = True
        try:
            self.due = self.loop.step()
            if self.universe.rng.random() < 0.2:
                self.loop.housekeep()
        except Crash:
            self.start()
            self.due = self.universe.clock.time + timedelta(seconds=self.universe.rng.choice((1, 20, 400)))
        finally:
            self.stepping = False

    # the feed
    def poll(self, bar: ScheduledBar, now: Callable[[], datetime]) -> None:
        universe = self.universe
        universe.at("feed")
        if universe.rng.random() < 0.05:
            raise SourceError("vendor: answered with status 503")
        due = [i for i, bar in enumerate(universe.bars) if universe.due[bar.opened] <= now()]
        if new := [i for i in due if i not in universe.stored]:
            with writing(universe.engine) as connection:
                connection.execute(insert(usdcop_m5_ohlcv), [universe.stored_bar(i, now()) for i in new])
            universe.stored.update(new)

    def skew(self) -> timedelta | None:
        return timedelta(0)

    # the features
    def features_at(self, bar: ScheduledBar, now: datetime) -> LiveFeatures | None:
        self.universe.at("features")
        opened = [one.opened for one in self.universe.bars]
        if bar.opened not in opened or (index := opened.index(bar.opened)) not in self.universe.stored:
            return None
        return LiveFeatures(bar.opened, self.universe.features[index], index / 59)

    def prepare(self, now: datetime) -> None:
        self.universe.at("prepare")

    def use_calendar(self, calendar: CalendarParams) -> None:
        """Nobody changes it."""

    # the model
    def current(self) -> ServedModel | None:
        self.universe.at("model")
        with reading(self.universe.engine) as connection:
            head = connection.execute(select(instruments)).one()
        book = AccountBook(INSTRUMENT, FEED, head.epoch, TERMS)
        approval = Approval(book, START, "c" * 64, None, None)
        return _models()[head.production_model_id]._replace(epoch=head.epoch, approval=approval)

    def recheck(self) -> None:
        """Nothing of it can be damaged."""

    # the book
    def control(self) -> Control:
        self.universe.at("control")
        return self.table.control()

    def last_timestamp(self) -> datetime | None:
        self.universe.at("last row")
        return self.table.last_timestamp()

    def state_before(self, timestamp: datetime) -> BookState:
        self.universe.at("state")
        return self.table.state_before(timestamp)

    def store(self, entry: Entry, now: Callable[[], datetime]) -> InferenceRecord | None:
        self.universe.at("store")
        written = self.table.store(entry, self._dying(now))
        self.universe.has_new_rows = True
        self.universe.written(written)
        self.universe.at("stored")
        return written

    def store_missed(self, records: list[InferenceRecord], now: datetime) -> list[InferenceRecord]:
        self.universe.at("store missed")
        stored = self.table.store_missed(records, now)
        self.universe.has_new_rows = True
        self.universe.at("stored missed")
        return stored

    def _dying(self, now: Callable[[], datetime]) -> Callable[[], datetime]:
        """Ask the time inside the transaction; the machine may die there."""

        def asked() -> datetime:
            if self.universe.rng.random() < 0.02:
                self.universe.note("crash in the transaction")
                raise Crash("in the transaction")
            return now()

        return asked


@contextmanager
def _disk(universe: Universe) -> Iterator[None]:
    def fsync(descriptor: int) -> None:
        if universe.disk_full:
            raise OSError(28, "No space left on device")

    with mock.patch.object(spool.os, "fsync", fsync):
        yield


def run_seed(seed: int) -> str:
    """Run a seed; gives the digest of all it left behind.

    Raises
    ------
    InvariantError
        If an invariant did not hold; its text has the seed.
    """
    folder = Path(tempfile.mkdtemp(prefix="universe-"))
    universe = Universe(seed, folder)
    try:
        with _disk(universe):
            return universe.run()
    finally:
        shutil.rmtree(folder)
