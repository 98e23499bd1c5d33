"""``dosvotos live --report``: of each session's bars, how many had a signal, and why the others had none."""

import logging
from collections import Counter
from datetime import datetime, timedelta

from rich.markup import escape
from sqlalchemy import Engine

from dosvotos.config_loader import load_parameters
from dosvotos.console import open_console, plain_table
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.connection import reading
from dosvotos.database.signals import first_timestamp, signals_between
from dosvotos.formats import Formats
from dosvotos.live.service import ServiceDay, service_days
from dosvotos.live.signals import SignalTable
from dosvotos.market.calendar import BAR, scheduled_sessions, session_bar_times


def report_service(engine: Engine, env: str, sessions: int, now: datetime) -> None:
    """Print the service level of an experiment's instrument."""
    logging.captureWarnings(True)
    print_service(read_service(engine, load_parameters(env), sessions, now))


def print_service(days: list[ServiceDay]) -> None:
    """Print one row a session and one for all."""
    write = Formats("en")
    table = plain_table("session", "scheduled", "signals", "level", "without a signal")
    reasons: Counter[str] = Counter()
    for day in days:
        reasons.update(day.reasons)
    scheduled, signals = sum(day.scheduled for day in days), sum(day.signals for day in days)
    everything = ServiceDay(days[-1].day, scheduled, signals, dict(reasons.most_common()))
    for name, day in [*((str(day.day), day) for day in days), ("all", everything)]:
        found = ", ".join(f"{code} {n:,}" for code, n in day.reasons.items())
        figures = (f"{day.scheduled:,}", f"{day.signals:,}", write.percent(day.level, 1))
        table.add_row(name, *figures, escape(found))
    open_console().print(table)


def read_service(engine: Engine, parameters: Parameters, sessions: int, now: datetime) -> list[ServiceDay]:
    """Count the last sessions' bars, signals and reasons from the first row on, oldest session first.

    A session counts from its first bar's close on. A sample market ends with its last row.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
        Whose instrument and calendar count.
    sessions : int
    now : datetime, timezone-aware
    """
    instrument, calendar = parameters.experiment.instrument, parameters.calendar
    newest = SignalTable(engine, instrument).newest()
    if parameters.data_acquisition.source == "sample" and newest is not None and newest.valid_until:
        now = newest.valid_until
    last = now.date()
    behind = timedelta(days=2 * sessions + 20)
    scheduled = scheduled_sessions(last - behind, last, calendar)
    begun = [day for day in scheduled if session_bar_times(day, calendar)[0] + BAR < now]
    days = begun[-sessions:]
    ends = [session_bar_times(day, calendar) for day in (days[0], days[-1])]
    since, until = ends[0][0].to_pydatetime(), ends[1][-1].to_pydatetime()
    with reading(engine) as connection:
        since = max(since, first_timestamp(connection, instrument) or since)
        rows = signals_between(connection, instrument, since, until)
    return service_days(rows, calendar, since, days[-1].item(), now)
