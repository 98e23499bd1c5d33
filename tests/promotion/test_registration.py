"""What happens to a proposal that is made again."""

from datetime import UTC, datetime, timedelta

import pytest

from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import expire_proposals, list_proposals
from dosvotos.hashing import digest_bytes
from dosvotos.policy.bundle import write_bundle
from dosvotos.promotion.criteria import lineage_criterion
from dosvotos.promotion.decision import Vote, decide, veto
from dosvotos.promotion.registration import NewProposal, ProposalRegistry
from tests.promotion.test_proposal import REPORT, chain_of, layers_of, proposal_of
from tests.proposal_fixtures import INSTRUMENT, tiny_policy
from tests.report_factory import comparison_of

NOW = datetime(2026, 8, 3, tzinfo=UTC)


@pytest.fixture
def submit(engine, tmp_path, monkeypatch, parameters):
    """Submit a proposal with some Sharpe ratio of the oracle; return all proposals, newest first."""
    monkeypatch.chdir(tmp_path)
    bundle = write_bundle(tmp_path / "models", tiny_policy(1), {})
    registry = ProposalRegistry(engine, INSTRUMENT, "reports")

    def submitted(oracle: float | None = None, run: str = "r1") -> list:
        layers, report = layers_of(parameters, run=run), REPORT.model_copy(update={"oracle_sharpe": oracle})
        trained = {"model_path": str(bundle.folder), "manifest_hash": bundle.manifest_hash}
        layers = layers.model_copy(update={"training": layers.training.model_copy(update=trained)})
        proposal = proposal_of(parameters, run=run, report=report)
        registry.store(NewProposal(proposal, layers, report, comparison_of(report), NOW))
        with reading(engine) as connection:
            return list_proposals(connection)

    submitted.engine = engine
    return submitted


def test_the_same_proposal_again_is_found_not_made(submit):
    assert [row.id for row in submit(run="r1")] == [row.id for row in submit(run="r2")]


def test_its_files_stand_in_a_folder_of_their_own_and_are_hashed(submit, tmp_path):
    (row,) = submit()
    assert len(row.report_files) == 8
    for name, digest in row.report_files.items():
        assert digest_bytes((tmp_path / row.report_folder / name).read_bytes()) == digest
    assert row.report_folder.startswith("reports/demo_1/")


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
    decide(submit.engine, row.id, Vote("APPROVE", "bob", promote_to_production=to_production), NOW)
    assert len(submit()) == proposals


def test_a_rejected_proposal_is_not_made_again_unchanged(submit):
    (row,) = submit()
    decide(submit.engine, row.id, Vote("REJECT", "bob"), NOW)
    assert [r.status for r in submit()] == ["REJECTED"]


def test_after_a_veto_for_a_broken_chain_the_same_proposal_is_made_again(submit):
    (row,) = submit()
    veto(submit.engine, row.id, lineage_criterion(chain_of("0" * 64)))
    assert [(r.recommendation, r.status) for r in submit()] == [
        ("PROMOTE", "PENDING_APPROVAL"),
        ("REJECT", "SUPERSEDED"),
    ]
