"""What happens to a proposal that is made again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import expire_proposals, list_proposals
from dosvotos.errors import LineageError
from dosvotos.policy.bundle import write_bundle
from dosvotos.promotion.decision import Vote, decide
from dosvotos.promotion.dossier import Dossier
from dosvotos.promotion.registration import NewProposal, ProposalRegistry
from tests.promotion.test_proposal import REPORT, layers_of, proposal_of
from tests.proposal_fixtures import INSTRUMENT, tiny_policy
from tests.report_factory import comparison_of

NOW = datetime(2026, 8, 3, tzinfo=UTC)
APPROVE = Vote("APPROVE", "bob", "the curve was read twice")


@pytest.fixture
def submit(engine, tmp_path, monkeypatch, parameters):
    """Submit a proposal with some Sharpe ratio of the oracle; return all proposals, newest first."""
    monkeypatch.chdir(tmp_path)
    bundle = write_bundle(tmp_path / "models", tiny_policy(1), {})
    registry = ProposalRegistry(engine, INSTRUMENT, "reports")

    def submitted(oracle: float | None = None, run: str = "r1", now: datetime = NOW) -> list:
        layers, report = layers_of(parameters, run=run), REPORT.model_copy(update={"oracle_sharpe": oracle})
        trained = {"model_path": str(bundle.folder), "manifest_hash": bundle.manifest_hash}
        layers = layers.model_copy(update={"training": layers.training.model_copy(update=trained)})
        proposal = proposal_of(parameters, run=run, report=report)
        registry.store(NewProposal(proposal, layers, report, comparison_of(report), now))
        with reading(engine) as connection:
            return list_proposals(connection)

    submitted.engine = engine
    return submitted


def test_the_same_proposal_again_is_found_not_made(submit):
    assert [row.id for row in submit(run="r1")] == [row.id for row in submit(run="r2")]


def test_its_files_are_one_dossier_named_by_its_hash_and_the_latest_stand_beside_for_people(submit):
    (row,) = submit()
    dossier = Dossier.of(row)
    assert dossier.folder == Path("reports/demo_1") / row.dossier_hash[:12]
    assert len(dossier.files) == 9 and dossier.files.keys() == row.report_files.keys()
    copies = {path.name: path.read_bytes() for path in Path("reports").glob("*.json")}
    assert len(copies) == 3 and copies.items() <= dossier.files.items()


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{}"), Path.touch])
def test_a_rerun_writes_a_damaged_dossier_again_to_the_byte(submit, damage):
    (row,) = submit(run="r1")
    path = Path(row.report_folder) / "training_record.json"
    damage(path if path.exists() and damage is not Path.touch else path.with_name("added.json"))
    if damage is Path.unlink:
        assert not path.exists()
    with pytest.raises(LineageError, match=r"missing|altered|added"):
        Dossier.of(row)
    assert [again.dossier_hash for again in submit(run="r2")] == [row.dossier_hash]
    assert Dossier.of(row).files["training_record.json"].count(b'"r1"') == 1


def test_a_proposal_with_other_content_supersedes_the_open_one(submit):
    submit()
    assert [row.status for row in submit(oracle=4.0)] == ["PENDING_APPROVAL", "SUPERSEDED"]


def test_an_expired_proposal_may_be_made_again(submit):
    submit()
    with writing(submit.engine) as connection:
        expire_proposals(connection, NOW + timedelta(days=61))
    assert [row.status for row in submit()] == ["PENDING_APPROVAL", "EXPIRED"]


@pytest.mark.parametrize(("to_production", "proposals"), [(True, 1), (False, 2)])
def test_after_production_nothing_new_is_made_after_shadow_a_new_proposal_is(
    submit, to_production, proposals
):
    (row,) = submit()
    decide(submit.engine, row.id, APPROVE._replace(promote_to_production=to_production), NOW)
    assert len(submit()) == proposals


def test_a_rejected_proposal_is_not_made_again_unchanged(submit):
    (row,) = submit()
    decide(submit.engine, row.id, APPROVE._replace(decision="REJECT"), NOW)
    assert [r.status for r in submit()] == ["REJECTED"]


def test_an_expired_proposal_made_again_has_the_same_dossier_and_is_approved(submit):
    (row,) = submit()
    later = NOW + timedelta(days=61)
    with writing(submit.engine) as connection:
        expire_proposals(connection, later)
    again, _ = submit(now=later)
    assert (again.dossier_hash, again.created_at) == (row.dossier_hash, later)
    assert decide(submit.engine, again.id, APPROVE, later).new_stage == "production"
