"""The chain is looked at again before an approval."""

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import text, update

from dosvotos.database.connection import writing
from dosvotos.database.tables import model_registry, promotion_proposals
from dosvotos.errors import BundleError, DecisionError, LineageError
from dosvotos.hashing import digest_bytes
from dosvotos.lineage.vote import decide_verified, verify_proposal
from dosvotos.promotion.decision import Vote
from tests.proposal_fixtures import Desk

NOW = datetime.now(UTC)
APPROVE = Vote("APPROVE", "bob", "the curve was read twice")


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def test_a_whole_chain_is_approved(desk):
    proposal_id = desk.propose()
    chain = verify_proposal(desk.engine, desk.proposal(proposal_id))
    assert chain.broken == ()
    assert {link.field for link in chain.links} >= {
        "acquisition_hash", "config_hash", "dataset_hash", "test_dataset_hash", "model_hash", "backtest_hash",
        "promotion_decision", "recommendation",
    }  # fmt: skip
    assert decide_verified(desk.engine, proposal_id, APPROVE, NOW).new_stage == "production"


def rewrite(desk: Desk, proposal_id: int, name: str, **changes) -> None:
    """Edit a report file together with its hash in the row, as someone with both at hand would."""
    row = desk.proposal(proposal_id)
    path = desk.root / row.report_folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    files = {**row.report_files, name: digest_bytes(path.read_bytes())}
    change_row(desk, proposal_id, report_files=files)


def change_row(desk: Desk, proposal_id: int, **values) -> None:
    t = promotion_proposals
    with writing(desk.engine) as connection:
        connection.execute(update(t).where(t.c.id == proposal_id).values(**values))


def edit_stored_bars(desk: Desk, proposal_id: int) -> None:
    """Change one stored close, the trigger that forbids it taken away."""
    on = " ON usdcop_m5_ohlcv" if desk.engine.dialect.name == "postgresql" else ""
    with writing(desk.engine) as connection:
        connection.execute(text(f"DROP TRIGGER usdcop_m5_ohlcv_no_update{on}"))
        first = "timestamp = (SELECT MIN(timestamp) FROM usdcop_m5_ohlcv)"
        connection.execute(text(f"UPDATE usdcop_m5_ohlcv SET close = close + 0.01 WHERE {first}"))


def edit_lineage(desk: Desk, proposal_id: int) -> None:
    lineage = {**desk.proposal(proposal_id).lineage, "test_dataset_hash": "0" * 64}
    change_row(desk, proposal_id, lineage=lineage)


def edit_registry(desk: Desk, proposal_id: int) -> None:
    with writing(desk.engine) as connection:
        connection.execute(update(model_registry).values(dataset_hash="0" * 64))


EDITS = {
    "proposal: test_dataset_hash is 000000000000, the dataset record": edit_lineage,
    "model registry: dataset_hash is 000000000000, the dataset record": edit_registry,
    "dataset record: acquisition_hash is": edit_stored_bars,
    "dataset record: config_hash is 000000000000, the contract in the database": lambda desk, n: rewrite(
        desk, n, "DS_demo_lineage.json", config_hash="0" * 64
    ),
    "training record: model_hash is 000000000000, the model bundle's": lambda desk, n: rewrite(
        desk, n, "training_record.json", model_hash="0" * 64
    ),
    "backtest results: backtest_hash is 000000000000, the backtest record": lambda desk, n: rewrite(
        desk, n, "backtest_results_demo.json", backtest_hash="0" * 64
    ),
    "proposal's file: promotion_decision is PROMOTE, the backtest record": lambda desk, n: rewrite(
        desk, n, "promotion_proposal_demo.json",
        lineage={**desk.proposal(n).lineage, "promotion_decision": "PROMOTE"},
    ),
    "proposal: recommendation is PROMOTE, the proposal's file REVIEW": lambda desk, n: rewrite(
        desk, n, "promotion_proposal_demo.json", recommendation="REVIEW"
    ),
}  # fmt: skip


@pytest.mark.parametrize("named", EDITS)
def test_a_broken_link_is_a_veto_that_names_it(desk, named):
    proposal_id = desk.propose()
    EDITS[named](desk, proposal_id)
    with pytest.raises(DecisionError, match=rf"which is a veto: .*{named}"):
        decide_verified(desk.engine, proposal_id, APPROVE, NOW)
    row = desk.proposal(proposal_id)
    assert (row.recommendation, row.confidence, row.status) == ("REJECT", 0.90, "PENDING_APPROVAL")
    assert row.criteria_results["lineage"].startswith("FAIL (") and named in row.criteria_results["lineage"]
    assert desk.votes() == [] and set(desk.stages().values()) == {"staging"}
    outcome = decide_verified(desk.engine, proposal_id, Vote("REJECT", "bob"), NOW)
    assert outcome.status == "REJECTED"


def test_a_veto_stands_even_when_the_link_is_mended(desk):
    proposal_id = desk.propose()
    lineage = desk.proposal(proposal_id).lineage
    edit_lineage(desk, proposal_id)
    for _ in range(2):
        with pytest.raises(DecisionError, match="veto"):
            decide_verified(desk.engine, proposal_id, APPROVE, NOW)
        change_row(desk, proposal_id, lineage=lineage)


def test_what_cannot_be_judged_is_an_error_and_changes_nothing(desk):
    proposal_id = desk.propose()
    row = desk.proposal(proposal_id)
    record = desk.root / row.report_folder / "training_record.json"
    record.write_bytes(record.read_bytes() + b" ")
    with pytest.raises(LineageError, match=r"training_record\.json: altered"):
        decide_verified(desk.engine, proposal_id, APPROVE, NOW)
    record.unlink()
    with pytest.raises(LineageError, match=r"training_record\.json: missing"):
        decide_verified(desk.engine, proposal_id, APPROVE, NOW)
    assert desk.proposal(proposal_id).recommendation == "PROMOTE"


def test_an_older_proposal_without_records_says_so(desk):
    proposal_id = desk.propose()
    row = desk.proposal(proposal_id)
    change_row(
        desk,
        proposal_id,
        report_files={name: d for name, d in row.report_files.items() if name != "training_record.json"},
    )
    with pytest.raises(LineageError, match=r"has no training_record\.json: an older version made it"):
        decide_verified(desk.engine, proposal_id, APPROVE, NOW)


def test_an_altered_bundle_is_an_error(desk):
    proposal_id = desk.propose()
    (path,) = desk.root.glob("data/06_models/*/policy.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError):
        decide_verified(desk.engine, proposal_id, APPROVE, NOW)
