"""Proposals of older versions: without criteria as records, with links under their older names."""

import pytest
from sqlalchemy import text

from dosvotos.contracts.records import ChainRecord, LinkRecord
from dosvotos.database.connection import writing
from dosvotos.promotion.criteria import lineage_criterion
from dosvotos.promotion.decision import veto
from dosvotos.promotion.proposal import stored_criteria, stored_evidence
from tests.database.migrating import upgrade_to
from tests.promotion.test_proposal import chain_of
from tests.proposal_fixtures import Desk


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def test_rows_from_before_the_migration_have_no_criteria_and_keep_their_strings(desk):
    proposal_id = desk.propose()
    strings = desk.proposal(proposal_id).criteria_results
    with writing(desk.engine) as connection:
        connection.execute(text("ALTER TABLE promotion_proposals DROP COLUMN criteria"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
    upgrade_to(desk.engine, "0006")
    row = desk.proposal(proposal_id)
    assert stored_criteria(row) is None and row.criteria_results == strings


def test_a_veto_renews_the_lineage_in_strings_and_records_alike(desk):
    new, old = desk.propose("one", 1), desk.propose("two", 2, criteria=None)
    failed = lineage_criterion(chain_of("b" * 64))
    for proposal_id in (new, old):
        veto(desk.engine, proposal_id, failed)
        assert desk.proposal(proposal_id).criteria_results["lineage"].startswith("FAIL (dataset record:")
    criteria = {criterion.name: criterion for criterion in stored_criteria(desk.proposal(new))}
    assert criteria["lineage"] == failed and len(criteria) == 6
    assert stored_criteria(desk.proposal(old)) is None


def test_evidence_with_other_fields_is_none(desk):
    assert stored_evidence(desk.proposal(desk.propose())).psr == 0.973
    assert stored_evidence(desk.proposal(desk.propose("old", 2, evidence={"psr": 0.9}))) is None


def test_a_chain_record_of_an_older_run_is_read_under_its_older_names():
    link = {"record": "a", "field": "b", "said": "1", "found": "2", "where": "c"}
    chain = ChainRecord.model_validate({"links": [link]})
    assert chain.links == (LinkRecord(record="a", field="b", recorded="1", recomputed="2", source="c"),)
    assert chain.model_dump()["links"][0]["recorded"] == "1" and chain.broken == chain.links
