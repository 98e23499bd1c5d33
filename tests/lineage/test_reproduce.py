"""A stored model made again in a clean folder: which hashes match, and what tells when one does not."""

from pathlib import Path

import pytest
from sqlalchemy import update

from dosvotos.commands.reproduce import refuse_others_code
from dosvotos.database.connection import writing
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.tables import model_registry
from dosvotos.errors import LineageError, StrategyError
from dosvotos.lineage.reproduce import HashMatch, reproduce
from dosvotos.policy.candidate import Candidate
from tests.lineage.test_own_and_line import HOURS, SQLITE, propose, propose_folds
from tests.market_factory import INSTRUMENT
from tests.proposal_fixtures import Desk
from tests.recomputable_proposals import fitted_bundle, fitted_line, stored_small_market


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def made_again(desk: Desk, model_id: str, folder: Path, seed: int = 1) -> dict[str, HashMatch]:
    """Make it again; the training's stand-in fits its policy to the rows' statistics as the first one did."""
    folder.mkdir()

    def train(contract, rows, place) -> Candidate:
        history = stored_small_market(desk.engine, contract)
        assert rows.index.equals(history.bars.index)
        made = fitted_line if contract.parameters.splits.is_line else fitted_bundle
        return made(place, contract, history, seed)

    return {one.name: one for one in reproduce(desk.engine, model_id, folder, train, refuse_others_code)}


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


@SQLITE
def test_a_line_is_made_again_fold_by_fold(desk, tmp_path):
    row = propose_folds(desk)
    matches = made_again(desk, row.model_id, tmp_path / "clean")
    of_folds = [name for name in matches if name.startswith("fold ")]
    assert len(matches) == 12 + len(of_folds) == 20 and all(one.matches for one in matches.values())
    other = made_again(desk, row.model_id, tmp_path / "other", seed=5)
    assert {name for name, one in other.items() if not one.matches} == {
        *(f"fold {fold} {name}" for fold in (1, 2) for name in ("model_hash", "manifest_hash")),
        "model_hash", "manifest_hash", "model_id",
    }  # fmt: skip


@SQLITE
def test_an_own_strategy_is_sealed_and_run_again_from_its_stored_source(desk, tmp_path):
    row = propose(desk)
    matches = made_again(desk, row.model_id, tmp_path / "clean")
    assert len(matches) == 12 and all(one.matches for one in matches.values())
    kept = tmp_path / "clean/models" / row.lineage["manifest_hash"]
    assert (kept / "my_rule.py").read_text() == HOURS


@SQLITE
def test_a_stored_source_that_is_not_the_project_s_own_never_runs_unasked(desk, tmp_path):
    """Who may write data/ must not run code as whoever asks for a proof."""
    ran = tmp_path / "ran"  # a source of this test alone: one is not made twice
    row = propose(desk, HOURS + f"\nfrom pathlib import Path\nPath({str(ran)!r}).touch()\n")
    ran.unlink()
    Path("conf/my_rule/my_rule.py").write_text(HOURS)
    with pytest.raises(StrategyError, match=r"my_rule\.py is not conf/my_rule/my_rule\.py as it is now"):
        made_again(desk, row.model_id, tmp_path / "clean")
    assert not ran.exists()
    anything = lambda *_: None  # noqa: E731
    matches = list(reproduce(desk.engine, row.model_id, tmp_path / "again", None, anything))
    assert ran.exists() and all(one.matches for one in matches)


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
