"""Real runs of what L3 does not train as one model: the documents' rule, and a walk-forward line."""

import hashlib
import re
from pathlib import Path

import pytest
import yaml

from dosvotos.contracts.records import TrainingRecord
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.registry import list_proposals
from dosvotos.errors import LineageError, SelectionError, StrategyError
from dosvotos.pipelines.training import nodes as training_nodes
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.dossier import read_report
from tests.conftest import ROOT
from tests.project import Project, inside, stored_project

pytestmark = pytest.mark.slow
SMOKE = yaml.load((ROOT / "conf/smoke/parameters.yml").read_text(), yaml.BaseLoader)
MARKET = {name: SMOKE[name] for name in ("date_ranges", "sample_market")}
MARKET["sample_market"]["edge"] = float(MARKET["sample_market"]["edge"])
L4 = ("backtest", "promotion")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return stored_project(tmp_path_factory.mktemp("own"))


def run_rule(project: Project, *pipelines: str) -> None:
    project.run("my_rule", *pipelines, **MARKET)


def looks(project: Project) -> list:
    return TrialLedger(project.engine, "USD/COP.SIM").looks()


def latest(project: Project, experiment: str):
    with reading(project.engine) as connection:
        return next(row for row in list_proposals(connection) if row.experiment_name == experiment)


def test_the_documents_rule_is_the_one_that_ships():
    page = (ROOT / "docs/own_strategy.md").read_text()
    printed = dict(re.findall(r"```(?:python|yaml)\n# (conf/my_rule/\S+)\n(.*?)```", page, re.DOTALL))
    assert set(printed) == {
        f"conf/my_rule/{name}" for name in ("my_rule.py", "parameters.yml", "globals.yml")
    }
    for path, text in printed.items():
        shipped = (ROOT / path).read_text()
        assert text == shipped or yaml.safe_load(text) == yaml.safe_load(shipped) != None  # noqa: E711
    assert printed["conf/my_rule/my_rule.py"] == (ROOT / "conf/my_rule/my_rule.py").read_text()


def test_a_rule_goes_from_its_source_to_a_proposal_that_nobody_can_serve(project, capfd):
    source = project.root / "conf/my_rule/my_rule.py"
    run_rule(project, "dataset", *L4)
    row, (look,) = latest(project, "my_rule"), looks(project)
    assert look.model_hash == row.lineage["model_hash"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert len(look.daily_returns) == 72
    assert [reason["code"] for reason in row.reasons] == ["min_trades"]  # the smoke market's window is short
    told = capfd.readouterr().out
    assert "cannot be served: L4 judges it" in told and "a person can only reject it" in told
    models = project.root / "data/06_models/my_rule"
    assert not (models / "training_record.json").exists() and not list(models.rglob("policy.safetensors"))
    assert (models / row.lineage["manifest_hash"] / "my_rule.py").read_bytes() == source.read_bytes()
    frozen = ContractRegistry(project.engine).of_experiment("my_rule", "1.0.0")["CTR-EXP-my_rule"]
    assert frozen.frozen_config["candidate"] == {"targets": "my_rule:targets"}
    run_rule(project, *L4)
    assert len(looks(project)) == 1 and latest(project, "my_rule").id == row.id


@pytest.mark.campaign
def test_another_source_is_another_model_and_one_that_looks_ahead_none(project):
    source = project.root / "conf/my_rule/my_rule.py"
    before, text = latest(project, "my_rule"), source.read_text()
    source.write_text(text.replace('features["usdmxn_change_1d"]', 'features["usdmxn_change_1d"].shift(-60)'))
    with pytest.raises(StrategyError, match="not judged, the leak check found: target at"):
        run_rule(project, *L4)
    assert len(looks(project)) == 1
    source.write_text(text.replace("0.004", "0.005"))
    run_rule(project, *L4)
    after = latest(project, "my_rule")
    assert (after.evidence["looks"], after.evidence["models"]) == (2, 2)
    assert after.lineage["model_hash"] != before.lineage["model_hash"]
    assert after.lineage["config_hash"] == before.lineage["config_hash"]


def test_nothing_is_trained_for_a_rule_and_nothing_judged_without_a_training(project):
    for pipelines in ((), ("training",)):
        with pytest.raises(
            SelectionError, match=r"so nothing is trained; run 'kedro run --pipelines data_acq"
        ):
            run_rule(project, *pipelines)
    project.run("smoke", "dataset")
    with pytest.raises(
        LineageError, match=r"no model of smoke was trained yet; run 'kedro run --pipelines tr"
    ):
        project.run("smoke", "backtest")


LINE = {
    "experiment": {"version": "2.0.0"},
    "splits": {"mode": "walk_forward", "folds": 2, "train_window": "expanding"},
    "curriculum": {
        "phases": [{"name": "only", "timesteps": 20480, "transaction_cost": 1.0, "drawdown": 1.0}]
    },
}


def test_a_line_goes_in_one_command_from_its_dataset_to_one_look_and_one_proposal(project, monkeypatch):
    known, train_seeds = len(looks(project)), training_nodes.train_seeds
    calls = []

    def dies_in_the_second_fold(parameters, *arguments):
        calls.append(parameters.splits.fold)
        if len(calls) == 2:
            raise MemoryError
        return train_seeds(parameters, *arguments)

    monkeypatch.setattr(training_nodes, "train_seeds", dies_in_the_second_fold)
    with pytest.raises(MemoryError):
        project.run("smoke", "dataset", "training", *L4, **LINE)
    abandoned = looks(project)[-1]
    assert len(looks(project)) == known + 1 and abandoned.daily_returns is None
    assert (str(abandoned.window_start), str(abandoned.window_end)) == ("2023-09-01", "2023-12-15")
    project.run("smoke", "dataset", "training", *L4, **LINE)
    assert calls == [1, 2, 1, 2]
    row, look = latest(project, "smoke"), looks(project)[-1]
    assert (look.id, look.model_hash, len(look.daily_returns)) == (
        abandoned.id,
        row.lineage["config_hash"],
        72,
    )
    with inside(project.root), reading(project.engine) as connection:
        record = read_report(row, TrainingRecord)
        page = Path("data/08_reporting/smoke/training_report.html").read_text()
        assert verify_audit(connection) == []
    tests = [fold.date_ranges["test"] for fold in record.folds]
    assert tests == ["2023-09-01 to 2023-10-23", "2023-10-24 to 2023-12-15"]
    chosen_on = record.folds[1].date_ranges["val"]
    assert tests[0][:10] < chosen_on.split(" to ")[1] < tests[1][:10], "on the first fold's test"
    assert record.folds[1].date_ranges["train"].startswith("2023-01-0")
    assert "FAIL" not in row.criteria_results["lineage"]
    assert not {"one_fold", "lineage"} & {reason["code"] for reason in row.reasons}
    assert "this page is about its last fold" in page.replace("\n", " ")
