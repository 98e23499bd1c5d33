"""An experiment's dataset: the bars and observations it may use, its rows, and what its splits hold."""

from datetime import date

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariablesParams
from dosvotos.contracts.features import FEATURE_VARIABLES, MACRO_SOURCES, MARKET_FEATURES
from dosvotos.contracts.parameters import CalendarParams, Parameters
from dosvotos.contracts.records import SplitRecord
from dosvotos.errors import DataError
from dosvotos.hashing import digest_frame
from dosvotos.market.alignment import is_dated
from dosvotos.market.calendar import (
    BAR,
    REGULAR,
    in_session,
    last_complete_session,
    scheduled_sessions,
    session_dates,
)
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.market.missing import count_reasons
from dosvotos.market.splits import Split

SPLITS = ("train", "val", "test")

_FETCHED_IN_TIME = pd.Timedelta(days=7)
"""A value fetched this soon after its publication counts as the one that was published."""


def resolve_test_end(parameters: Parameters, bar_times: pd.DatetimeIndex) -> date:
    """Return the stated end of test, or else the last complete session stored, by `sample_market.test_end`.

    Raises
    ------
    DataError
        If no bars are stored, or they end before the stated end.
    """
    if len(bar_times) == 0:
        raise DataError(
            f"bars: none stored for {parameters.experiment.instrument}, feed {parameters.feed}; "
            "run 'kedro run --pipelines data_acquisition' first, with source 'files' and a folder of yours, "
            "or 'live' (docs/data.md); or take an experiment on the sample market, such as --env demo"
        )
    calendar = parameters.calendar
    last = last_complete_session(bar_times, calendar)
    stated, clock = parameters.date_ranges.test.end, parameters.sample_market.test_end
    if stated is None and clock is not None and parameters.data_acquisition.source == "sample":
        return last_complete_session(bar_times[session_dates(bar_times) <= np.datetime64(clock)], calendar)
    if stated is not None and stated > last and len(scheduled_sessions(last, stated, calendar)) > 1:
        raise DataError(
            f"date_ranges.test.end: {stated} lies after the last complete session stored, {last}; state "
            "an earlier one, or deliver newer bars"
        )
    return stated or last


def select_bars(bars: pd.DataFrame, test_end: date, calendar: CalendarParams = REGULAR) -> pd.DataFrame:
    """Select the bars of scheduled sessions up to the test's end; index bar open (UTC), columns OHLCV."""
    times = pd.DatetimeIndex(bars.index)
    kept = in_session(times, calendar) & (session_dates(times) <= np.datetime64(test_end))
    return bars.loc[kept, ["open", "high", "low", "close", "volume"]]


def select_macro(macro: pd.DataFrame, bars: pd.DataFrame, variables: MacroVariablesParams) -> pd.DataFrame:
    """Select the observations published by the close of the last bar.

    Raises
    ------
    DataError
        If a variable behind a feature has no observation at all.
    """
    published = macro["published_at"] <= bars.index.max() + BAR
    wanted = published & macro["variable"].isin(list(variables.variables))
    kept: pd.DataFrame = macro[wanted].reset_index(drop=True)
    if absent := sorted(set(MACRO_SOURCES.values()) - set(kept["variable"])):
        raise DataError.of("macro_absent", variables=absent)
    return kept


def feature_rows(history: MarketHistory, parameters: Parameters) -> pd.DataFrame:
    """Compute a dataset's rows, one for each session bar: columns of `market_features`, and ``close``."""
    variables, range_source = parameters.macro_variables.variables, parameters.features.range_source
    features = market_features(history, variables, range_source, parameters.calendar)
    return features.assign(close=history.bars["close"])


def point_in_time(macro: pd.DataFrame) -> str:
    """Tell ``proven``, ``unproven`` or ``simulated``: whether observations prove what was known when.

    A vintage its vendor dates, a series that is never revised, and a value fetched within a week of its
    publication do. ``simulated`` if all are.
    """
    used = macro[macro["variable"].isin(list(FEATURE_VARIABLES.values()))]
    if set(used["vintage"]) == {"simulated"}:
        return "simulated"
    in_time = used["fetched_at"] - used["published_at"] <= _FETCHED_IN_TIME
    fetched_in_time = (used["vintage"] == "current") & in_time
    proven = is_dated(used["vintage"]) | (used["vintage"] == "unrevised") | fetched_in_time
    return "proven" if proven.all() else "unproven"


def describe_split(split: Split, rows: pd.DataFrame, reasons: pd.DataFrame, path: str) -> SplitRecord:
    """Count a split's sessions, bars and missing features; `reasons` from `missing_reasons`, of its rows."""
    missing = rows[list(MARKET_FEATURES)].isna()
    complete = ~missing.any(axis=1)
    sessions = split.sessions()
    covered = np.unique(session_dates(pd.DatetimeIndex(rows.index[complete])))
    return SplitRecord(
        path=path,
        digest=digest_frame(rows),
        first_session=str(sessions[0]),
        last_session=str(sessions[-1]),
        sessions=len(sessions),
        uncovered_sessions=int((~np.isin(sessions, covered)).sum()),
        bars=len(rows),
        complete_rows=int(complete.sum()),
        missing_by_feature={str(k): int(v) for k, v in missing.sum().items() if v},
        missing_by_reason=count_reasons(reasons),
    )
