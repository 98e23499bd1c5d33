"""What happens to a proposal that is made again."""

from datetime import UTC, datetime, timedelta

import pytest

from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import expire_proposals, list_proposals
from dosvotos.hashing import digest_bytes
from dosvotos.policy.bundle import write_bundle
from dosvotos.promotion.decision import Vote, decide, veto
from dosvotos.promotion.registration import ProposalBook, Submission
from tests.desk import INSTRUMENT, tiny_policy
from tests.lineage.test_chain import contract, dataset, training  # noqa: F401
from tests.promotion.test_proposal import proposal_of

NOW = datetime(2026, 8, 3, tzinfo=UTC)


@pytest.fixture
def submit(engine, tmp_path, monkeypatch, parameters, dataset, training):  # noqa: F811
    """Submit a proposal whose lineage names a baseline; return all proposals, newest first."""
    monkeypatch.chdir(tmp_path)
    bundle = write_bundle(tmp_path / "models", tiny_policy(1), {})
    training = training.model_copy(
        update={"model_id": "demo_1", "model_path": str(bundle.folder), "manifest_hash": bundle.manifest_hash}
    )
    book = ProposalBook(engine, INSTRUMENT, "reports")

    def submitted(baseline: str | None = None, run: str = "r1") -> list:
        lineage = {"model_hash": training.model_hash, "baseline_model_id": baseline, "mlflow_run_id": run}
        proposal = proposal_of(parameters, lineage)
        reports = {"promotion_proposal_demo.json": {"baseline": baseline}}
        book.store(Submission(proposal, training, dataset, reports, NOW))
        with reading(engine) as connection:
            return list_proposals(connection)

    submitted.engine = engine
    return submitted


def test_the_same_proposal_again_is_found_not_made(submit):
    assert [row.id for row in submit(run="r1")] == [row.id for row in submit(run="r2")]


def test_its_files_stand_in_a_folder_of_their_own_and_are_hashed(submit, tmp_path):
    (row,) = submit()
    ((name, digest),) = row.report_files.items()
    assert digest_bytes((tmp_path / row.report_folder / name).read_bytes()) == digest
    assert row.report_folder.startswith("reports/demo_1/")


def test_a_proposal_with_other_content_supersedes_the_open_one(submit):
    submit()
    assert [row.status for row in submit(baseline="another")] == ["PENDING_APPROVAL", "SUPERSEDED"]


def test_an_expired_proposal_may_be_made_again(submit):
    submit()
    with writing(submit.engine) as connection:
        expire_proposals(connection, NOW + timedelta(days=31))
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
    veto(submit.engine, row.id, "FAIL (dataset record: acquisition_hash is 0, the stored bars 1)")
    assert [(r.recommendation, r.status) for r in submit()] == [
        ("PROMOTE", "PENDING_APPROVAL"),
        ("REJECT", "SUPERSEDED"),
    ]
