"""The node that judges a delivery refuses or tells before anything is stored."""

import datetime as dt

import pandas as pd
import pytest

from dosvotos.contracts.records import FetchRecord
from dosvotos.database.connection import connect
from dosvotos.database.market_data import StoredMarket
from dosvotos.errors import DataError
from dosvotos.pipelines.data_acquisition.nodes import judge_market
from dosvotos.quality.findings import no_findings
from dosvotos.sources.raw_market import MACRO_COLUMNS
from tests.conftest import parameters_of
from tests.migrated import copy_migrated
from tests.simulation.market_factory import market

FIRST, SECOND = (dt.datetime(2026, 1, day, 23, 30, tzinfo=dt.UTC) for day in (15, 16))
SPOT = "fxrt_spot_usdcop_col_d_usdcop"


def bars(n_sessions: int = 5) -> pd.DataFrame:
    return market().bars.tail(60 * n_sessions).reset_index(drop=True).assign(source="files")


def macro(n_days: int = 60) -> pd.DataFrame:
    rows = market().macro
    own = rows[rows["variable"].isin([SPOT, "volt_vix_usa_d_vix"])].groupby("variable").tail(n_days)
    return own.reset_index(drop=True).assign(vintage="final", source="files")


@pytest.fixture
def stored(tmp_path) -> StoredMarket:
    engine = connect(f"sqlite:///{copy_migrated(tmp_path / 'market.db')}")
    return StoredMarket(engine, "USD/COP", "market")


def judge(raw_bars, raw_macro, stored, now=FIRST, source="files", revise=False):
    parameters = parameters_of()
    record = FetchRecord(
        source=source, feed="market", fetched_at=now, source_hash="0" * 64, outcomes=(),
        origin="usdcop_5m.csv", macro_origin="macro_daily.csv",
    )  # fmt: skip
    acquisition = parameters.data_acquisition.model_copy(update={"revise": revise})
    asked = parameters.model_copy(update={"data_acquisition": acquisition})
    return judge_market(raw_bars, raw_macro, no_findings(), record, stored, asked)


def store(judged, stored, now=FIRST) -> None:
    bar_table, macro_tables = stored.tables
    bar_table.store(judged[0], now)
    macro_tables.store(judged[1], now)


def told(judged) -> list[str]:
    """What the findings say of changes."""
    findings = judged[2]
    return findings["detail"][findings["rule"] == "changes"].tolist()


def test_a_good_delivery_passes_and_its_repetition_changes_nothing(stored):
    judged = judge(bars(), macro(), stored)
    assert judged[2].empty and len(judged[0]) == 300 and len(judged[1]) == 120
    store(judged, stored)
    assert told(judge(bars(), macro(), stored, SECOND)) == []


@pytest.mark.parametrize(
    ("raw_bars", "raw_macro", "message"),
    [
        (bars().iloc[:0], macro(), "usdcop_5m.csv: holds no bar"),
        (bars(), macro().iloc[:0], "macro_daily.csv: holds no observation"),
        (
            bars(),
            macro().assign(variable="volt_vix_usa"),
            r"macro_daily.csv: variable: .*like volt_vix_usa_d_vix",
        ),
        (
            bars().assign(open=0.001, high=0.001, low=0.001, close=0.001),
            macro(),
            "usdcop_5m.csv: these are not",
        ),
    ],
)
def test_nothing_to_store_is_an_error_that_names_the_file(raw_bars, raw_macro, message, stored):
    with pytest.raises(DataError, match=message):
        judge(raw_bars, raw_macro, stored)


def test_a_live_answer_may_be_empty(stored):
    judged = judge(bars().iloc[:0], macro()[:0][[*MACRO_COLUMNS, "vintage", "source"]], stored, source="live")
    assert [len(part) for part in judged] == [0, 0, 0]


def test_one_known_name_among_unknown_ones_is_enough_and_the_others_are_put_aside(stored):
    rows = macro()
    rows["variable"] = rows["variable"].where(rows["variable"] == SPOT, "vix")
    _, kept, findings = judge(bars(), rows, stored)
    assert set(kept["variable"]) == {SPOT}
    assert set(findings["rule"]) == {"unknown_variable"}


def test_history_is_rewritten_only_when_asked_and_the_old_values_stay(stored):
    store(judge(bars(), macro(), stored), stored)
    other = bars()
    prices = ["open", "high", "low", "close"]
    other[prices] *= 1.004
    with pytest.raises(DataError, match=r"usdcop_5m.csv: changes 300 of 300 stored closes, largest 0.400%"):
        judge(other, macro(), stored, SECOND)
    judged = judge(other, macro(), stored, SECOND, revise=True)
    assert [line[:32] for line in told(judged)] == ["changes 300 of 300 stored closes"]
    store(judged, stored, SECOND)
    bar_table, _ = stored.tables
    assert bar_table.as_of(FIRST)["close"].tolist() == bars()["close"].tolist()
    assert bar_table.as_of(SECOND)["close"].tolist() == pytest.approx(other["close"].tolist())


def test_a_few_corrections_are_told_and_pass(stored):
    store(judge(bars(), macro(), stored), stored)
    corrected = bars()
    corrected.loc[[7, 70], "close"] = corrected.loc[[7, 70], ["open", "close"]].mean(axis=1) + 0.02
    judged = judge(corrected, macro(), stored, SECOND)
    assert [line[:30] for line in told(judged)] == ["changes 2 of 300 stored closes"]


def test_macro_history_is_guarded_too(stored):
    store(judge(bars(), macro(), stored), stored)
    rows = macro()
    vix = rows["variable"] != SPOT
    rows.loc[vix, "value"] *= 1.02
    with pytest.raises(DataError, match=r"macro_daily.csv: volt_vix_usa_d_vix: changes 60 of 60"):
        judge(bars(), rows, stored, SECOND)
