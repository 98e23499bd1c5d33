"""Nodes of L0."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import SecretStr
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dosvotos.contracts.acquisition import DataAcquisitionParams, MacroVariable, MacroVariablesParams
from dosvotos.contracts.parameters import CalendarParams, Parameters
from dosvotos.contracts.records import (
    AcquisitionRecord,
    BarState,
    FetchOutcome,
    FetchRecord,
    FileRecord,
    FindingCount,
    InjectedDefects,
    SeriesState,
)
from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.database.deliveries import BEFORE_DELIVERIES, Delivery
from dosvotos.database.market_data import BarTable, MacroTables, StoredMarket, prefer_dated
from dosvotos.database.provider_calls import ProviderCalls
from dosvotos.database.quarantine import QuarantineTable
from dosvotos.errors import DataError
from dosvotos.hashing import combine, digest_frame
from dosvotos.market.calendar import REGULAR, last_ended_session, session_dates
from dosvotos.quality.changes import bar_changes, changes_found, macro_changes, refuse_rewrites
from dosvotos.quality.findings import BARS, require_columns, require_zone
from dosvotos.quality.freshness import known_values
from dosvotos.quality.references import STORED_DAYS
from dosvotos.simulation.hazards import MarketWithDefects, inject_hazards
from dosvotos.simulation.market import simulate_market
from dosvotos.sources.checks import check_market, require_content
from dosvotos.sources.files import read_bars_file, read_folder
from dosvotos.sources.raw_market import BAR_COLUMNS, RawMarket
from dosvotos.timestamps.resolve import resolve_bars

if TYPE_CHECKING:
    from dosvotos.sources.live import LiveMarket

logger = logging.getLogger(__name__)

Batch = tuple[pd.DataFrame, pd.Timestamp, int | pd.Series]


def fetch_market(
    acquisition: DataAcquisitionParams,
    sample: SampleMarketParams,
    macro: MacroVariablesParams,
    stored: StoredMarket,
    keys: dict[str, SecretStr],
    calendar: CalendarParams = REGULAR,
) -> tuple[pd.DataFrame, pd.DataFrame, FetchRecord, pd.DataFrame]:
    """Fetch bars and macro observations up to ``as_of``, and findings about rows that could not be read."""
    injected: tuple[InjectedDefects, ...] = ()
    files: tuple[FileRecord, ...] = ()
    if acquisition.source == "live":
        live = _fetch_live(acquisition, macro, stored, keys, calendar)
        raw, outcomes, files = live.market, live.outcomes, live.files
    elif acquisition.source == "files":
        raw = read_folder(
            _folder(acquisition),
            acquisition.timezone,
            acquisition.mixed_timezone,
            acquisition.bar_labels,
            acquisition.resample,
            macro.variables,
        )
        outcomes = _all_from("files", macro)
    else:
        market = simulate_market(sample, macro.variables, pd.Timestamp(acquisition.as_of))
        delivery = inject_hazards(market.bars, market.macro, sample.hazards, sample.seed)
        bars, _ = resolve_bars(
            delivery.bars, None, None, acquisition.bar_labels, acquisition.resample, "sample bars"
        )
        raw = RawMarket(
            bars.assign(source="sample"), delivery.macro.assign(vintage="simulated", source="sample")
        )
        outcomes = _all_from("sample", macro)
        injected = _count_injected(delivery)
    fetched = FetchRecord(
        source=acquisition.source,
        feed=stored.feed,
        fetched_at=acquisition.as_of,
        source_hash=combine([digest_frame(raw.bars), digest_frame(raw.macro)]),
        outcomes=tuple(outcomes),
        origin=raw.origin,
        macro_origin=raw.macro_origin,
        injected=injected,
        files=files,
    )
    return raw.bars, raw.macro, fetched, raw.unreadable


def _fetch_live(
    acquisition: DataAcquisitionParams,
    macro: MacroVariablesParams,
    stored: StoredMarket,
    keys: dict[str, SecretStr],
    calendar: CalendarParams,
) -> "LiveMarket":
    from dosvotos.sources.folder_feed import FolderReader
    from dosvotos.sources.live import FetchOptions, Watermarks, fetch_live

    if acquisition.live is None:
        raise DataError(
            "data_acquisition.live: needed with source 'live', found none; take the section back from "
            "conf/base/parameters"
        )
    now = acquisition.as_of
    bar_table, macro_tables = stored.tables
    bars, series = bar_table.state(now), macro_tables.state(now)
    marks = Watermarks(bars and bars.last, {name: state.last_observation for name, state in series.items()})
    plain_keys = {name: key.get_secret_value() for name, key in keys.items()}
    zone, mixed = acquisition.timezone, acquisition.mixed_timezone
    read = partial(
        read_bars_file,
        timezone=zone,
        mixed=mixed,
        bar_labels=acquisition.bar_labels,
        resample=acquisition.resample,
    )
    folder = FolderReader(read, bar_table.taken_hashes())
    with _progress_bar(len(macro.variables)) as advance:
        asked = macro.variables, acquisition.live, plain_keys, marks, pd.Timestamp(now), advance, calendar
        return fetch_live(*asked, FetchOptions(folder, ProviderCalls(stored.engine).take))


def _count_injected(delivery: MarketWithDefects) -> tuple[InjectedDefects, ...]:
    """Count the defects put in by kind, and log them: nobody mistakes them for the market's own."""
    rows: dict[str, list[int]] = {}
    for defect in delivery.defects:
        rows.setdefault(defect.hazard, []).append(defect.rows)
    for hazard, own in rows.items():
        size = f"{len(own)} event(s), {sum(own)} row(s)"
        logger.info("L0 sample market: %s put in on purpose, %s", hazard, size)
    return tuple(InjectedDefects(hazard=name, events=len(own), rows=sum(own)) for name, own in rows.items())


def _all_from(source: str, macro: MacroVariablesParams) -> list[FetchOutcome]:
    return [FetchOutcome(subject=name, source=source) for name in (BARS, *macro.variables)]


def _folder(acquisition: DataAcquisitionParams) -> Path:
    if acquisition.folder is None:
        raise DataError(
            "data_acquisition.folder: needed with source 'files'; add --params data_acquisition.folder=PATH"
        )
    return Path(acquisition.folder)


def judge_market(
    raw_bars: pd.DataFrame,
    raw_macro: pd.DataFrame,
    unreadable: pd.DataFrame,
    fetched: FetchRecord,
    stored: StoredMarket,
    parameters: Parameters,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Refuse a delivery of something else, or that rewrites history unasked; quarantine what breaks a rule.

    Every observation kept is dated with its publication.
    """
    now, variables = pd.Timestamp(fetched.fetched_at), parameters.macro_variables.variables
    limits = parameters.quality_thresholds
    raw = RawMarket(raw_bars, raw_macro, unreadable, fetched.origin, fetched.macro_origin)
    if fetched.source == "files":
        require_content(raw, variables)
    bar_table, macro_tables = stored.tables
    stored_bars, stored_macro = _stored_around(raw, bar_table, now), macro_tables.rows(now, standing=True)
    known = prefer_dated(stored_macro)
    checked = check_market(raw, variables, limits, now, known, stored_bars, parameters.calendar)
    changes = [
        *bar_changes(checked.bars, stored_bars, limits.bars.agree_within, raw.origin),
        *macro_changes(checked.macro, stored_macro, raw.macro_origin),
    ]
    if not parameters.data_acquisition.revise:
        refuse_rewrites(changes, variables, limits.changes)
    revised = changes_found(changes, fetched.source)
    return checked.bars, checked.macro, pd.concat([unreadable, checked.findings, revised], ignore_index=True)


def _stored_around(raw: RawMarket, bar_table: BarTable, now: pd.Timestamp) -> pd.DataFrame:
    """Read the bars that stand from a month before the first one delivered on, each instant once."""
    if raw.bars.empty:
        return raw.bars
    require_columns(raw.origin, raw.bars, BAR_COLUMNS)
    require_zone(raw.origin, raw.bars["timestamp"])
    since = raw.bars["timestamp"].min() - pd.Timedelta(days=STORED_DAYS)
    return bar_table.rows(now, after=since, standing=True).drop_duplicates("timestamp", keep="last")


def store_market(
    bars: pd.DataFrame,
    observations: pd.DataFrame,
    findings: pd.DataFrame,
    fetched: FetchRecord,
    acquisition: DataAcquisitionParams,
    stored: StoredMarket,
) -> tuple[Batch, Batch, Batch]:
    """Append what passed the checks, and the findings, to their tables, under one delivery."""
    now, delivery_id = pd.Timestamp(fetched.fetched_at), BEFORE_DELIVERIES
    if len(bars) or len(observations) or len(findings):
        origin = _origin(fetched, acquisition)
        delivery = Delivery(fetched.source, origin, fetched.fetched_at, fetched.source_hash)
        delivery_id = stored.tables[0].open_delivery(delivery)
    of_bars: int | pd.Series = delivery_id
    of_findings: int | pd.Series = delivery_id
    if ids := _open_files(fetched, stored):
        if "file" in bars:
            of_bars = bars["file"].map(ids).fillna(delivery_id).astype(int)
        of_folder = next(iter(ids.values())) if len(ids) == 1 else delivery_id
        of_findings = findings["source"].map({"folder": of_folder}).fillna(delivery_id).astype(int)
    return (bars, now, of_bars), (observations, now, delivery_id), (findings, now, of_findings)


def _open_files(fetched: FetchRecord, stored: StoredMarket) -> dict[str, int]:
    """Open a delivery for each file of a desk's own feed; gives its id by the file's name."""
    ids = {}
    for file in fetched.files:
        delivery = Delivery("folder", file.name, fetched.fetched_at, file.source_hash)
        ids[Path(file.name).name] = stored.tables[0].open_delivery(delivery)
    return ids


def _origin(fetched: FetchRecord, acquisition: DataAcquisitionParams) -> str:
    """Say where a delivery came from: the folder, the providers that answered, or the sample market."""
    if fetched.source == "files":
        return str(acquisition.folder)
    if fetched.source == "sample":
        return fetched.feed
    sources = {name for outcome in fetched.outcomes if outcome.source for name in outcome.source.split(", ")}
    return ", ".join(sorted(sources))


def report_quality(
    fetched: FetchRecord,
    bar_table: BarTable,
    macro_tables: MacroTables,
    quarantine: QuarantineTable,
    macro: MacroVariablesParams,
    calendar: CalendarParams,
) -> tuple[str, pd.DataFrame]:
    """Draw what is stored by now and what was found: one page, and one row a variable."""
    from dosvotos.quality.freshness import summary_table
    from dosvotos.reports.quality import render_quality

    now = pd.Timestamp(fetched.fetched_at)
    market = bar_table.as_of(now), macro_tables.as_of(now), quarantine.as_of(now)
    summary = summary_table(*market, macro.variables, now, calendar)
    return render_quality(*market, macro.variables, now, calendar, summary), summary


def seal_acquisition(
    bars: pd.DataFrame,
    observations: pd.DataFrame,
    findings: pd.DataFrame,
    fetched: FetchRecord,
    bar_table: BarTable,
    macro_tables: MacroTables,
    macro: MacroVariablesParams,
    calendar: CalendarParams,
) -> AcquisitionRecord:
    """Record what was fetched, what is stored now, and how old it is."""
    outcomes = {outcome.subject: outcome for outcome in fetched.outcomes}
    found = _count_findings(findings)
    return AcquisitionRecord(
        instrument=bar_table.instrument,
        feed=fetched.feed,
        source=fetched.source,
        extraction_hash=combine([digest_frame(bars), digest_frame(observations)]),
        source_hash=fetched.source_hash,
        extraction_timestamp=fetched.fetched_at,
        deliveries=bar_table.close_deliveries(fetched.fetched_at),
        bars=_bar_state(bar_table, fetched, outcomes[BARS], found.get(BARS, FindingCount()), calendar),
        series=tuple(_series_states(macro_tables, fetched, macro.variables, outcomes, found)),
    )


def _count_findings(findings: pd.DataFrame) -> dict[str, FindingCount]:
    counts = findings.groupby(["subject", "severity"]).size().unstack(fill_value=0)
    return {str(name): FindingCount.model_validate(found) for name, found in counts.to_dict("index").items()}


def _bar_state(
    table: BarTable,
    fetched: FetchRecord,
    outcome: FetchOutcome,
    found: FindingCount,
    calendar: CalendarParams,
) -> BarState:
    now = pd.Timestamp(fetched.fetched_at)
    state, ended = table.state(now), last_ended_session(now, calendar)
    last = session_dates(pd.DatetimeIndex([state.last]))[0] if state else None
    return BarState(
        source=outcome.source,
        bars=state.bars if state else 0,
        new=state.new if state else 0,
        first_bar=state.first if state else None,
        last_bar=state.last if state else None,
        missing_session=str(ended) if last is None or last < ended else None,
        findings=found,
        notes=outcome.notes,
    )


def _series_states(
    tables: MacroTables,
    fetched: FetchRecord,
    variables: dict[str, MacroVariable],
    outcomes: dict[str, FetchOutcome],
    found: dict[str, FindingCount],
) -> Iterator[SeriesState]:
    now = pd.Timestamp(fetched.fetched_at)
    state, known = tables.state(now), known_values(tables.as_of(now), now)
    for name, variable in variables.items():
        last: Any = known[name].iloc[-1] if name in known else None
        yield SeriesState(
            variable=name,
            priority=variable.priority,
            source=outcomes[name].source,
            rows=state[name].rows if name in state else 0,
            new=state[name].new if name in state else 0,
            last_observation=None if last is None else str(last["observation_date"]),
            published_at=None if last is None else last["published_at"],
            age_days=None if last is None else round((now - last["published_at"]) / pd.Timedelta(days=1), 2),
            limit_days=variable.ffill_max_days,
            findings=found.get(name, FindingCount()),
            notes=outcomes[name].notes,
        )


@contextmanager
def _progress_bar(variables: int) -> Iterator[Any]:
    columns = TextColumn("L0 {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns) as progress:
        task = progress.add_task("fetching", total=None)
        done: set[str] = set()

        def advance(subject: str) -> None:
            done.add(subject)
            progress.update(task, description=subject, completed=len(done), total=variables + 1)

        yield advance
        progress.update(task, description="fetched", completed=variables + 1, total=variables + 1)
