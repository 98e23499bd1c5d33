"""Bars and macro observations from public sources: each provider at its own pace, none in another's way.

One provider's failure is one variable's, never another's: its fallback is tried, and what went wrong is told.
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
from dosvotos.errors import SourceError
from dosvotos.market.calendar import closed_days_around, in_session, published_at
from dosvotos.sources.http import Client
from dosvotos.sources.providers import DROP_IN, bar_fetcher, drop_in_fetcher, series_fetcher
from dosvotos.sources.raw_market import BAR_COLUMNS, BARS, MACRO_COLUMNS, RawMarket
from dosvotos.sources.series import Series, SeriesRequest, plain

logger = logging.getLogger(__name__)

Advance = Callable[[str], None]
"""Told the name of each thing that was fetched, or failed."""


class Known(NamedTuple):
    """What is stored already."""

    last_bar: pd.Timestamp | None
    last_observation: Mapping[str, date]


@dataclass
class Outcome:
    """How the fetch of one variable, or of the bars, ended."""

    subject: str
    source: str | None = None
    """Providers that answered; None when all failed or none was due."""
    due: bool = True
    notes: list[str] = field(default_factory=list)
    """What went wrong on the way, or was left out."""


class LiveMarket(NamedTuple):
    """A live fetch."""

    market: RawMarket
    outcomes: list[Outcome]
    calls: dict[str, int]
    """Calls made, by web provider."""


class _Task(NamedTuple):
    variable: str
    source: SeriesSource
    request: SeriesRequest


def fetch_live(
    variables: Mapping[str, MacroVariable],
    settings: LiveParams,
    keys: Mapping[str, str],
    known: Known,
    as_of: pd.Timestamp,
    advance: Advance,
) -> LiveMarket:
    """Fetch what is not known yet, and again what may have been revised.

    Parameters
    ----------
    variables : mapping of MacroVariable by name
    settings : LiveParams
    keys : mapping of str
        Providers' keys by provider; those without one are absent.
    known : Known
        What is stored: each variable is asked from its last observation less the overlap.
    as_of : Timestamp, timezone-aware
        What counts as now: later observations and unfinished bars are left out.
    advance : callable
        Told about progress, from several threads.

    Returns
    -------
    LiveMarket
        Raw bars of scheduled sessions and raw observations in the variables' units, unchecked, and one
        outcome for the bars and for each variable.
    """
    outcomes = {name: Outcome(name) for name in (BARS, *variables)}
    for name, variable in variables.items():
        outcomes[name].due = _is_due(variable, known.last_observation.get(name), as_of)
    wanted = {name: v for name, v in variables.items() if outcomes[name].due}
    bars: dict[str, pd.DataFrame] = {}
    series: dict[str, pd.DataFrame] = {}
    with ExitStack() as stack:
        desk = _Desk(settings, keys, known, as_of, stack)
        bar_jobs = [_bar_job(desk, source, bars) for source in settings.bars]
        _run([*bar_jobs, *_series_jobs(desk, wanted, "primary", outcomes, series)], outcomes, advance)
        failed = {n: v for n, v in wanted.items() if n not in series and v.fallback is not None}
        _run(_series_jobs(desk, failed, "fallback", outcomes, series), outcomes, advance)
    macro = pd.concat([_no_observations(), *(series[name] for name in variables if name in series)])
    market = RawMarket(_merge_bars(settings, bars, outcomes[BARS]), macro.reset_index(drop=True))
    return LiveMarket(market, list(outcomes.values()), {n: c.calls for n, c in desk.clients.items()})


@dataclass
class _Desk:
    """The clients of one run, opened when first needed."""

    settings: LiveParams
    keys: Mapping[str, str]
    known: Known
    as_of: pd.Timestamp
    stack: ExitStack
    clients: dict[str, Client] = field(default_factory=dict)

    def client(self, name: WebProvider) -> Client:
        if name not in self.clients:
            provider = self.settings.providers.get(name)
            if provider is None or not provider.enabled:
                raise SourceError(
                    f"{name}: off, since its terms need your consent (docs/data.md); to agree, set "
                    f"data_acquisition.live.providers.{name}.enabled=true"
                )
            client = Client(name, self.settings, self.keys.get(name))
            self.clients[name] = self.stack.enter_context(client)
        return self.clients[name]

    def fetch(self, task: _Task) -> Series:
        name = task.source.provider
        if name in DROP_IN:
            return drop_in_fetcher(name)(task.request, Path(self.settings.drop_in_folder))
        web = cast(WebProvider, name)
        return series_fetcher(web)(task.request, self.client(web))

    def fetch_bars(self, source: BarSource) -> pd.DataFrame:
        start = pd.Timestamp(self.settings.start, tz="UTC")
        if self.known.last_bar is not None:
            start = self.known.last_bar - pd.Timedelta(days=self.settings.overlap_days.daily)
        client = self.client(source.provider)
        bars = bar_fetcher(source.provider)(source.symbol, start, self.as_of, client)
        return bars[list(BAR_COLUMNS)].assign(source=source.provider)


class _Job(NamedTuple):
    provider: Provider
    subject: str
    work: Callable[[], None]


def _run(jobs: Sequence[_Job], outcomes: Mapping[str, Outcome], advance: Advance) -> None:
    """One thread a provider; each works off its own jobs one after the other."""
    ordered = sorted(jobs, key=lambda job: job.provider)
    queues = [list(queue) for _, queue in groupby(ordered, key=lambda job: job.provider)]

    def work_off(queue: Sequence[_Job]) -> None:
        for job in queue:
            try:
                job.work()
            except SourceError as error:
                outcomes[job.subject].notes.append(str(error))
            except Exception as error:  # a defect in one provider's module must not lose another's data
                logger.exception("%s: defect while fetching %s", job.provider, job.subject)
                outcomes[job.subject].notes.append(f"{job.provider}: defect, {type(error).__name__}: {error}")
            advance(job.subject)

    with ThreadPoolExecutor(max(1, len(queues)), "provider") as pool:
        for done in [pool.submit(work_off, queue) for queue in queues]:
            done.result()


def _bar_job(desk: _Desk, source: BarSource, bars: dict[str, pd.DataFrame]) -> _Job:
    def work() -> None:
        bars[source.provider] = desk.fetch_bars(source)

    return _Job(source.provider, BARS, work)


def _merge_bars(settings: LiveParams, bars: Mapping[str, pd.DataFrame], outcome: Outcome) -> pd.DataFrame:
    """Bars of scheduled sessions from all sources that answered; the source named first wins a bar."""
    answered = [source.provider for source in settings.bars if source.provider in bars]
    outcome.source = ", ".join(answered) or None
    merged = pd.concat([_no_bars(), *(bars[name] for name in answered)])
    merged = merged.drop_duplicates("timestamp").sort_values("timestamp", ignore_index=True)
    inside = in_session(pd.DatetimeIndex(merged["timestamp"]))
    if outside := int((~inside).sum()):
        outcome.notes.append(f"{outside:,} bars outside sessions left out")
    return merged[inside].reset_index(drop=True)


def _series_jobs(
    desk: _Desk,
    variables: Mapping[str, MacroVariable],
    which: Literal["primary", "fallback"],
    outcomes: Mapping[str, Outcome],
    series: dict[str, pd.DataFrame],
) -> list[_Job]:
    return [
        _series_job(desk, task, variables[task.variable], outcomes[task.variable], series)
        for task in _tasks(desk, variables, which)
    ]


def _series_job(
    desk: _Desk, task: _Task, variable: MacroVariable, outcome: Outcome, series: dict[str, pd.DataFrame]
) -> _Job:
    def work() -> None:
        series[task.variable] = _accept(task, variable, desk.fetch(task), desk.as_of, outcome)
        outcome.source = task.source.provider

    return _Job(task.source.provider, task.variable, work)


def _tasks(desk: _Desk, variables: Mapping[str, MacroVariable], which: str) -> list[_Task]:
    chosen: dict[str, SeriesSource] = {name: getattr(v, which) for name, v in variables.items()}
    siblings: dict[Provider, list[str]] = {}
    for source in chosen.values():
        siblings.setdefault(source.provider, []).append(source.series)
    last, settings = desk.known.last_observation, desk.settings
    return [
        _Task(
            name,
            source,
            SeriesRequest(
                series=source.series,
                frequency=variables[name].frequency,
                start=_range_start(last.get(name), variables[name].frequency, settings),
                end=_today(variables[name], desk.as_of),
                siblings=tuple(dict.fromkeys(siblings[source.provider])),
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
    """Whether a next observation should be out, or the source may have revised an old one."""
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


def _accept(
    task: _Task, variable: MacroVariable, answer: Series, as_of: pd.Timestamp, outcome: Outcome
) -> pd.DataFrame:
    """An answer in the variable's unit, without what cannot be known yet.

    Raises
    ------
    SourceError
        If the provider does not state the words it must.
    """
    source, stated = task.source, plain(answer.states)
    if missing := [word for word in source.states if plain(word) not in stated]:
        raise SourceError(
            f"{source.provider} {source.series}: must state {missing}, but states {answer.states!r}; is the "
            f"series id of {task.variable} still right?"
        )
    frame = answer.observations
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
