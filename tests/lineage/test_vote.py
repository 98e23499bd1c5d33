"""What an approval computes again, and what happens when something is not what was computed."""

import copy
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import JSON, Table, select, text, update

from dosvotos.backtest.report import BacktestReport
from dosvotos.commands.jobs import run_queued
from dosvotos.contracts import experiment
from dosvotos.database.connection import reading, writing
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.registry import get_model
from dosvotos.database.requests import list_requests
from dosvotos.database.tables import backtest_requests, instruments, model_registry, promotion_proposals
from dosvotos.errors import BundleError, DecisionConflictError, DecisionError, DosVotosError, LineageError
from dosvotos.lineage import vote as lineage_vote
from dosvotos.lineage.vote import decide_verified, restore_dossiers, verify_proposal
from dosvotos.live.production import check_dossier, open_production
from dosvotos.promotion.agreement import records_in
from dosvotos.promotion.decision import Vote, decide
from dosvotos.promotion.dossier import Dossier, dossier_files, write_dossier
from dosvotos.promotion.extra_backtests import check_extra_backtests, check_requests, request_backtest
from dosvotos.promotion.registration import proposal_columns
from dosvotos.promotion.vote_rules import columns_after
from dosvotos.sealed import seal, write_sealed
from tests.faults.forging import at
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.recomputable_proposals import recompute_once

pytestmark = pytest.mark.slow
APPROVE = Vote("APPROVE", "bob", "the curve was read twice")

SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
"""For tests of what is computed, which no database changes."""


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def approve(desk: Desk, proposal_id: int) -> str:
    return decide_verified(desk.engine, proposal_id, APPROVE, now()).new_stage


def is_unapproved(desk: Desk) -> bool:
    return not desk.votes() and "production" not in desk.stages().values()


def latest(desk: Desk):
    with reading(desk.engine) as connection:
        return connection.execute(
            select(promotion_proposals).order_by(promotion_proposals.c.id.desc()).limit(1)
        ).one()


def test_a_proposal_that_is_what_it_says_is_approved(desk):
    proposal_id = desk.propose_recomputable()
    verified = verify_proposal(desk.engine, desk.proposal(proposal_id))
    assert verified.chain.broken == ()
    assert {link.record for link in verified.chain.links} >= {
        "contract", "dataset record", "training record", "backtest record", "backtest results",
        "comparison report", "chain", "proposal's file", "proposal", "model registry", "statistics of train",
    }  # fmt: skip
    assert approve(desk, proposal_id) == "production"


def test_a_model_is_compared_with_the_production_model_of_then_and_replaces_it(desk):
    first = desk.propose_recomputable()
    approve(desk, first)
    second = desk.propose_recomputable(seed=2)
    assert desk.proposal(second).lineage["baseline_model_id"] == desk.proposal(first).model_id
    assert approve(desk, second) == "production"
    assert sorted(desk.stages().values()) == ["archived", "production"]


def edit_dossier(desk: Desk, proposal_id: int, name: str, path: str, value) -> None:
    """Forge a record as someone with files and database at hand would: a new dossier, its hash in the row."""
    row = desk.proposal(proposal_id)
    dossier = Dossier.of(row)
    files = dict(dossier.files)
    tree = json.loads(files[name])
    *parents, field = path.split(".")
    node = tree
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    node[int(field) if isinstance(node, list) else field] = value
    files[name] = json.dumps(tree).encode()
    folder, dossier_hash = write_dossier(Path(row.report_folder).parent, files), seal(files)[0]
    forged = Dossier.open(folder, dossier_hash, row.experiment_name)
    files = dossier_files(records_in(forged), row.experiment_name)
    folder, dossier_hash = write_dossier(Path(row.report_folder).parent, files), seal(files)[0]
    desk.change(proposal_id, report_folder=str(folder), dossier_hash=dossier_hash)


FORGERIES = [
    ("backtest_results_demo.json", "metrics.sharpe_ratio", 99.0, "metrics.sharpe_ratio is 99.0"),
    ("backtest_results_demo.json", "metrics.total_trades", 109, "metrics.total_trades is 109"),
    ("backtest_results_demo.json", "daily_returns.2025-07-01", 0.05, "daily_returns.2025-07-01 is 0.05"),
    ("backtest_results_demo.json", "naive.random_sharpe_p95", -1.0, "naive.random_sharpe_p95 is -1.0"),
    ("backtest_results_demo.json", "equity_curve.7.1", 1e6, "equity_curve.7.1 is 1000000.0"),
    ("backtest_results_demo.json", "test_period", "2025-06-24 to 2026-07-31", "test_period is 2025-06-24"),
    ("backtest_results_demo.json", "linear_rival.difference.interval_90.1", 9.0, "interval_90.1 is 9.0"),
    ("backtest_results_demo.json", "linear_rival.metrics.sharpe_ratio", 0.1, "metrics.sharpe_ratio is 0.1"),
    ("backtest_results_demo.json", "linear_rival", None, "linear_rival is absent"),
    ("training_record.json", "linear_rival.model_hash", "0" * 64, "linear_rival.model_hash is 000000000000"),
    ("training_record.json", "linear_rival.val_sharpe", 9.0, "linear_rival.val_sharpe is 9.0"),
    ("training_record.json", "trained_by", "mallory", "trained_by is mallory"),
    ("training_record.json", "seeds.0.best_val_reward", 0.9, "seeds.0.best_val_reward is 0.9"),
    ("training_record.json", "model_hash", "0" * 64, "model_hash is 000000000000"),
    ("DS_demo_lineage.json", "point_in_time", "proven", "point_in_time is proven"),
    ("DS_demo_lineage.json", "splits.test.uncovered_sessions", 1, "splits.test.uncovered_sessions is 1"),
    ("DS_demo_lineage.json", "acquisition_hash", "0" * 64, "acquisition_hash is 000000000000"),
    ("backtest_record.json", "backtest_hash", "0" * 64, "backtest_hash is 000000000000"),
    ("comparison_report_demo.json", "reached", True, "reached is True"),
    ("promotion_proposal_demo.json", "evidence.psr", 0.5, "evidence.psr is 0.5"),
    ("promotion_proposal_demo.json", "recommendation", "PROMOTE", "recommendation is PROMOTE"),
    ("promotion_proposal_demo.json", "criteria.0.needed", 0.1, "criteria.0.needed is 0.1"),
]


@SQLITE
@pytest.mark.parametrize(("name", "path", "value", "said"), FORGERIES)
def test_a_forged_record_is_replaced_by_a_reject_that_names_it(desk, name, path, value, said, monkeypatch):
    monkeypatch.setattr(lineage_vote, "recompute", recompute_once)  # from the same inputs it makes the same
    proposal_id = desk.propose_recomputable()
    edit_dossier(desk, proposal_id, name, path, value)
    with pytest.raises(DecisionError, match="which is a veto") as refused:
        approve(desk, proposal_id)
    assert said in str(refused.value)
    assert desk.proposal(proposal_id).status == "SUPERSEDED" and is_unapproved(desk)
    row = latest(desk)
    assert (row.recommendation, row.status) == ("REJECT", "PENDING_APPROVAL")
    assert row.criteria_results["lineage"].startswith("FAIL (") and said in row.criteria_results["lineage"]
    with pytest.raises(DecisionError, match="veto"):
        approve(desk, row.id)


def test_after_such_a_reject_l4_makes_the_honest_proposal_again(desk):
    proposal_id = desk.propose_recomputable()
    edit_dossier(desk, proposal_id, "backtest_results_demo.json", "metrics.sharpe_ratio", 99.0)
    with pytest.raises(DecisionError):
        approve(desk, proposal_id)
    assert approve(desk, desk.propose_recomputable()) == "production"


def test_bars_changed_below_the_trigger_break_the_chain(desk):
    proposal_id = desk.propose_recomputable()
    on = " ON usdcop_m5_ohlcv" if desk.engine.dialect.name == "postgresql" else ""
    with writing(desk.engine) as connection:
        connection.execute(text(f"DROP TRIGGER usdcop_m5_ohlcv_no_update{on}"))
        first = "timestamp = (SELECT MIN(timestamp) FROM usdcop_m5_ohlcv)"
        connection.execute(text(f"UPDATE usdcop_m5_ohlcv SET close = close + 0.01 WHERE {first}"))
    with pytest.raises(DecisionError, match="acquisition_hash is"):
        approve(desk, proposal_id)
    assert is_unapproved(desk)


def another(column, value):
    """A value of the column's kind that is not the one stored."""
    by_name = {"instrument": "USD/COP", "status": "APPROVED", "confidence": 0.5, "recommendation": "REJECT"}
    if column.name in by_name:
        return by_name[column.name]
    if value is None:
        return {"forged": 1} if isinstance(column.type, JSON) else "mallory"
    if isinstance(value, datetime):
        return value - timedelta(days=1)
    if isinstance(value, dict):
        return {**value, "forged": 1}
    if isinstance(value, list):
        return [*value, {}]
    return f"{value[:-1]}{1 if value.endswith('0') else 0}"  # as long, for columns of a hash's length


def columns_of(table: Table, *left_out: str) -> list[str]:
    return [column.name for column in table.columns if column.name not in left_out]


def test_no_column_of_a_proposal_can_be_edited_and_approved(desk):
    proposal_id, other = desk.propose_recomputable(), desk.propose("other", 5)
    of_votes = {"reviewer", "reviewer_notes", "approved_at", "reopened_at"}
    for name in columns_of(promotion_proposals, "id", "requires_human_approval", *of_votes):
        value = getattr(desk.proposal(proposal_id), name)
        forged = another(promotion_proposals.c[name], value)
        desk.change(proposal_id, **{name: forged if name != "model_id" else desk.proposal(other).model_id})
        with pytest.raises(DosVotosError):
            decide(desk.engine, proposal_id, APPROVE, now())
        assert is_unapproved(desk), name
        desk.change(proposal_id, **{name: value})
    assert approve(desk, proposal_id) == "production"


REWRITTEN = {"id", "stage", "metrics", "lineage", "created_at", "promoted_at", "archived_at"}
"""Columns of a model that the approval itself writes."""


def test_no_column_of_a_model_can_be_edited_and_approved(desk):
    proposal_id, t = desk.propose_recomputable(), model_registry
    model_id = desk.proposal(proposal_id).model_id
    for name in columns_of(t, "model_id", *REWRITTEN):
        with reading(desk.engine) as connection:
            value = getattr(get_model(connection, model_id), name)
        for written in (another(t.c[name], value), value):
            with writing(desk.engine) as connection:
                connection.execute(update(t).where(t.c.model_id == model_id).values({name: written}))
            if written != value:
                with pytest.raises(DosVotosError):
                    decide(desk.engine, proposal_id, APPROVE, now())
                assert is_unapproved(desk), name
    assert approve(desk, proposal_id) == "production"


@SQLITE
def test_the_linear_rival_is_no_look(desk):
    proposal = desk.proposal(desk.propose_recomputable())
    rival = Dossier.of(proposal).read(BacktestReport).linear_rival
    (look,) = TrialLedger(desk.engine, INSTRUMENT).looks()
    assert rival.difference.status == "compared" and rival.metrics.total_trades > 0
    assert look.model_hash == proposal.lineage["model_hash"] != rival.model_hash


@SQLITE
def test_a_contract_from_before_linear_rivals_is_judged_and_approved_without_one(desk, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(experiment, "SCHEMA", 2)
        proposal_id = desk.propose_recomputable()
    files = Dossier.of(desk.proposal(proposal_id)).files
    assert not any(b"linear_rival" in content for content in files.values())
    assert verify_proposal(desk.engine, desk.proposal(proposal_id)).chain.broken == ()
    assert approve(desk, proposal_id) == "production"


@SQLITE
def test_a_bundle_without_the_rival_its_contract_asks_for_is_refused(desk, monkeypatch):
    proposal_id = desk.propose_recomputable()
    monkeypatch.setattr("dosvotos.policy.bundle.LINEAR_RIVAL", "elsewhere")
    with pytest.raises(LineageError, match="has no linear rival; run the training layer again"):
        approve(desk, proposal_id)
    assert is_unapproved(desk)


@SQLITE
def test_a_row_edited_by_sql_is_replaced_by_a_reject_too(desk):
    proposal_id = desk.propose_recomputable()
    desk.change(proposal_id, metrics={**desk.proposal(proposal_id).metrics, "sharpe_ratio": 99.0})
    with pytest.raises(DecisionError, match=r"proposal: metrics\.sharpe_ratio is 99\.0, the dossier"):
        approve(desk, proposal_id)
    assert desk.proposal(proposal_id).status == "SUPERSEDED" and latest(desk).recommendation == "REJECT"


def test_the_registry_s_figures_are_those_that_were_voted_on(desk):
    proposal_id = desk.propose_recomputable()
    with writing(desk.engine) as connection:
        connection.execute(update(model_registry).values(metrics={"sharpe_ratio": 99.0}, lineage={}))
    approve(desk, proposal_id)
    row = desk.proposal(proposal_id)
    with reading(desk.engine) as connection:
        model = get_model(connection, row.model_id)
    assert model.metrics == row.metrics and model.lineage.items() >= row.lineage.items()


def test_a_head_row_that_names_another_model_stops_every_vote(desk):
    approve(desk, desk.propose_recomputable())
    second = desk.propose_recomputable(seed=2)
    with writing(desk.engine) as connection:
        connection.execute(update(instruments).values(production_model_id=desk.proposal(second).model_id))
    with pytest.raises(DecisionConflictError, match="head row names"):
        approve(desk, second)


def test_a_status_set_back_by_sql_is_not_open_again(desk):
    proposal_id = desk.propose_recomputable()
    decide_verified(desk.engine, proposal_id, APPROVE._replace(decision="REJECT"), now())
    desk.change(proposal_id, status="PENDING_APPROVAL")
    with pytest.raises(DecisionConflictError, match="vote 1 of the audit log made it REJECTED"):
        approve(desk, proposal_id)
    other = desk.propose_recomputable("other", 2)
    desk.propose_recomputable("other", 3)
    desk.change(other, status="PENDING_APPROVAL")
    with pytest.raises(DecisionConflictError, match="replaced it"):
        approve(desk, other)
    assert "production" not in desk.stages().values()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b" "), "altered"),
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.with_name("extra.json").write_text("{}"), "added"),
        (lambda path: shutil.rmtree(path.parent), "missing"),
    ],
)
def test_a_damaged_dossier_is_no_ground_for_a_vote_and_is_written_again_to_the_byte(desk, damage, said):
    proposal_id = desk.propose_recomputable()
    row = desk.proposal(proposal_id)
    before = Dossier.of(row).files
    damage(desk.root / row.report_folder / "training_record.json")
    with pytest.raises(LineageError, match=said):
        approve(desk, proposal_id)
    assert is_unapproved(desk) and desk.proposal(proposal_id).recommendation == row.recommendation
    assert restore_dossiers(desk.engine, row.model_id) == [Path(row.report_folder)]
    assert Dossier.of(row).files == before
    assert approve(desk, proposal_id) == "production"


def test_the_dossier_of_the_production_model_is_written_again_too(desk):
    approve(desk, desk.propose_recomputable())
    second = desk.propose_recomputable(seed=2)
    approve(desk, second)
    row = desk.proposal(second)
    shutil.rmtree(row.report_folder)
    assert restore_dossiers(desk.engine, row.model_id) == [Path(row.report_folder)]
    assert Dossier.of(row).read is not None and restore_dossiers(desk.engine, row.model_id) == []


def test_an_altered_bundle_is_an_error(desk):
    proposal_id = desk.propose_recomputable()
    (path,) = desk.root.glob("data/06_models/*/policy.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError):
        approve(desk, proposal_id)
    assert is_unapproved(desk)


@SQLITE
def test_every_column_but_those_of_votes_repeats_the_dossier(desk):
    row = desk.proposal(desk.propose_recomputable())
    dossier = Dossier.of(row)
    columns = proposal_columns(records_in(dossier), dossier.files, row.instrument, dossier.folder)
    assert columns.keys() == set(columns_of(promotion_proposals)) - {"id", *columns_after(None)}


@pytest.mark.parametrize("table", [model_registry, promotion_proposals])
def test_the_production_model_is_served_only_while_its_rows_are_its_dossier(desk, table):
    proposal_id = desk.propose_recomputable()
    approve(desk, proposal_id)
    assert open_production(desk.engine, INSTRUMENT).row.model_id == desk.proposal(proposal_id).model_id
    with writing(desk.engine) as connection:
        connection.execute(update(table).values(metrics={"sharpe_ratio": 99.0}))
    with pytest.raises(LineageError, match=rf"{table.name}\.metrics.* the dossier says"):
        check_dossier(desk.engine, open_production(desk.engine, INSTRUMENT))


@SQLITE
def test_without_its_dossier_the_production_model_is_not_served_until_l4_writes_it_again(desk):
    proposal_id = desk.propose_recomputable()
    approve(desk, proposal_id)
    row = desk.proposal(proposal_id)
    shutil.rmtree(row.report_folder)
    production = open_production(desk.engine, INSTRUMENT)
    with pytest.raises(LineageError, match="run the backtest and promotion pipelines again"):
        check_dossier(desk.engine, production)
    assert restore_dossiers(desk.engine, row.model_id) == [Path(row.report_folder)]
    check_dossier(desk.engine, production)


@contextmanager
def only_for_now(desk: Desk, statement: str) -> Iterator[None]:
    """Change a SQLite file that knows no trigger or constraint any more, and put it back."""
    file = Path(desk.engine.url.database)
    desk.engine.dispose()
    before = file.read_bytes()
    with closing(sqlite3.connect(file)) as connection, connection:  # which asks for no foreign key
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
    yield
    desk.engine.dispose()
    file.write_bytes(before)


@SQLITE
def test_extra_backtests_are_run_again_before_an_approval(desk):
    """Report, manifest and row forged together, as someone with files and database at hand would."""
    proposal_id = desk.propose_recomputable()
    request_backtest(desk.engine, proposal_id, date(2025, 5, 19), date(2025, 5, 23), "bob", now())
    assert run_queued(desk.engine, lambda _: None) == 1
    with reading(desk.engine) as connection:
        (row,) = list_requests(connection, proposal_id)
    file = Path(row.result_file)
    honest = json.loads(file.read_bytes())
    t = backtest_requests

    def seal_report(report: dict) -> None:
        digest = write_sealed(file.parent, {file.name: json.dumps(report).encode()})
        with writing(desk.engine) as connection:
            connection.execute(update(t).values(result_hash=digest, metrics=report["metrics"]))

    for path in ("metrics.sharpe_ratio", "trades.0.pnl", "equity_curve.3.1", "daily_returns.2025-05-20"):
        seal_report(at(path, 99.5)(copy.deepcopy(honest)))
        with pytest.raises(LineageError, match=rf"backtest 1 of proposal 1: {path} is 99.5, run again it is"):
            check_extra_backtests(desk.engine, proposal_id)
    seal_report(honest)
    with writing(desk.engine) as connection:
        connection.execute(update(t).values(metrics={**honest["metrics"], "sharpe_ratio": 99.5}))
    with pytest.raises(LineageError, match=r"metrics.sharpe_ratio is 99.5, run again"):
        approve(desk, proposal_id)
    assert is_unapproved(desk)
    seal_report(honest)
    hide = ("status='failed'", "proposal_id=2", "result_file=NULL", "result_file='x'", "start_date='x'", None)
    for hidden in hide:  # a result that nobody is to see
        with desk.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA ignore_check_constraints=ON")
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            change = f"UPDATE backtest_requests SET {hidden}" if hidden else "DELETE FROM backtest_requests"
            connection.exec_driver_sql(change)
            with pytest.raises(LineageError, match=r"altered|missing|ask for it again"):
                check_requests(connection, desk.proposal(proposal_id))
            connection.rollback()
    for edit in ("UPDATE macro_indicators_daily SET value='abc'", "DELETE FROM model_registry"):
        with (
            only_for_now(desk, edit),
            pytest.raises(LineageError, match=r"proposal 1: a row behind it is gone, doubled, or holds"),
        ):
            approve(desk, proposal_id)
    assert approve(desk, proposal_id) == "production"
