"""What a node of L0 tells about a market that was spoilt on purpose."""

import datetime as dt
import logging

import pandas as pd
import pytest

from dosvotos.contracts.records import FetchRecord
from dosvotos.contracts.sample_market import Hazard
from dosvotos.database.market_data import StoredMarket
from dosvotos.pipelines.data_acquisition.nodes import fetch_market
from dosvotos.simulation.hazards import inject_hazards
from dosvotos.simulation.market import simulate_market
from tests.conftest import parameters_of
from tests.simulation.market_factory import VARIABLES, params

KINDS: list[Hazard] = ["missing_session", "bad_tick", "macro_hole"]
NOW = dt.datetime(2024, 3, 14, 23, tzinfo=dt.UTC)
START = dt.date(2023, 7, 3)


@pytest.fixture
def fetch():
    parameters = parameters_of()

    def _fetch(hazards: list[Hazard]) -> FetchRecord:
        acquisition = parameters.data_acquisition.model_copy(update={"source": "sample", "as_of": NOW})
        sample = params(0.0, 3, START).model_copy(update={"hazards": tuple(hazards)})
        stored = StoredMarket(None, "USD/COP.SIM", sample.feed)
        return fetch_market(acquisition, sample, parameters.macro_variables, stored, {})[2]

    return _fetch


def test_what_was_put_into_a_sample_market_stands_in_its_record_and_in_the_log(fetch, caplog):
    with caplog.at_level(logging.INFO):
        record = fetch(KINDS)
    market = simulate_market(params(0.0, 3, START), VARIABLES, pd.Timestamp(NOW))
    events = inject_hazards(market.bars, market.macro, KINDS, 3).defects
    wanted = {
        kind: (len(own), sum(event.rows for event in own))
        for kind in KINDS
        if (own := [event for event in events if event.hazard == kind])
    }
    assert set(wanted) == set(KINDS)
    assert {told.hazard: (told.events, told.rows) for told in record.injected} == wanted
    for kind, (n_events, n_rows) in wanted.items():
        assert f"{kind} put in on purpose, {n_events} event(s), {n_rows} row(s)" in caplog.text
    assert FetchRecord.model_validate_json(record.model_dump_json()) == record


def test_of_a_clean_sample_market_nothing_is_told(fetch, caplog):
    with caplog.at_level(logging.INFO):
        assert fetch([]).injected == ()
    assert "on purpose" not in caplog.text
