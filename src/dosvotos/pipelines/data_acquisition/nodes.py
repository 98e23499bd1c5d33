"""Nodes of L0."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import SecretStr
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dosvotos.contracts.acquisition import DataAcquisitionParams, MacroVariable, MacroVariablesParams
from dosvotos.contracts.parameters import QualityThresholdsParams, SampleMarketParams
from dosvotos.contracts.records import (
    AcquisitionRecord,
    BarState,
    FetchOutcome,
    FetchRecord,
    FindingCount,
    InjectedDefects,
    SeriesState,
)
from dosvotos.database.market_data import BarTable, MacroTables, StoredMarket
from dosvotos.database.quarantine import QuarantineTable
from dosvotos.errors import DataError
from dosvotos.hashing import combine, digest_frame
from dosvotos.market.calendar import last_ended_session, session_dates
from dosvotos.quality.findings import BARS
from dosvotos.simulation.hazards import MarketWithDefects, inject_hazards
from dosvotos.simulation.market import simulate_market
from dosvotos.sources.checks import check_market
from dosvotos.sources.files import read_folder
from dosvotos.sources.raw_market import RawMarket

logger = logging.getLogger(__name__)

Batch = tuple[pd.DataFrame, pd.Timestamp]


def fetch_market(
    acquisition: DataAcquisitionParams,
    sample: SampleMarketParams,
    macro: MacroVariablesParams,
    stored: StoredMarket,
    keys: dict[str, SecretStr],
) -> tuple[pd.DataFrame, pd.DataFrame, FetchRecord]:
    """Fetch bars and macro observations from the configured source, up to ``as_of``."""
    injected: tuple[InjectedDefects, ...] = ()
    if acquisition.source == "live":
        raw, outcomes = _fetch_live(acquisition, macro, stored, keys)
    elif acquisition.source == "files":
        raw = read_folder(_folder(acquisition), acquisition.timezone, acquisition.mixed_timezone)
        outcomes = _all_from("files", macro)
    else:
        market = simulate_market(sample, macro.variables, pd.Timestamp(acquisition.as_of))
        delivery = inject_hazards(market.bars, market.macro, sample.hazards, sample.seed)
        raw = RawMarket(
            delivery.bars.assign(source="sample"), delivery.macro.assign(vintage="simulated", source="sample")
        )
        outcomes = _all_from("sample", macro)
        injected = _count_injected(delivery)
    fetched = FetchRecord(
        source=acquisition.source,
        feed=stored.feed,
        fetched_at=acquisition.as_of,
        source_hash=combine([digest_frame(raw.bars), digest_frame(raw.macro)]),
        outcomes=tuple(outcomes),
        injected=injected,
    )
    return raw.bars, raw.macro, fetched


def _fetch_live(
    acquisition: DataAcquisitionParams,
    macro: MacroVariablesParams,
    stored: StoredMarket,
    keys: dict[str, SecretStr],
) -> tuple[RawMarket, list[FetchOutcome]]:
    from dosvotos.sources.live import Watermarks, fetch_live

    if acquisition.live is None:
        raise DataError("data_acquisition.live: needed with source 'live'; conf/base has it")
    now = acquisition.as_of
    bar_table, macro_tables = stored.tables
    bars, series = bar_table.state(now), macro_tables.state(now)
    marks = Watermarks(bars and bars.last, {name: state.last_observation for name, state in series.items()})
    plain_keys = {name: key.get_secret_value() for name, key in keys.items()}
    with _progress_bar(len(macro.variables)) as advance:
        fetched = fetch_live(macro.variables, acquisition.live, plain_keys, marks, pd.Timestamp(now), advance)
    return fetched.market, fetched.outcomes


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
    fetched: FetchRecord,
    macro: MacroVariablesParams,
    thresholds: QualityThresholdsParams,
    stored: StoredMarket,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Quarantine what breaks a rule of quality; date the publication of every observation kept."""
    now = pd.Timestamp(fetched.fetched_at)
    _, macro_tables = stored.tables
    known = macro_tables.as_of(now)
    checked = check_market(RawMarket(raw_bars, raw_macro), macro.variables, thresholds, now, known)
    return checked.bars, checked.macro, checked.findings


def store_market(
    bars: pd.DataFrame, observations: pd.DataFrame, findings: pd.DataFrame, fetched: FetchRecord
) -> tuple[Batch, Batch, Batch]:
    """Append what passed the checks, and the findings, to their tables."""
    now = pd.Timestamp(fetched.fetched_at)
    return (bars, now), (observations, now), (findings, now)


def report_quality(
    fetched: FetchRecord,
    bar_table: BarTable,
    macro_tables: MacroTables,
    quarantine: QuarantineTable,
    macro: MacroVariablesParams,
) -> tuple[str, pd.DataFrame]:
    """Draw what is stored by now and what was found: one page, and one row a variable."""
    from dosvotos.quality.freshness import summary_table
    from dosvotos.reports.quality import render_quality

    now = pd.Timestamp(fetched.fetched_at)
    market = bar_table.as_of(now), macro_tables.as_of(now), quarantine.as_of(now)
    summary = summary_table(*market, macro.variables, now)
    return render_quality(*market, macro.variables, now, summary), summary


def seal_acquisition(
    bars: pd.DataFrame,
    observations: pd.DataFrame,
    findings: pd.DataFrame,
    fetched: FetchRecord,
    bar_table: BarTable,
    macro_tables: MacroTables,
    macro: MacroVariablesParams,
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
        bars=_bar_state(bar_table, fetched, outcomes[BARS], found.get(BARS, FindingCount())),
        series=tuple(_series_states(macro_tables, fetched, macro.variables, outcomes, found)),
    )


def _count_findings(findings: pd.DataFrame) -> dict[str, FindingCount]:
    counts = findings.groupby(["subject", "severity"]).size().unstack(fill_value=0)
    return {str(name): FindingCount.model_validate(found) for name, found in counts.to_dict("index").items()}


def _bar_state(table: BarTable, fetched: FetchRecord, outcome: FetchOutcome, found: FindingCount) -> BarState:
    now = pd.Timestamp(fetched.fetched_at)
    state, ended = table.state(now), last_ended_session(now)
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
    state, known = tables.state(now), tables.as_of(now)
    known = known[known["published_at"] <= now].sort_values(["observation_date", "published_at"])
    latest = known.drop_duplicates("variable", keep="last").set_index("variable")
    for name, variable in variables.items():
        last: Any = latest.loc[name] if name in latest.index else None
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
