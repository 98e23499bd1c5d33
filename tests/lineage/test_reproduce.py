"""A stored model made again in a clean folder: which hashes match, and what tells when one does not."""

from pathlib import Path

import pytest
from sqlalchemy import update

from dosvotos.database.connection import writing
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.tables import model_registry
from dosvotos.errors import LineageError
from dosvotos.lineage.reproduce import HashMatch, reproduce
from dosvotos.policy.bundle import Bundle
from tests.market_factory import INSTRUMENT
from tests.proposal_fixtures import Desk
from tests.recomputable_proposals import fitted_bundle, stored_small_market


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def made_again(desk: Desk, model_id: str, folder: Path, seed: int = 1) -> dict[str, HashMatch]:
    """Make it again; the training's stand-in fits its policy to the rows' statistics as the first one did."""
    folder.mkdir()

    def train(contract, _train, _val, norm_stats, place) -> Bundle:
        history = stored_small_market(desk.engine, contract)
        bundle = fitted_bundle(place, contract, history, seed)
        assert bundle.policy.norm_stats == norm_stats
        return bundle

    return {one.name: one for one in reproduce(desk.engine, model_id, folder, train)}


def test_the_same_training_gives_every_hash_and_another_its_own_differences(desk, tmp_path):
    model_id = desk.proposal(desk.propose_recomputable()).model_id
    matches = made_again(desk, model_id, tmp_path / "clean")
    assert len(matches) == 12 and all(one.matches for one in matches.values())
    assert not list((tmp_path / "clean").glob("data/08_reporting"))
    other = made_again(desk, model_id, tmp_path / "other", seed=2)
    assert [name for name, one in other.items() if not one.matches] == [
        "model_hash",
        "manifest_hash",
        "model_id",
    ]


def test_a_registry_that_says_another_hash_is_told(desk, tmp_path):
    model_id = desk.proposal(desk.propose_recomputable()).model_id
    with writing(desk.engine) as connection:
        connection.execute(update(model_registry).values(config_hash="0" * 64))
    matches = made_again(desk, model_id, tmp_path / "clean")
    assert [name for name, one in matches.items() if not one.matches] == ["config_hash"]


def test_bars_that_came_later_change_nothing(desk, tmp_path):
    """The contract reads what was known when it was frozen: a revision stored since is not in the dataset."""
    from datetime import UTC, datetime

    proposal_id = desk.propose_recomputable()
    model_id = desk.proposal(proposal_id).model_id
    from dosvotos.promotion.agreement import expected_rows, proposal_in

    contract = proposal_in(expected_rows(desk.proposal(proposal_id)).dossier).layers.contract
    bars, _ = StoredMarket(desk.engine, INSTRUMENT, contract.parameters.feed).tables
    revised = bars.as_of(contract.data_as_of).tail(5).reset_index()
    revised[["open", "high", "low", "close"]] *= 1.5
    revised["source"] = "simulator"
    bars.store(revised[["timestamp", "open", "high", "low", "close", "volume", "source"]], datetime.now(UTC))
    matches = made_again(desk, model_id, tmp_path / "clean")
    assert all(one.matches for one in matches.values())


def test_a_model_nobody_registered_is_named(desk, tmp_path):
    with pytest.raises(LineageError, match="ghost_1: is not registered"):
        made_again(desk, "ghost_1", tmp_path / "clean")
