"""What was built on a delivery that was retracted since cannot be approved, and is named."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.database.connection import writing
from dosvotos.database.deliveries import Delivery, retract
from dosvotos.database.market_data import StoredMarket
from dosvotos.errors import DecisionError
from dosvotos.promotion.decision import decide
from dosvotos.promotion.dossier import read_report
from dosvotos.promotion.production_warnings import production_warnings
from dosvotos.promotion.retracted import built_on_retracted
from tests.market_factory import INSTRUMENT, STORED_AT
from tests.promotion.test_decision import Desk, now, untouched, vote

REASON = "the vendor sent closes of another pair"


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def withdraw(desk: Desk, delivery_id: int) -> None:
    with writing(desk.engine) as connection:
        retract(connection, delivery_id, REASON, now())


def test_a_proposal_on_retracted_data_is_not_approved_but_may_be_rejected(desk):
    proposal_id = desk.propose("one", 1)
    assert built_on_retracted(desk.engine) == []
    withdraw(desk, 0)
    with pytest.raises(DecisionError) as refused:
        decide(desk.engine, proposal_id, vote(), now())
    message = str(refused.value)
    assert message.startswith(f"retracted_data: proposal {proposal_id} is built on delivery 0 ")
    assert REASON in message and "raise experiment.version of one" in message
    assert untouched(desk, proposal_id)
    assert decide(desk.engine, proposal_id, vote(decision="REJECT"), now()).status == "REJECTED"


def test_a_production_model_on_retracted_data_is_named(desk):
    model_id = decide(desk.engine, desk.propose("one", 1), vote(), now()).model_id
    url = desk.engine.url.render_as_string(hide_password=False)
    assert production_warnings(url) == []
    withdraw(desk, 0)
    [found] = built_on_retracted(desk.engine)
    assert found.subject == f"production model {model_id}"
    [line] = production_warnings(url)
    assert line.startswith(f"production model {model_id} is built on delivery 0") and "\n" not in line
    assert "train and approve another" in line


def deliver_a_bar(desk: Desk, feed: str, fetched_at: datetime, opened: datetime) -> int:
    table, _ = StoredMarket(desk.engine, INSTRUMENT, feed).tables
    delivery_id = table.open_delivery(Delivery("files", "x", fetched_at, "a" * 64))
    prices = dict.fromkeys(("open", "high", "low", "close"), 4000.0)
    bar = pd.DataFrame([{"timestamp": pd.Timestamp(opened), **prices, "volume": 0.0, "source": "other"}])
    assert table.store(bar, fetched_at, delivery_id).new == 1
    return delivery_id


def test_a_delivery_after_the_window_or_after_the_contract_does_not_matter(desk):
    proposal_id = desk.propose("one", 1)
    contract = read_report(desk.proposal(proposal_id), ExperimentContract)
    feed, day = contract.parameters.feed, datetime(2025, 7, 9, 14, tzinfo=UTC)
    assert STORED_AT < contract.data_as_of < now()
    outside = deliver_a_bar(desk, feed, STORED_AT + timedelta(hours=1), datetime(2026, 11, 2, 14, tzinfo=UTC))
    unseen = deliver_a_bar(desk, feed, contract.data_as_of + timedelta(seconds=1), day)
    for delivery_id in (outside, unseen):
        withdraw(desk, delivery_id)
    assert built_on_retracted(desk.engine) == []
    assert decide(desk.engine, proposal_id, vote(), now()).status == "APPROVED"


def test_one_bar_within_the_window_is_enough(desk):
    proposal_id = desk.propose("one", 1)
    feed = read_report(desk.proposal(proposal_id), ExperimentContract).parameters.feed
    own = deliver_a_bar(desk, feed, STORED_AT + timedelta(hours=1), datetime(2025, 7, 9, 14, tzinfo=UTC))
    withdraw(desk, own)
    assert [found.subject for found in built_on_retracted(desk.engine)] == [f"proposal {proposal_id}"]


def test_nothing_is_made_where_there_is_no_database(tmp_path):
    file = tmp_path / "none.db"
    assert production_warnings(f"sqlite:///{file}") == []
    assert not file.exists()
