"""Fetch bars and macro observations from public providers, each in its own thread and within its rate limits.

A failure concerns its own variable only: the fallback is tried, and the outcome's notes say what went wrong.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple, cast

import pandas as pd

from dosvotos.contracts.acquisition import (
    BarProvider,
    BarSource,
    Frequency,
    LiveParams,
    MacroVariable,
    Provider,
    SeriesSource,
    WebProvider,
)
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.contracts.records import FetchOutcome, FileRecord
from dosvotos.errors import RefusedBarsError, SourceError
from dosvotos.market.calendar import REGULAR, in_session, published_at
from dosvotos.quality.findings import BARS, no_findings
from dosvotos.quality.releases import next_release
from dosvotos.sources.folder_feed import FILE, FolderReader, read_new_files
from dosvotos.sources.http import CountCall, ProviderClient
from dosvotos.sources.providers import DROP_IN, provider_module
from dosvotos.sources.providers.parsing import normalize_text
from dosvotos.sources.raw_market import BAR_COLUMNS, MACRO_COLUMNS, RawMarket
from dosvotos.sources.series import FetchedSeries, SeriesRequest
from dosvotos.timestamps.resolve import resolve_bars

logger = logging.getLogger(__name__)

Advance = Callable[[str], None]
"""Called with the name of each variable, or `BARS`, that was fetched or failed."""


class Watermarks(NamedTuple):
    """How far the stored data reach; None or no entry where nothing is stored."""

    last_bar: pd.Timestamp | None
    last_observation: Mapping[str, date]
    """By variable."""


class FetchOptions(NamedTuple):
    """What a fetch may use beside the web."""

    folder: FolderReader | None = None
    """Reads the files of a source ``folder``."""
    count_call: CountCall | None = None
    """Counts calls for all processes together."""
    with_bars: bool = True
    """False fetches the variables alone."""


class LiveMarket(NamedTuple):
    """A live fetch: the data, how each variable and the bars came, and the cost."""

    market: RawMarket
    outcomes: list[FetchOutcome]
    calls: dict[str, int]
    """Calls made, by web provider."""
    files: tuple[FileRecord, ...] = ()
    """Files of a desk's own feed that were taken."""


def fetch_live(
    variables: Mapping[str, MacroVariable],
    settings: LiveParams,
    keys: Mapping[str, str],
    stored: Watermarks,
    as_of: pd.Timestamp,
    advance: Advance,
    calendar: CalendarParams = REGULAR,
    how: FetchOptions | None = None,
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
    calendar : CalendarParams
    how : FetchOptions, optional

    Returns
    -------
    LiveMarket
        Bars of scheduled sessions and observations in the variables' units, unchecked, and one outcome for
        the bars and for each variable.
    """
    outcomes = {name: _Outcome() for name in (BARS, *variables)}
    for name, variable in variables.items():
        outcomes[name].due = _is_due(variable, stored.last_observation.get(name), as_of)
    due = [name for name in variables if outcomes[name].due]
    how = how or FetchOptions()
    with ExitStack() as stack:
        run = _LiveRun(variables, settings, keys, stored, as_of, stack, outcomes, how.folder, how.count_call)
        bar_sources = settings.bars if how.with_bars else ()
        bar_jobs = [_Job(source.provider, BARS, partial(run.fetch_bars, source)) for source in bar_sources]
        _run_jobs([*bar_jobs, *run.series_jobs(due, "primary")], outcomes, advance)
        failed = [name for name in due if name not in run.series and variables[name].fallback is not None]
        _run_jobs(run.series_jobs(failed, "fallback"), outcomes, advance)
    macro = pd.concat([_no_observations(), *(run.series[name] for name in variables if name in run.series)])
    bars = _merge_bars(settings, run.bars, outcomes[BARS], calendar)
    market = RawMarket(bars, macro.reset_index(drop=True), run.unreadable)
    ended = [outcome.to_record(subject) for subject, outcome in outcomes.items()]
    calls = {name: client.calls for name, client in run.clients.items()}
    return LiveMarket(market, ended, calls, run.files)


@dataclass
class _Outcome:
    """A `FetchOutcome` in the making."""

    source: str | None = None
    due: bool = True
    notes: list[str] = field(default_factory=list)

    def to_record(self, subject: str) -> FetchOutcome:
        return FetchOutcome(subject=subject, source=self.source, due=self.due, notes=tuple(self.notes))


class _Job(NamedTuple):
    """One fetch from a provider, which stores its own result."""

    provider: Provider | BarProvider
    subject: str
    fetch: Callable[[], None]


@dataclass
class _LiveRun:
    """What the jobs of one run share: clients, each opened when first needed, and what they have fetched."""

    variables: Mapping[str, MacroVariable]
    settings: LiveParams
    keys: Mapping[str, str]
    stored: Watermarks
    as_of: pd.Timestamp
    stack: ExitStack
    outcomes: Mapping[str, _Outcome]
    folder: FolderReader | None = None
    count_call: CountCall | None = None
    files: tuple[FileRecord, ...] = ()
    unreadable: pd.DataFrame = field(default_factory=no_findings)
    clients: dict[str, ProviderClient] = field(default_factory=dict)
    bars: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By provider."""
    series: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By variable."""

    def client(self, name: WebProvider) -> ProviderClient:
        if name not in self.clients:
            provider = self.settings.providers.get(name)
            if provider is None or not provider.enabled:
                raise SourceError(
                    f"{name}: off, since its terms need your consent (docs/data.md); to agree, set "
                    f"data_acquisition.live.providers.{name}.enabled=true"
                )
            client = ProviderClient(name, self.settings, self.keys.get(name), self.count_call)
            self.clients[name] = self.stack.enter_context(client)
        return self.clients[name]

    def fetch_bars(self, source: BarSource) -> None:
        if source.provider == "folder":
            self._read_folder(Path(str(source.path)))
            return
        start = pd.Timestamp(self.settings.start, tz="UTC")
        if self.stored.last_bar is not None:
            start = self.stored.last_bar - pd.Timedelta(days=self.settings.overlap_days.daily)
        client = self.client(cast(WebProvider, source.provider))
        bars = provider_module(source.provider).fetch_bars(source.symbol, start, self.as_of, client)
        subject = f"{source.provider} {source.symbol}"
        try:
            resolved = resolve_bars(bars[list(BAR_COLUMNS)], None, None, "open", None, subject)
        except RefusedBarsError as error:
            raise SourceError(f"{error.found}; leave it out of data_acquisition.live.bars") from error
        self.bars[source.provider] = resolved.bars.assign(source=source.provider)

    def _read_folder(self, path: Path) -> None:
        if self.folder is None:
            raise SourceError("folder: nothing reads its files here")
        new = read_new_files(path, self.folder)
        self.bars["folder"] = new.bars.assign(source="folder")
        self.files, self.unreadable = new.files, new.unreadable
        self.outcomes[BARS].notes.extend(new.notes)

    def series_jobs(self, names: Sequence[str], which: Literal["primary", "fallback"]) -> list[_Job]:
        """One job for each of these variables, from its primary source or from its fallback."""
        sources: dict[str, SeriesSource] = {name: getattr(self.variables[name], which) for name in names}
        batches: dict[Provider, dict[str, None]] = {}
        for source in sources.values():
            batches.setdefault(source.provider, {})[source.series] = None
        return [
            _Job(s.provider, name, partial(self._fetch_series, name, s, tuple(batches[s.provider])))
            for name, s in sources.items()
        ]

    def _fetch_series(self, name: str, source: SeriesSource, batch: tuple[str, ...]) -> None:
        variable, provider = self.variables[name], source.provider
        start = _range_start(self.stored.last_observation.get(name), variable.frequency, self.settings)
        end = self.as_of.tz_convert(variable.publication.zone).date()
        request = SeriesRequest(source.series, variable.frequency, start, end, batch)
        is_web = provider not in DROP_IN
        origin = self.client(cast(WebProvider, provider)) if is_web else Path(self.settings.drop_in_folder)
        fetched: FetchedSeries = provider_module(provider).fetch(request, origin)
        _check_description(name, source, fetched)
        known = fetched.observations[_is_known(fetched.observations, variable, provider, end, self.as_of)]
        if ahead := len(fetched.observations) - len(known):
            self.outcomes[name].notes.append(f"{ahead} observation(s) ahead of their time left out")
        self.series[name] = pd.DataFrame(
            {
                "variable": name,
                "observation_date": known["observation_date"],
                "value": known["value"] * source.scale,
                "vintage": known.get("vintage", "current" if variable.revised else "unrevised"),
                "source": provider,
            }
        )
        self.outcomes[name].source = provider


def _run_jobs(jobs: Sequence[_Job], outcomes: Mapping[str, _Outcome], advance: Advance) -> None:
    """Run each provider's jobs one after the other, in a thread of its own; a failure becomes a note."""
    ordered = sorted(jobs, key=lambda job: job.provider)
    queues = [list(queue) for _, queue in groupby(ordered, key=lambda job: job.provider)]

    def run_queue(queue: Sequence[_Job]) -> None:
        for job in queue:
            try:
                job.fetch()
            except SourceError as error:
                outcomes[job.subject].notes.append(str(error))
            except Exception as error:  # a defect in one provider's module must not lose another's data
                logger.exception("%s: defect while fetching %s", job.provider, job.subject)
                outcomes[job.subject].notes.append(f"{job.provider}: defect, {type(error).__name__}: {error}")
            advance(job.subject)

    with ThreadPoolExecutor(max(1, len(queues)), "provider") as pool:
        for done in [pool.submit(run_queue, queue) for queue in queues]:
            done.result()


def _merge_bars(
    settings: LiveParams, bars: Mapping[str, pd.DataFrame], outcome: _Outcome, calendar: CalendarParams
) -> pd.DataFrame:
    """Merge the bars of scheduled sessions; where two sources have a bar, the one configured first wins."""
    answered = [source.provider for source in settings.bars if source.provider in bars]
    outcome.source = ", ".join(answered) or None
    merged = pd.concat([_no_bars(), *(bars[name] for name in answered if len(bars[name]))])
    if FILE in merged:
        merged[FILE] = merged[FILE].fillna("")
    merged = merged.drop_duplicates("timestamp").sort_values("timestamp", ignore_index=True)
    inside = in_session(pd.DatetimeIndex(merged["timestamp"]), calendar)
    if outside := int((~inside).sum()):
        outcome.notes.append(f"{outside:,} bars outside sessions left out")
    return merged[inside].reset_index(drop=True)


def _range_start(last: date | None, frequency: Frequency, settings: LiveParams) -> date:
    if last is None:
        return settings.start
    return max(settings.start, last - timedelta(days=getattr(settings.overlap_days, frequency)))


def _is_due(variable: MacroVariable, last: date | None, as_of: pd.Timestamp) -> bool:
    """Whether the next observation should be published by now, or the source may have revised an old one."""
    if last is None or variable.revised:
        return True
    return bool(next_release(last, variable) <= as_of)


def _check_description(name: str, source: SeriesSource, fetched: FetchedSeries) -> None:
    """Raise SourceError if the provider's description lacks one of the words in ``states``."""
    stated = normalize_text(fetched.description)
    if missing := [word for word in source.states if normalize_text(word) not in stated]:
        raise SourceError(
            f"{source.provider} {source.series}: must state {missing}, but states "
            f"{fetched.description!r}; is the series id of {name} still right?"
        )


def _is_known(
    observations: pd.DataFrame, variable: MacroVariable, provider: Provider, today: date, as_of: pd.Timestamp
) -> pd.Series:
    """Whether each observation is dated `today` or before and, if daily, was published by `as_of`."""
    known = observations["observation_date"] <= today
    if variable.frequency == "daily":
        days = list(observations["observation_date"])
        known &= published_at(days, variable.rule_of(provider)) <= as_of
    return known


def _no_observations() -> pd.DataFrame:
    columns = [*MACRO_COLUMNS, "vintage", "source"]
    return pd.DataFrame(columns=columns, dtype=object).astype({"value": float})


def _no_bars() -> pd.DataFrame:
    frame = pd.DataFrame(dict.fromkeys(BAR_COLUMNS, pd.Series(dtype=float)))
    return frame.assign(timestamp=pd.Series(dtype="datetime64[us, UTC]"), source=pd.Series(dtype=object))
