"""Fetch bars and macro observations from public providers, each in its own thread and within its rate limits.

A failure concerns its own variable only: the fallback is tried, and the outcome's notes say what went wrong.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import (
    BarSource,
    Frequency,
    LiveParams,
    MacroVariable,
    Provider,
    PublicationRule,
    SeriesSource,
    WebProvider,
)
from dosvotos.contracts.records import FetchOutcome
from dosvotos.errors import SourceError
from dosvotos.market.calendar import closed_days_around, in_session, published_at
from dosvotos.sources.http import ProviderClient
from dosvotos.sources.providers import DROP_IN, bar_fetcher, drop_in_fetcher, series_fetcher
from dosvotos.sources.providers.parsing import normalize_text
from dosvotos.sources.raw_market import BAR_COLUMNS, BARS, MACRO_COLUMNS, RawMarket
from dosvotos.sources.series import FetchedSeries, SeriesRequest

logger = logging.getLogger(__name__)

Advance = Callable[[str], None]
"""Called with the name of each variable, or `BARS`, that was fetched or failed."""


class Watermarks(NamedTuple):
    """How far the stored data reach; None or no entry where nothing is stored."""

    last_bar: pd.Timestamp | None
    last_observation: Mapping[str, date]
    """By variable."""


class LiveMarket(NamedTuple):
    """A live fetch: the data, how each variable and the bars came, and the cost."""

    market: RawMarket
    outcomes: list[FetchOutcome]
    calls: dict[str, int]
    """Calls made, by web provider."""


def fetch_live(
    variables: Mapping[str, MacroVariable],
    settings: LiveParams,
    keys: Mapping[str, str],
    stored: Watermarks,
    as_of: pd.Timestamp,
    advance: Advance,
) -> LiveMarket:
    """Fetch what is not stored yet, and again what may have been revised.

    Parameters
    ----------
    variables : mapping of MacroVariable by name
    settings : LiveParams
    keys : mapping of str
        Keys by provider; providers without one are absent.
    stored : Watermarks
        Each variable is asked from its last stored observation less the overlap.
    as_of : Timestamp, timezone-aware
        What counts as now: later observations and unfinished bars are left out.
    advance : callable
        Reports progress; called from several threads.

    Returns
    -------
    LiveMarket
        Bars of scheduled sessions and observations in the variables' units, unchecked, and one outcome for
        the bars and for each variable.
    """
    outcomes = {name: _Outcome() for name in (BARS, *variables)}
    for name, variable in variables.items():
        outcomes[name].due = _is_due(variable, stored.last_observation.get(name), as_of)
    due = {name: v for name, v in variables.items() if outcomes[name].due}
    bars: dict[str, pd.DataFrame] = {}
    series: dict[str, pd.DataFrame] = {}
    with ExitStack() as stack:
        session = _FetchSession(settings, keys, stored, as_of, stack)
        bar_jobs = [_bar_job(session, source, bars) for source in settings.bars]
        _run_jobs([*bar_jobs, *_series_jobs(session, due, "primary", outcomes, series)], outcomes, advance)
        failed = {n: v for n, v in due.items() if n not in series and v.fallback is not None}
        _run_jobs(_series_jobs(session, failed, "fallback", outcomes, series), outcomes, advance)
    macro = pd.concat([_no_observations(), *(series[name] for name in variables if name in series)])
    market = RawMarket(_merge_bars(settings, bars, outcomes[BARS]), macro.reset_index(drop=True))
    ended = [outcome.to_record(subject) for subject, outcome in outcomes.items()]
    return LiveMarket(market, ended, {n: c.calls for n, c in session.clients.items()})


@dataclass
class _Outcome:
    """A `FetchOutcome` in the making."""

    source: str | None = None
    due: bool = True
    notes: list[str] = field(default_factory=list)

    def to_record(self, subject: str) -> FetchOutcome:
        return FetchOutcome(subject=subject, source=self.source, due=self.due, notes=tuple(self.notes))


class _SeriesTask(NamedTuple):
    variable: str
    source: SeriesSource
    request: SeriesRequest


class _Job(NamedTuple):
    """One fetch of a provider, which stores its own result."""

    provider: Provider
    subject: str
    run: Callable[[], None]


@dataclass
class _FetchSession:
    """The clients of one run, each opened when first needed and closed by `stack`."""

    settings: LiveParams
    keys: Mapping[str, str]
    stored: Watermarks
    as_of: pd.Timestamp
    stack: ExitStack
    clients: dict[str, ProviderClient] = field(default_factory=dict)

    def client(self, name: WebProvider) -> ProviderClient:
        if name not in self.clients:
            provider = self.settings.providers.get(name)
            if provider is None or not provider.enabled:
                raise SourceError(
                    f"{name}: off, since its terms need your consent (docs/data.md); to agree, set "
                    f"data_acquisition.live.providers.{name}.enabled=true"
                )
            client = ProviderClient(name, self.settings, self.keys.get(name))
            self.clients[name] = self.stack.enter_context(client)
        return self.clients[name]

    def fetch(self, task: _SeriesTask) -> FetchedSeries:
        name = task.source.provider
        if name in DROP_IN:
            return drop_in_fetcher(name)(task.request, Path(self.settings.drop_in_folder))
        web = cast(WebProvider, name)
        return series_fetcher(web)(task.request, self.client(web))

    def fetch_bars(self, source: BarSource) -> pd.DataFrame:
        start = pd.Timestamp(self.settings.start, tz="UTC")
        if self.stored.last_bar is not None:
            start = self.stored.last_bar - pd.Timedelta(days=self.settings.overlap_days.daily)
        client = self.client(source.provider)
        bars = bar_fetcher(source.provider)(source.symbol, start, self.as_of, client)
        return bars[list(BAR_COLUMNS)].assign(source=source.provider)


def _run_jobs(jobs: Sequence[_Job], outcomes: Mapping[str, _Outcome], advance: Advance) -> None:
    """Run each provider's jobs one after the other, in a thread of its own; a failure becomes a note."""
    ordered = sorted(jobs, key=lambda job: job.provider)
    queues = [list(queue) for _, queue in groupby(ordered, key=lambda job: job.provider)]

    def run_queue(queue: Sequence[_Job]) -> None:
        for job in queue:
            try:
                job.run()
            except SourceError as error:
                outcomes[job.subject].notes.append(str(error))
            except Exception as error:  # a defect in one provider's module must not lose another's data
                logger.exception("%s: defect while fetching %s", job.provider, job.subject)
                outcomes[job.subject].notes.append(f"{job.provider}: defect, {type(error).__name__}: {error}")
            advance(job.subject)

    with ThreadPoolExecutor(max(1, len(queues)), "provider") as pool:
        for done in [pool.submit(run_queue, queue) for queue in queues]:
            done.result()


def _bar_job(session: _FetchSession, source: BarSource, bars: dict[str, pd.DataFrame]) -> _Job:
    def run() -> None:
        bars[source.provider] = session.fetch_bars(source)

    return _Job(source.provider, BARS, run)


def _merge_bars(settings: LiveParams, bars: Mapping[str, pd.DataFrame], outcome: _Outcome) -> pd.DataFrame:
    """Merge the bars of scheduled sessions; where two sources have a bar, the one configured first wins."""
    answered = [source.provider for source in settings.bars if source.provider in bars]
    outcome.source = ", ".join(answered) or None
    merged = pd.concat([_no_bars(), *(bars[name] for name in answered)])
    merged = merged.drop_duplicates("timestamp").sort_values("timestamp", ignore_index=True)
    inside = in_session(pd.DatetimeIndex(merged["timestamp"]))
    if outside := int((~inside).sum()):
        outcome.notes.append(f"{outside:,} bars outside sessions left out")
    return merged[inside].reset_index(drop=True)


def _series_jobs(
    session: _FetchSession,
    variables: Mapping[str, MacroVariable],
    which: Literal["primary", "fallback"],
    outcomes: Mapping[str, _Outcome],
    series: dict[str, pd.DataFrame],
) -> list[_Job]:
    return [
        _series_job(session, task, variables[task.variable], outcomes[task.variable], series)
        for task in _tasks(session, variables, which)
    ]


def _series_job(
    session: _FetchSession,
    task: _SeriesTask,
    variable: MacroVariable,
    outcome: _Outcome,
    series: dict[str, pd.DataFrame],
) -> _Job:
    def run() -> None:
        series[task.variable] = _to_observations(task, variable, session.fetch(task), session.as_of, outcome)
        outcome.source = task.source.provider

    return _Job(task.source.provider, task.variable, run)


def _tasks(session: _FetchSession, variables: Mapping[str, MacroVariable], which: str) -> list[_SeriesTask]:
    chosen: dict[str, SeriesSource] = {name: getattr(v, which) for name, v in variables.items()}
    batch: dict[Provider, list[str]] = {}
    for source in chosen.values():
        batch.setdefault(source.provider, []).append(source.series)
    last, settings = session.stored.last_observation, session.settings
    return [
        _SeriesTask(
            name,
            source,
            SeriesRequest(
                series=source.series,
                frequency=variables[name].frequency,
                start=_range_start(last.get(name), variables[name].frequency, settings),
                end=_today(variables[name], session.as_of),
                batch=tuple(dict.fromkeys(batch[source.provider])),
            ),
        )
        for name, source in chosen.items()
    ]


def _range_start(last: date | None, frequency: Frequency, settings: LiveParams) -> date:
    if last is None:
        return settings.start
    return max(settings.start, last - timedelta(days=getattr(settings.overlap_days, frequency)))


def _today(variable: MacroVariable, as_of: pd.Timestamp) -> date:
    local: date = as_of.tz_convert(variable.publication.zone).date()
    return local


def _is_due(variable: MacroVariable, last: date | None, as_of: pd.Timestamp) -> bool:
    """Whether the next observation should be published by now, or the source may have revised an old one."""
    if last is None or variable.revised:
        return True
    rule = variable.publication
    return bool(published_at([_next_observation(last, variable.frequency, rule)], rule)[0] <= as_of)


def _next_observation(last: date, frequency: Frequency, rule: PublicationRule) -> date:
    day = np.datetime64(last, "D")
    if frequency == "daily":
        closed = closed_days_around(np.array([day]), rule.zone)
        following = np.busday_offset(day, 1, roll="backward", holidays=closed)
    else:
        months = {"monthly": 1, "quarterly": 3}[frequency]
        following = (day.astype("datetime64[M]") + months).astype("datetime64[D]")
    found: date = following.astype(object)
    return found


def _to_observations(
    task: _SeriesTask, variable: MacroVariable, fetched: FetchedSeries, as_of: pd.Timestamp, outcome: _Outcome
) -> pd.DataFrame:
    """Convert an answer to observations in the variable's unit, without those not yet published.

    Raises
    ------
    SourceError
        If the provider's description lacks one of the words in ``states``.
    """
    source, stated = task.source, normalize_text(fetched.description)
    if missing := [word for word in source.states if normalize_text(word) not in stated]:
        raise SourceError(
            f"{source.provider} {source.series}: must state {missing}, but states "
            f"{fetched.description!r}; is the series id of {task.variable} still right?"
        )
    frame = fetched.observations
    ahead = frame["observation_date"] > task.request.end
    if variable.frequency == "daily":
        days = list(frame["observation_date"])
        ahead |= published_at(days, variable.rule_of(source.provider)) > as_of
    if ahead.any():
        outcome.notes.append(f"{int(ahead.sum())} observation(s) ahead of their time left out")
    kept = frame[~ahead]
    undated = "current" if variable.revised else "unrevised"
    return pd.DataFrame(
        {
            "variable": task.variable,
            "observation_date": kept["observation_date"],
            "value": kept["value"] * source.scale,
            "vintage": kept.get("vintage", undated),
            "source": source.provider,
        }
    )


def _no_observations() -> pd.DataFrame:
    columns: dict[str, Any] = dict.fromkeys([*MACRO_COLUMNS, "vintage", "source"], pd.Series(dtype=object))
    return pd.DataFrame(columns).astype({"value": float})


def _no_bars() -> pd.DataFrame:
    frame = pd.DataFrame(dict.fromkeys(BAR_COLUMNS, pd.Series(dtype=float)))
    return frame.assign(timestamp=pd.Series(dtype="datetime64[us, UTC]"), source=pd.Series(dtype=object))
