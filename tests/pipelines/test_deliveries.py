"""What L0 stores belongs to a delivery: one a run, and one a file of a desk's own feed."""

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.records import FetchOutcome, FetchRecord, FileRecord
from dosvotos.database.connection import reading
from dosvotos.database.deliveries import list_deliveries
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.quarantine import QuarantineTable
from dosvotos.market.calendar import session_bar_times
from dosvotos.pipelines.data_acquisition.nodes import store_market
from dosvotos.quality.findings import no_findings
from tests.conftest import parameters_of
from tests.database.test_quarantine import findings

NOW = pd.Timestamp("2024-07-03 23:00", tz="UTC")
ACQUISITION = parameters_of().data_acquisition
NO_MACRO = pd.DataFrame({"variable": [], "frequency": [], "observation_date": [], "value": []})


@pytest.fixture
def stored(engine) -> StoredMarket:
    return StoredMarket(engine, "USD/COP", "market")


def fetched(**changes) -> FetchRecord:
    given = {"source": "live", "feed": "market", "fetched_at": NOW, "source_hash": "a" * 64}
    outcomes = (FetchOutcome(subject="bars", source="folder"), FetchOutcome(subject="x", source="bls"))
    return FetchRecord(**{**given, "outcomes": outcomes, **changes})


def bars_of(*days: str) -> pd.DataFrame:
    times = pd.DatetimeIndex(
        np.concatenate([session_bar_times(np.datetime64(day)) for day in days]), tz="UTC"
    )
    prices = dict.fromkeys(("open", "high", "low", "close"), 4000.0)
    return pd.DataFrame({"timestamp": times.as_unit("us"), **prices, "volume": 0.0, "source": "folder"})


def store(stored: StoredMarket, bars: pd.DataFrame, found: pd.DataFrame, record: FetchRecord) -> list:
    of_bars, of_macro, of_findings = store_market(bars, NO_MACRO, found, record, ACQUISITION, stored)
    bar_table, macro_tables = stored.tables
    bar_table.store(*of_bars)
    macro_tables.store(*of_macro)
    QuarantineTable(*stored).store(*of_findings)
    bar_table.close_deliveries(record.fetched_at)
    with reading(stored.engine) as connection:
        return [(row.source, row.origin, row.rows) for row in list_deliveries(connection)[1:]]


def test_a_run_is_one_delivery_named_by_its_sources(stored):
    record = fetched()
    assert store(stored, bars_of("2024-07-02"), findings(1.0), record) == [
        ("live", "bls, folder", {"usdcop_m5_ohlcv": 60, "data_quarantine": 1})
    ]


def test_each_file_of_a_folder_is_a_delivery_of_its_own(stored):
    files = tuple(FileRecord(name=f"/in/{name}", source_hash=name * 32) for name in ("a1", "b2"))
    bars = bars_of("2024-07-02", "2024-07-03").assign(file=["a1"] * 60 + ["b2"] * 60)
    assert store(stored, bars, findings(1.0), fetched(files=files)) == [
        ("live", "bls, folder", {"data_quarantine": 1}),
        ("folder", "/in/a1", {"usdcop_m5_ohlcv": 60}),
        ("folder", "/in/b2", {"usdcop_m5_ohlcv": 60}),
    ]
    assert stored.tables[0].taken_hashes() == {"a1" * 32, "b2" * 32, "a" * 64}


def test_where_nothing_came_there_is_no_delivery(stored):
    assert store(stored, bars_of("2024-07-02").iloc[:0], no_findings(), fetched()) == []
