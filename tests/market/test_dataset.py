from datetime import date

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.features import FEATURE_VARIABLES, FINANCING_SOURCES, MACRO_SOURCES, MARKET_FEATURES
from dosvotos.contracts.parameters import Parameters
from dosvotos.errors import DataError
from dosvotos.hashing import digest_frame
from dosvotos.market.calendar import BAR, session_bar_times
from dosvotos.market.dataset import describe_split, point_in_time, resolve_test_end, select_bars, select_macro
from dosvotos.market.splits import Split
from tests.conftest import parameters_of

TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = (f"2024-07-0{n}" for n in (2, 3, 4, 5))


def sessions(*days: str) -> pd.DatetimeIndex:
    parts = [session_bar_times(np.datetime64(day)) for day in days]
    return parts[0].append(parts[1:])


def open_ended(end: str | None = None) -> Parameters:
    demo = parameters_of()
    test = {"start": "2024-07-01", "end": end}
    ranges = {
        "train": {"start": "2023-01-02", "end": "2023-12-29"},
        "val": {"start": "2024-01-02", "end": "2024-06-28"},
        "test": test,
    }
    dates = type(demo.date_ranges).model_validate({"version": "1.0.0", **ranges})
    return demo.model_copy(update={"date_ranges": dates})


def bars_at(times: pd.DatetimeIndex) -> pd.DataFrame:
    close = np.arange(1.0, len(times) + 1)
    columns = dict.fromkeys(("open", "high", "low", "close", "volume"), close)
    return pd.DataFrame({**columns, "source": "files"}, index=times)


def macro_rows(**published: str) -> pd.DataFrame:
    """One observation of each variable behind a feature, published on 1 July or as told."""
    return pd.DataFrame(
        {
            "variable": list(FEATURE_VARIABLES.values()),
            "observation_date": date(2024, 6, 28),
            "published_at": pd.DatetimeIndex(
                [published.get(name, "2024-07-01 22:00") for name in FEATURE_VARIABLES], tz="UTC"
            ),
            "value": 5.0,
            "vintage": "final",
            "source": "files",
        }
    )


# ---- the end of test


def test_an_open_end_is_the_last_complete_session():
    assert resolve_test_end(open_ended(), sessions(TUESDAY, WEDNESDAY)) == date(2024, 7, 3)
    assert resolve_test_end(open_ended(), sessions(TUESDAY, WEDNESDAY)[:-1]) == date(2024, 7, 2)


def test_a_stated_end_stands_when_its_bars_are_stored():
    assert resolve_test_end(open_ended(TUESDAY), sessions(TUESDAY, WEDNESDAY)) == date(2024, 7, 2)
    assert resolve_test_end(open_ended(WEDNESDAY), sessions(TUESDAY, WEDNESDAY)) == date(2024, 7, 3)


def test_a_stated_end_after_the_stored_bars_is_refused_with_both_dates():
    with pytest.raises(DataError, match=r"2024-07-04 lies after .* 2024-07-03"):
        resolve_test_end(open_ended(THURSDAY), sessions(TUESDAY, WEDNESDAY))


@pytest.mark.parametrize("stored_of_wednesday", [1, 30, 59])
def test_a_stated_end_whose_session_is_not_over_is_refused(stored_of_wednesday: int):
    times = sessions(TUESDAY).append(sessions(WEDNESDAY)[:stored_of_wednesday])
    with pytest.raises(DataError, match=r"2024-07-03 lies after .* 2024-07-02"):
        resolve_test_end(open_ended(WEDNESDAY), times)


def test_a_bar_of_the_night_does_not_complete_a_session():
    night = pd.DatetimeIndex(["2024-07-03 00:30"], tz="America/Bogota").tz_convert("UTC")
    with pytest.raises(DataError, match=r"2024-07-03 lies after .* 2024-07-02"):
        resolve_test_end(open_ended(WEDNESDAY), sessions(TUESDAY).append(night))


def test_without_bars_the_message_says_what_to_run():
    with pytest.raises(DataError, match="kedro run --pipelines data_acquisition"):
        resolve_test_end(open_ended(), pd.DatetimeIndex([], tz="UTC"))


# ---- what may be used


def test_bars_of_nights_weekends_and_holidays_and_after_the_end_are_left_out():
    extra = (
        pd.DatetimeIndex(
            [
                "2024-07-02 07:55",
                "2024-07-02 13:00",
                "2024-07-06 09:00",
                "2024-07-01 09:00",
                "2024-07-02 09:02",
            ]
        )
        .tz_localize("America/Bogota")
        .tz_convert("UTC")
    )
    bars = bars_at(sessions(TUESDAY, WEDNESDAY, THURSDAY).append(extra)).sort_index()
    kept = select_bars(bars, date(2024, 7, 3))
    assert kept.index.equals(sessions(TUESDAY, WEDNESDAY))
    assert kept.columns.tolist() == ["open", "high", "low", "close", "volume"]
    assert kept["close"].equals(bars.loc[kept.index, "close"])


def test_observations_count_up_to_the_last_bars_close(parameters: Parameters):
    bars = bars_at(sessions(TUESDAY))
    close = bars.index[-1] + BAR
    late = (close + pd.Timedelta(seconds=1)).isoformat()[:19]
    at_close = macro_rows(vix=close.isoformat()[:19], fed_funds=late)
    kept = select_macro(at_close, bars, parameters.macro_variables)
    assert set(at_close["variable"]) - set(kept["variable"]) == {FINANCING_SOURCES["fed_funds"]}
    assert kept.index.tolist() == list(range(len(kept)))


def test_a_feature_without_any_observation_is_refused_by_its_variable(parameters: Parameters):
    bars = bars_at(sessions(TUESDAY))
    with pytest.raises(DataError, match=MACRO_SOURCES["embi"]):
        select_macro(macro_rows(embi="2024-07-03 00:00"), bars, parameters.macro_variables)


def test_variables_outside_the_contract_are_left_out(parameters: Parameters):
    stranger = macro_rows().iloc[:1].assign(variable="not_in_the_contract")
    macro = pd.concat([macro_rows(), stranger])
    kept = select_macro(macro, bars_at(sessions(TUESDAY)), parameters.macro_variables)
    assert len(kept) == len(macro) - 1


@pytest.mark.parametrize(
    ("vintages", "word"),
    [
        (["simulated"], "simulated"),
        (["final"], "unproven"),
        (["2024-07-01", "2024-08-01"], "proven"),
        (["2024-07-01", "final"], "unproven"),
        (["2024-07-01", "simulated"], "unproven"),
        (["unrevised", "2024-07-01"], "proven"),
        (["current"], "proven"),
    ],
)
def test_only_vintages_behind_features_prove_what_was_known(vintages: list[str], word: str):
    macro = macro_rows()
    macro["vintage"] = np.resize(np.array(vintages, dtype=object), len(macro))
    macro["fetched_at"] = macro["published_at"] + pd.Timedelta(days=7)
    unused = macro.iloc[:1].assign(variable="infl_cpi_total_col_m_ipccol", vintage="final")
    assert point_in_time(pd.concat([macro, unused])) == word


def test_a_revised_series_fetched_late_proves_nothing():
    macro = macro_rows().assign(vintage="current")
    macro["fetched_at"] = macro["published_at"] + pd.Timedelta(days=7, seconds=1)
    assert point_in_time(macro) == "unproven"


# ---- what a split holds


def because(rows: pd.DataFrame) -> pd.DataFrame:
    missing = rows[list(MARKET_FEATURES)].isna()
    return pd.DataFrame(np.where(missing, "why", ""), index=rows.index, columns=missing.columns)


def test_a_split_is_described_by_counts_made_by_hand():
    rows = pd.DataFrame(1.0, index=sessions(TUESDAY, WEDNESDAY, FRIDAY), columns=list(MARKET_FEATURES))
    rows["close"] = 4000.0
    rows.loc[rows.index[:10], "vix_z"] = np.nan
    rows.loc[rows.index[5:12], "embi_z"] = np.nan
    rows.loc[rows.index[60:120], "rate_spread"] = np.nan
    split = Split("test", date(2024, 7, 1), date(2024, 7, 7))
    record = describe_split(split, rows, because(rows), "DS_x_test.parquet")
    # Monday 1 July is a holiday, Thursday has no bars and Wednesday no complete row
    assert (record.first_session, record.last_session) == (TUESDAY, FRIDAY)
    assert (record.sessions, record.uncovered_sessions) == (4, 2)
    assert (record.bars, record.complete_rows) == (180, 180 - 12 - 60)
    assert record.missing_by_feature == {"vix_z": 10, "embi_z": 7, "rate_spread": 60}
    assert record.missing_by_reason == {"vix_z: why": 10, "embi_z: why": 7, "rate_spread: why": 60}
    assert record.digest == digest_frame(rows) and record.path == "DS_x_test.parquet"


def test_a_split_without_a_complete_row_covers_nothing():
    rows = pd.DataFrame(np.nan, index=sessions(TUESDAY), columns=list(MARKET_FEATURES))
    split = Split("val", date(2024, 7, 2), date(2024, 7, 2))
    record = describe_split(split, rows, because(rows), "x")
    assert (record.complete_rows, record.uncovered_sessions) == (0, 1)
    assert record.missing_by_feature == dict.fromkeys(MARKET_FEATURES, 60)
