"""Proposals of older versions: without criteria as records, with links under their older names."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, Integer, MetaData, Table, insert, select

from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.records import ChainRecord, LinkRecord
from dosvotos.database.connection import reading, upgrade, writing
from dosvotos.database.tables import metadata
from dosvotos.errors import LineageError
from dosvotos.hashing import chain_digest
from dosvotos.lineage.vote import decide_verified
from dosvotos.live.production import check_dossier, open_production
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import Vote, decide
from dosvotos.promotion.dossier import read_report
from dosvotos.promotion.proposal import stored_criteria, stored_evidence
from tests.proposal_fixtures import INSTRUMENT, Desk, open_desk

APPROVE = Vote("APPROVE", "bob", "the curve was read twice")


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def test_rows_from_before_the_migration_have_no_criteria_and_keep_their_strings(
    empty_database, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    upgrade(empty_database, "0005")
    with open_desk(f"sqlite:///{tmp_path}/today.db", tmp_path) as today:
        strings = today.proposal(today.propose()).criteria_results
        copy_rows(today.engine, empty_database, "model_registry", "promotion_proposals")
    upgrade(empty_database)
    row = Desk(empty_database, tmp_path).proposal(1)
    assert stored_criteria(row) is None and row.criteria_results == strings


def copy_rows(source: Engine, target: Engine, *tables: str) -> None:
    """Copy rows into tables of an older schema, without the columns it does not have."""
    older = MetaData()
    older.reflect(target, only=tables)
    for name in tables:
        previous = None
        with reading(source) as one, writing(target) as other:
            for row in one.execute(select(metadata.tables[name])):
                known = {column.name: row._mapping[column.name] for column in older.tables[name].columns}
                if name == "approval_audit_log":
                    known |= chained_as_before_signatures(known, previous)
                    previous = known["row_hash"]
                other.execute(insert(older.tables[name]).values(known))
            if target.dialect.name == "postgresql" and is_numbered(older.tables[name]):
                sequence = f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}"
                other.exec_driver_sql(sequence)


def chained_as_before_signatures(row: dict, previous: str | None) -> dict[str, str | None]:
    """The hashes that a version without signatures gave a row."""
    left_out = ("id", "previous_hash", "row_hash")
    content = {name: value for name, value in row.items() if name not in left_out}
    content["created_at"] = row["created_at"].isoformat()
    return {"previous_hash": previous, "row_hash": chain_digest(previous, row["id"], content)}


def is_numbered(table: Table) -> bool:
    """Whether a sequence gives the table's rows their id: the ledger's genesis has one of text."""
    return "id" in table.columns and isinstance(table.columns["id"].type, Integer)


def test_a_proposal_made_before_dossiers_is_read_and_not_approved(desk):
    proposal_id = desk.propose()
    desk.change(proposal_id, dossier_hash=None, run=None)
    assert read_report(desk.proposal(proposal_id), BacktestReport).metrics.total_trades == 1204
    vote = Vote("APPROVE", "bob", "the curve was read twice")
    for cast in (decide, decide_verified):
        with pytest.raises(LineageError, match="made before dossiers"):
            cast(desk.engine, proposal_id, vote, datetime.now(UTC))
    assert desk.stages() == {desk.proposal(proposal_id).model_id: "staging"} and desk.votes() == []


def test_evidence_with_other_fields_is_none(desk):
    proposal_id = desk.propose()
    assert stored_evidence(desk.proposal(proposal_id)).psr == 0.973
    desk.change(proposal_id, evidence={"psr": 0.9})
    assert stored_evidence(desk.proposal(proposal_id)) is None


def test_a_chain_record_of_an_older_run_is_read_under_its_older_names():
    link = {"record": "a", "field": "b", "said": "1", "found": "2", "where": "c"}
    chain = ChainRecord.model_validate({"links": [link]})
    assert chain.links == (LinkRecord(record="a", field="b", recorded="1", recomputed="2", source="c"),)
    assert chain.model_dump()["links"][0]["recorded"] == "1" and chain.broken == chain.links


def test_a_database_of_an_older_version_upgrades_with_nothing_lost_and_its_production_model_waits_for_a_vote(
    empty_database, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    upgrade(empty_database, "0006")
    tables = (
        "experiment_contracts", "usdcop_m5_ohlcv", "macro_indicators_daily", "ledger_genesis", "oos_trials",
        "model_registry", "instruments", "promotion_proposals", "approval_audit_log",
    )  # fmt: skip
    with open_desk(f"sqlite:///{tmp_path}/today.db", tmp_path) as today:
        served = today.propose_recomputable(named_by_weights=True)
        decide_verified(today.engine, served, APPROVE, datetime.now(UTC))
        waiting = today.propose_recomputable("other", 2)
        copy_rows(today.engine, empty_database, *tables)
    monkeypatch.setenv("DOSVOTOS_HOME", str(tmp_path / "another home"))  # an older version knew none
    before = counts(empty_database, *tables)
    upgrade(empty_database)
    assert counts(empty_database, *tables) == before
    desk = Desk(empty_database, tmp_path)
    production = open_production(empty_database, INSTRUMENT)
    check_dossier(empty_database, production)
    assert production.row.model_id == desk.proposal(served).model_id
    assert production.silence.code == "unsigned_vote"
    assert desk.stages()[production.row.model_id] == "production"
    with pytest.raises(LineageError, match="made before dossiers"):
        decide_verified(empty_database, waiting, APPROVE, datetime.now(UTC))
    again = desk.propose_recomputable("other", 2)
    assert desk.proposal(waiting).status == "SUPERSEDED"
    assert decide_verified(empty_database, again, APPROVE, datetime.now(UTC)).new_stage == "production"
    assert open_production(empty_database, INSTRUMENT).silence is None
    with reading(empty_database) as connection:
        assert verify_audit(connection, full=True) == []


def counts(engine: Engine, *tables: str) -> dict[str, int]:
    with reading(engine) as connection:
        return {
            name: connection.exec_driver_sql(f"SELECT COUNT(*) FROM {name}").scalar_one() for name in tables
        }
