"""The second vote on what is no single trained model: a strategy of one's own, and a walk-forward line."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.records import TrainingRecord
from dosvotos.database.connection import reading
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.registry import get_model
from dosvotos.database.tables import oos_trials
from dosvotos.errors import (
    BundleError,
    DecisionConflictError,
    DecisionError,
    DosVotosError,
    LineageError,
    RequestError,
)
from dosvotos.lineage.recompute import check_bundle_config
from dosvotos.lineage.vote import decide_verified, restore_dossiers, verify_proposal
from dosvotos.live.production import check_dossier, open_production
from dosvotos.policy.candidate import open_candidate
from dosvotos.promotion.decision import Vote
from dosvotos.promotion.dossier import read_report
from dosvotos.promotion.extra_backtests import request_backtest
from dosvotos.promotion.notices import bars_to_approval, notices_of
from dosvotos.promotion.own_strategy import kind_of
from dosvotos.promotion.reasons import sentence
from dosvotos.reports.validation_pack import make_pack
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.recomputable_proposals import (
    fitted_bundle,
    line_splits,
    propose_line,
    propose_own,
    stored_contract,
    stored_small_market,
)

HOURS = """
import numpy as np
def targets(features):
    quarter = np.minimum(features["time_normalized"] * 4, 3).astype(int)
    return np.where(quarter % 2 == 0, 1, -1)
"""
SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
"""For tests of what is computed, which no database changes."""
APPROVE, REJECT = (Vote(what, "bob", "the curve was read twice") for what in ("APPROVE", "REJECT"))


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def propose(desk: Desk, source: str = HOURS, experiment: str = "my_rule"):
    """The proposal of a strategy of one's own."""
    return desk.proposal(propose_own(desk.engine, desk.root, source, experiment, datetime.now(UTC)))


def propose_folds(desk: Desk, n_folds: int = 2, version: str = "1.0.0"):
    """The proposal of a line."""
    return desk.proposal(propose_line(desk.engine, desk.root, n_folds, version, datetime.now(UTC)))


def vote(desk: Desk, proposal_id: int, what: Vote):
    return decide_verified(desk.engine, proposal_id, what, datetime.now(UTC))


def looks(desk: Desk) -> list[tuple[str, date, date]]:
    with reading(desk.engine) as connection:
        rows = connection.execute(select(oos_trials).order_by(oos_trials.c.id)).all()
    return [(row.model_hash, row.window_start, row.window_end) for row in rows]


def test_l4_judges_an_own_strategy_a_person_rejects_it_and_nobody_can_approve_it(desk):
    row = propose(desk)
    report, record = read_report(row, BacktestReport), read_report(row, TrainingRecord)
    assert report.metrics.sharpe_ratio > 2 and len(report.trades) > 50
    assert row.recommendation == "REVIEW"  # the small market's window is short
    assert (record.targets, record.timesteps, record.seeds) == ("my_rule:targets", 0, ())
    assert record.model_hash == row.lineage["model_hash"] == looks(desk)[0][0]
    with pytest.raises(DecisionError, match=r"my_rule:targets cannot be served: an own strategy has"):
        vote(desk, row.id, APPROVE)
    assert not desk.votes()
    assert vote(desk, row.id, REJECT).status == "REJECTED"
    assert propose(desk, HOURS, "other").status == "REJECTED"
    assert propose(desk, HOURS + "#", "third").status == "PENDING_APPROVAL"


def test_a_changed_source_is_another_model_and_one_more_look(desk):
    first = propose(desk)
    again = propose(desk)
    second = propose(desk, HOURS + "# the same, but for this line")
    assert again.id == first.id and second.model_id != first.model_id
    assert (first.evidence["looks"], second.evidence["looks"], len(looks(desk))) == (1, 2, 2)
    assert first.lineage["config_hash"] == second.lineage["config_hash"]


@SQLITE
def test_everybody_is_told_that_it_cannot_be_served(desk):
    row, told = propose(desk), "it is a strategy of one's own (my_rule:targets) and cannot be served"
    with reading(desk.engine) as connection:
        notices, bars = notices_of(connection, row), bars_to_approval(connection, row)
    assert [one.code for one in bars] == ["cannot_be_served"] and kind_of(row) == "own_strategy"
    assert sentence(notices[0]).startswith(told)
    pack = make_pack(desk.engine, row.id)
    assert told.replace("'", "&#39;") in pack and "It cannot be served." in pack and "15 features" not in pack
    with pytest.raises(RequestError, match="no worker runs my_rule:targets"):
        request_backtest(desk.engine, row.id, date(2025, 7, 1), date(2025, 7, 8), "bob", datetime.now(UTC))


@SQLITE
def test_no_approval_runs_an_own_strategy_whatever_the_rows_say(desk):
    """Rows edited by hand reach the recomputation; the source writes a file if it is ever run."""
    source = HOURS + "\nfrom pathlib import Path\nPath('was_run').touch()\n"
    row = propose(desk, source)
    desk.change(row.id, lineage={k: v for k, v in row.lineage.items() if k != "targets"})
    Path("was_run").unlink()
    with pytest.raises(BundleError, match="has no bundle, so it cannot be served"):
        vote(desk, row.id, APPROVE)
    assert not Path("was_run").exists() and not desk.votes()


@SQLITE
def test_a_damaged_dossier_of_an_own_strategy_is_written_again_from_its_sealed_copy(desk):
    row = propose(desk)
    Path("conf/my_rule/my_rule.py").unlink()
    file = Path(row.report_folder) / "backtest_results_my_rule.json"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"metrics", b"metrisc"))
    assert restore_dossiers(desk.engine, row.model_id) == [Path(row.report_folder)]
    assert file.read_bytes() == before


def test_a_line_is_one_look_of_its_contract_and_an_approval_serves_its_last_fold(desk):
    row = propose_folds(desk)
    record = read_report(row, TrainingRecord)
    first, last = record.folds
    assert looks(desk) == [(row.lineage["config_hash"], date(2025, 6, 24), date(2025, 7, 31))]
    assert first.date_ranges["test"].split(" to ")[0] == "2025-06-24"
    assert last.date_ranges["test"].split(" to ")[1] == "2025-07-31"
    assert (row.lineage["manifest_hash"], row.lineage["folds"]) == (last.manifest_hash, 2)
    assert row.lineage["norm_stats_hash"] == last.norm_stats_hash != first.norm_stats_hash
    assert verify_proposal(desk.engine, row).chain.broken == ()
    assert vote(desk, row.id, APPROVE).new_stage == "production"
    production = open_production(desk.engine, INSTRUMENT)
    check_dossier(desk.engine, production)
    assert production.bundle.manifest_hash == last.manifest_hash
    assert production.row.lineage["date_ranges"] == last.date_ranges


@SQLITE
def test_a_line_s_proposal_is_about_the_method_and_says_so(desk):
    row = propose_folds(desk, 3)
    codes = [reason["code"] for reason in row.reasons]
    assert "one_fold" not in codes and kind_of(row) == "line"
    with reading(desk.engine) as connection:
        told = [sentence(notice) for notice in notices_of(connection, row)]
        assert not bars_to_approval(connection, row)
    assert told[0].startswith("it is about the method: 3 folds, each trained on what lay before it")
    pack = make_pack(desk.engine, row.id)
    assert "it is about the method: 3 folds" in pack and "training.folds.2" in pack


@SQLITE
def test_a_line_cannot_be_approved_without_every_fold_s_bundle(desk):
    row = propose_folds(desk)
    record = read_report(row, TrainingRecord)
    policy = Path("data/06_models") / record.folds[0].manifest_hash / "policy.safetensors"
    content = policy.read_bytes()
    policy.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=rf"{record.folds[0].manifest_hash}/policy\.safetensors: expected"):
        vote(desk, row.id, APPROVE)
    policy.write_bytes(content)
    assert vote(desk, row.id, APPROVE).new_stage == "production"


@SQLITE
def test_the_last_fold_alone_is_another_model_than_the_line(desk):
    """Its bundle names the folds before it, so that a line with another first fold is another model."""
    record = read_report(propose_folds(desk), TrainingRecord)
    named = json.loads((Path("data/06_models") / record.manifest_hash / "line.json").read_bytes())
    assert named == {"earlier": [record.folds[0].manifest_hash]}


@SQLITE
@pytest.mark.parametrize(
    ("path", "value"),
    [("folds.0.dataset_hash", "0" * 64), ("folds.1.best_val_reward", 0.9), ("targets", "my_rule:targets")],
)
def test_an_edited_fold_never_reaches_an_approval(desk, path, value):
    from tests.lineage.test_vote import edit_dossier

    row = propose_folds(desk)
    edit_dossier(desk, row.id, "training_record.json", path, value)
    with pytest.raises(DosVotosError, match=rf"{path.rpartition('.')[2]} is|cannot be served"):
        vote(desk, row.id, APPROVE)
    assert not desk.votes()


def test_a_line_abandoned_after_its_look_counts_against_the_next_one(desk):
    first = propose_folds(desk)
    ledger = TrialLedger(desk.engine, INSTRUMENT)
    row = propose_folds(desk, 3, "2.0.0")
    assert [one.daily_returns is None for one in ledger.looks()] == [False, False]
    assert (row.evidence["looks"], row.evidence["models"]) == (2, 2)
    with reading(desk.engine) as connection:
        assert get_model(connection, row.model_id).stage == "staging"
    assert desk.proposal(first.id).status == "SUPERSEDED"
    with pytest.raises(DecisionConflictError):
        vote(desk, first.id, APPROVE)


@SQLITE
def test_one_model_is_never_judged_as_a_line_nor_a_line_as_one_model(desk):
    """Under a line's look a single fold's model would be judged on sessions that it was trained on."""
    line, plain = (
        stored_contract(desk.engine, name, **sections)
        for name, sections in (("line", {"splits": line_splits(2)}), ("plain", {}))
    )
    history = stored_small_market(desk.engine, line)
    model = fitted_bundle(desk.root, line, history, 1)
    with pytest.raises(LineageError, match=r"is one model, but CTR-EXP-line .* is about one line"):
        check_bundle_config(line, model)
    row = propose_folds(desk)
    manifest = row.lineage["manifest_hash"]
    opened = open_candidate(Path("data/06_models") / manifest, manifest)
    check_bundle_config(line, opened)
    with pytest.raises(LineageError, match=r"is one line, but CTR-EXP-plain .* is about one model"):
        check_bundle_config(plain, opened)
