"""``dosvotos live``: the resident L5, put together from an experiment's configuration."""

import logging
import logging.config
import os
import signal
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, Final, NamedTuple

import numpy as np
import yaml
from filelock import FileLock, Timeout
from sqlalchemy import Engine

from dosvotos.commands.json_log import log_to
from dosvotos.commands.watch import Watch, Watched
from dosvotos.config_loader import load_parameters
from dosvotos.contracts.features import FEATURE_ORDER
from dosvotos.contracts.parameters import CalendarParams, InferenceParams, Parameters
from dosvotos.database.connection import database_url, open_database, open_existing, reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.outbox import send_in_background
from dosvotos.database.provider_calls import ProviderCalls
from dosvotos.database.signals import last_timestamp
from dosvotos.errors import DataError, DosVotosError, ParameterError, RunLockedError
from dosvotos.files import write_file
from dosvotos.hashing import digest_json
from dosvotos.live.alerts import Alerts, AnnouncedAlerts, Announcement, Announcer
from dosvotos.live.clock import Clock, MarketClock, WallClock
from dosvotos.live.controls import Controls
from dosvotos.live.intake import BarSource, Feed, StoredFeed, VendorFeed
from dosvotos.live.keeper import ModelKeeper
from dosvotos.live.keeper import serve as served_by
from dosvotos.live.loop import LiveLoop, Ports
from dosvotos.live.macro_task import MacroTask
from dosvotos.live.market import LiveMarket
from dosvotos.live.nightly import NightlyCheck
from dosvotos.live.parity import ParityReport, check_served
from dosvotos.live.production import check_dossier, open_production
from dosvotos.live.replay import replay
from dosvotos.live.runner import run
from dosvotos.live.schedule import BarSchedule
from dosvotos.live.shadow import ShadowDesk
from dosvotos.live.signals import SignalTable
from dosvotos.live.spool import Spool
from dosvotos.live.state import empty_stream
from dosvotos.live.systemd import ALIVE, READY, STOPPING, notify
from dosvotos.market.calendar import BAR, scheduled_sessions, session_bar_times
from dosvotos.project import exclusive_lock

logger = logging.getLogger(__name__)

_FEATURES: Final = Path("data/04_feature")
_OUTPUT: Final = Path("data/07_model_output")
_LAST_WORDS: Final = 5.0
"""Seconds at the end for alerts that are not in the outbox yet."""
LOGS: Final = Path("data/logs")
_DATES_FILES: Final = ("conf/base/parameters/date_ranges.yml", "conf/{env}/parameters.yml")


class Watching(NamedTuple):
    """How a loop may be watched."""

    metrics_port: int | None = None
    """Of a Prometheus endpoint on this machine's loopback address."""
    json_log: bool = False
    """Whether the log goes into a file of JSON lines too."""


def serve(env: str, speed: float, watching: Watching) -> None:
    """Run the loop of an experiment's instrument until a signal or Ctrl-C ends it.

    Raises
    ------
    DosVotosError
        If there is no production model, or it is not what was voted on; if another loop or tick is at work.
    """
    configure_logging()
    parameters = load_parameters(env)
    name = parameters.run_name or env
    if watching.json_log:
        log_to(LOGS / f"live_{name}.jsonl")
    with _lock(name):
        stop = Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        engine = open_database(database_url())
        made = assemble(parameters, engine, name, speed, stop, watching.metrics_port)
        logger.info(
            "live: %s from %s UTC on", parameters.experiment.instrument, f"{made.clock.now():%Y-%m-%d %H:%M}"
        )
        announcing = Thread(target=made.announcer.run, args=(stop,), daemon=True, name="notifications")
        announcing.start()
        try:
            made.loop.housekeep()  # computes the first features
            notify(READY)
            made.warm_up()
            run(made.loop, made.macro, made.clock, stop, lambda: notify(ALIVE))
        finally:
            notify(STOPPING)
            made.close()
            stop.set()
            announcing.join(_LAST_WORDS)


class Assembly(NamedTuple):
    """A loop ready to run."""

    loop: LiveLoop
    macro: MacroTask | None
    announcer: Announcer
    clock: Clock
    warm_up: Callable[[], None]
    """Does before the first bar what it would wait for."""
    close: Callable[[], None]
    """Keeps what a restart goes on from."""


def assemble(
    parameters: Parameters,
    engine: Engine,
    name: str,
    speed: float,
    stop: Event,
    metrics_port: int | None = None,
) -> Assembly:
    """Put a loop together.

    Raises
    ------
    DosVotosError
        If there is no production model, or it is not what was voted on.
    """
    parameters = _as_served(parameters)
    instrument, announcements = parameters.experiment.instrument, SimpleQueue[Announcement]()
    alerts = AnnouncedAlerts(instrument, announcements, _now)
    stored, schedule = StoredMarket(engine, instrument, parameters.feed), BarSchedule(parameters.calendar)
    clock = _clock(parameters, stored, schedule, speed, stop)
    keeper = ModelKeeper(engine, instrument, parameters, alerts)
    if keeper.current() is None:
        raise DosVotosError(f"{instrument} has no production model yet; approve a proposal first (make app)")
    feed, macro = _sources(parameters, stored, schedule, clock, alerts)
    state_file = _FEATURES / name / "live_state.safetensors"
    market = LiveMarket(parameters, *stored.tables, _bytes_of(state_file))
    controls = Controls(instrument)
    book = SignalTable(engine, instrument, controls)
    watched = Watched(parameters, book, clock, lambda: schedule.calendar, lambda: list(alerts.open))
    watch = Watch(watched, _OUTPUT / name, metrics_port)
    ports = Ports(
        clock=clock,
        feed=feed,
        features=market,
        model=keeper,
        book=book,
        spool=Spool(_OUTPUT / name / "unwritten_signals.jsonl"),
        alerts=alerts,
        halt_file=controls.of_file,
        read_calendar=CalendarFiles(parameters).read,
        on_row=watch.on_row,
        run_shadows=ShadowDesk(engine, instrument, parameters, clock, alerts).run,
        after_session=NightlyCheck(engine, parameters, clock, alerts).run,
    )

    loop = LiveLoop(instrument, schedule, ports)

    def close() -> None:
        watch.close()
        if (state := market.save()) is not None:
            write_file(state_file, state)
        if isinstance(feed, VendorFeed):
            feed.close()

    url = str(engine.url.render_as_string(hide_password=False))
    announcer = Announcer(engine, announcements, partial(send_in_background, Path.cwd(), url), _now)
    return Assembly(loop, macro, announcer, clock, partial(_warm_up, parameters, keeper, macro, clock), close)


def _warm_up(parameters: Parameters, keeper: ModelKeeper, macro: MacroTask | None, clock: Clock) -> None:
    """Load the compiled code of a tick; on a market's clock its first simulation is not part of its time."""
    empty_stream(parameters).add_bar(clock.now(), 1.0, 1.0, 1.0)
    if (served := keeper.current()) is not None:
        served.policy.probabilities(np.zeros((1, len(FEATURE_ORDER))))
    if isinstance(clock, MarketClock):
        if macro is not None:
            macro.step(clock.now())
        clock.begin()


def _as_served(parameters: Parameters) -> Parameters:
    """Let real values count from when they were fetched."""
    if parameters.data_acquisition.source == "sample":
        return parameters
    return parameters.model_copy(update={"inference": InferenceParams(clock="wall")})


def check_history(env: str, first: date, last: date) -> ParityReport:
    """Compute again what was served in the sessions between two dates, from what was known at each bar.

    Raises
    ------
    ParameterError
        If no session is scheduled between the dates.
    """
    logging.captureWarnings(True)
    parameters = _as_served(load_parameters(env))
    return check_served(open_existing(database_url()), parameters, *_span(parameters, first, last))


def _span(parameters: Parameters, first: date, last: date) -> tuple[datetime, datetime]:
    """Find the opens of the first and the last bar of the sessions between two dates."""
    sessions = scheduled_sessions(first, last, parameters.calendar)
    if len(sessions) == 0:
        raise ParameterError(
            f"{first} to {last}: no session is scheduled between them; choose weekdays that are no "
            "holidays in Colombia"
        )
    ends = [session_bar_times(day, parameters.calendar) for day in (sessions[0], sessions[-1])]
    return ends[0][0].to_pydatetime(), ends[1][-1].to_pydatetime()


def replay_history(env: str, first: date, last: date, out: Path | None) -> str:
    """Run the loop over stored sessions into a parquet file; gives the line that says so.

    Raises
    ------
    DosVotosError
        If there is no production model, or no session between the dates.
    """
    logging.captureWarnings(True)
    parameters = load_parameters(env)
    engine, instrument = open_database(database_url()), parameters.experiment.instrument
    production = open_production(engine, instrument)
    if production is None:
        raise DosVotosError(f"{instrument} has no production model yet; approve a proposal first (make app)")
    check_dossier(engine, production)
    parameters, moment = _known_then(engine, production.bundle.config, parameters, last)
    span = _span(parameters, first, last)
    history = stored_history(
        parameters, *StoredMarket(engine, instrument, parameters.feed).tables, moment, last
    )
    rows = replay(parameters, history, served_by(production), *span)
    file = out or _OUTPUT / (parameters.run_name or env) / f"replay_{first}_{last}.parquet"
    write_file(file, rows.to_parquet())
    counts = rows["status"].value_counts()
    return (
        f"{len(rows):,} bars, {counts.get('SIGNAL', 0):,} signals of {production.row.model_id}; "
        f"target at the end {rows['target'].iloc[-1]:+.0f}; see {file}"
    )


class CalendarFiles:
    """The calendar's exceptions as the experiment's files have them now.

    Parameters
    ----------
    parameters : Parameters
    """

    def __init__(self, parameters: Parameters) -> None:
        self._calendar, self._env = parameters.calendar, parameters.experiment.name
        self._read_at = self._changed_at()

    def read(self) -> CalendarParams:
        """Read the calendar again if one of its files has changed since."""
        changed_at = self._changed_at()
        if changed_at != self._read_at:
            self._read_at = changed_at
            self._calendar = load_parameters(self._env).calendar
        return self._calendar

    def _changed_at(self) -> list[float]:
        files = [Path(name.format(env=self._env)) for name in _DATES_FILES]
        return [file.stat().st_mtime if file.exists() else 0.0 for file in files]


def configure_logging() -> None:
    """Log as ``kedro run`` does; warnings of libraries at their own level."""
    logging.captureWarnings(True)
    file = Path("conf/logging.yml")
    if file.is_file():
        logging.config.dictConfig(yaml.safe_load(file.read_text(encoding="utf-8")))


def _lock(name: str) -> FileLock:
    lock = exclusive_lock(f"{name}-inference")
    try:
        lock.acquire()
    except Timeout as error:
        raise RunLockedError(
            f"{name}: a loop or a tick is at work in another process; stop it first"
        ) from error
    return lock


def _clock(
    parameters: Parameters, stored: StoredMarket, schedule: BarSchedule, speed: float, stop: Event
) -> Clock:
    """The machine's clock, or the sample market's, which goes on where its rows end."""
    if parameters.data_acquisition.source != "sample":
        if speed != 1.0:
            raise ParameterError(
                f"--speed: {parameters.experiment.instrument} is a real market, which has one speed; "
                "leave --speed out"
            )
        return WallClock(stop)
    bars = stored.tables[0].state(datetime.max.replace(tzinfo=UTC))
    if bars is None:
        raise DataError("bars: none stored; run 'kedro run --pipelines data_acquisition' first")
    ends = [bars.last.to_pydatetime()]
    with reading(stored.engine) as connection:
        if (row := last_timestamp(connection, stored.instrument)) is not None:
            ends.append(row)
    return MarketClock(schedule.after(max(ends)).opened - BAR.to_pytimedelta() / 5, speed, stop)


def _sources(
    parameters: Parameters, stored: StoredMarket, schedule: BarSchedule, clock: Clock, alerts: Alerts
) -> tuple[Feed, MacroTask | None]:
    acquisition, variables = parameters.data_acquisition, parameters.macro_variables.variables
    if acquisition.source == "files":
        return StoredFeed(), None
    if acquisition.source == "sample":
        from dosvotos.live.sample_feed import SampleMacro, SampleVendor

        vendor = SampleVendor(parameters.sample_market, variables)
        feed = VendorFeed([vendor], parameters, stored, schedule, alerts)
        fetch = SampleMacro(vendor, parameters, stored).fetch
        return feed, MacroTask(stored.tables[1], variables, fetch, alerts)
    from dosvotos.live.providers import FolderBars, ProviderBars, ProviderMacro

    keys, settings = _keys(os.environ), acquisition.live
    if settings is None:
        raise DataError(
            "data_acquisition.live: needed with source 'live', found none; take the section back from "
            "conf/base/parameters"
        )
    count = ProviderCalls(stored.engine).take
    bars: list[BarSource] = [
        FolderBars(Path(str(source.path)), acquisition, stored.tables[0].taken_hashes)
        if source.provider == "folder"
        else ProviderBars(source, settings, keys.get(source.provider), count, clock.now)
        for source in settings.bars
    ]
    feed = VendorFeed(bars, parameters, stored, schedule, alerts)
    return feed, MacroTask(stored.tables[1], variables, ProviderMacro(parameters, stored, keys).fetch, alerts)


def _keys(environment: Mapping[str, str]) -> dict[str, str]:
    """The providers' keys that the environment holds, as conf/base/credentials.yml names them."""
    named = {"twelvedata": "TWELVEDATA_API_KEY", "fred": "FRED_API_KEY"}
    return {provider: key for provider, name in named.items() if (key := environment.get(name))}


def _now() -> datetime:
    return datetime.now(UTC)


def _bytes_of(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _known_then(
    engine: Engine, frozen: dict[str, Any], parameters: Parameters, last: date
) -> tuple[Parameters, datetime]:
    """The parameters and the moment by which the model's own contract sees history, up to its test's end."""
    contract = ContractRegistry(engine).of_hash(frozen["experiment"]["name"], digest_json(frozen))
    if contract is not None and last <= contract.test_end:
        return contract.parameters, contract.data_as_of
    return parameters, datetime.now(UTC)
