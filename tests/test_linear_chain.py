"""The linear rival as a candidate of its own: through both votes and into a signal, like any other policy."""

import json

import pandas as pd
import pytest
from sqlalchemy import select

from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.records import TrainingRecord
from dosvotos.database.connection import reading
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.registry import list_proposals
from dosvotos.lineage.vote import decide_verified
from dosvotos.policy.bundle import open_bundle
from dosvotos.promotion.decision import Vote
from dosvotos.promotion.dossier import Dossier
from tests.project import Project, stored_project

pytestmark = pytest.mark.slow

LAYERS = ("dataset", "training", "backtest", "promotion")
LINEAR = {
    "training": {"engine": "linear"},
    "quality_thresholds": {
        "success_criteria": {"min_trades": 10}
    },  # it trades rarely, and the window is short
}
MODELS = "data/06_models/smoke"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    made = stored_project(tmp_path_factory.mktemp("linear"))
    made.run("smoke", *LAYERS, **LINEAR)
    return made


def test_it_is_trained_judged_approved_and_served_unchanged(project, monkeypatch):
    monkeypatch.chdir(project.root)
    with reading(project.engine) as connection:
        (proposal,) = list_proposals(connection)
    training = TrainingRecord.model_validate_json(
        (project.root / MODELS / "training_record.json").read_bytes()
    )
    assert (training.engine, training.timesteps, training.curriculum_final_phase) == ("linear", 0, "linear")
    assert training.linear_rival.model_hash == training.model_hash == proposal.lineage["model_hash"]
    assert training.linear_rival.val_return == training.best_val_reward
    rival = Dossier.of(proposal).read(BacktestReport).linear_rival
    assert rival.difference.status == "same_policy" and rival.metrics.model_dump() == proposal.metrics
    assert [reason["code"] for reason in proposal.reasons] == ["loosened", "short_window"], proposal.reason
    vote = Vote("APPROVE", "ana", "approved to see a signal in a test")
    outcome = decide_verified(project.engine, proposal.id, vote, pd.Timestamp("2026-11-21", tz="UTC"))
    assert outcome.new_stage == "production"
    project.run("smoke", "inference")
    with reading(project.engine) as connection:
        (signal,) = connection.execute(select(trading_signals)).all()
    assert (signal.status, signal.model_id) == ("SIGNAL", proposal.model_id)
    assert signal.signal in (-1.0, 0.0, 1.0) and 1 / 3 < signal.confidence <= 1


def test_its_bundle_holds_no_network_no_sb3_file_and_one_policy(project):
    manifest_hash = json.loads((project.root / MODELS / "candidate.json").read_text())["manifest_hash"]
    bundle = open_bundle(project.root / MODELS / manifest_hash, manifest_hash)
    assert sorted(bundle.policy.tensors) == ["action.bias", "action.weight"]
    assert bundle.linear_rival.model_hash == bundle.policy.model_hash
    assert "model.zip" not in bundle.files and not list((project.root / MODELS).glob("*.zip"))
    page = (project.root / "data/08_reporting/smoke/training_report.html").read_text()
    assert "Linear rival" in page and "Curriculum" not in page and "Policy loss" not in page


def test_the_same_contract_and_data_give_the_same_model_and_no_second_look(project):
    before = (project.root / MODELS / "candidate.json").read_bytes()
    project.run("smoke", "training", "backtest", "promotion", **LINEAR)
    assert (project.root / MODELS / "candidate.json").read_bytes() == before
    assert len(TrialLedger(project.engine, "USD/COP.SIM").looks()) == 1
    with reading(project.engine) as connection:
        assert len(list_proposals(connection)) == 1
