"""From the sample market to a signal, on real runs: twice the same, approved once, one production model."""

import json
import logging
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.framework.session import KedroSession
from mlflow import MlflowClient
from sqlalchemy import select

from dosvotos import hooks, mlflow_figures, mlflow_tracking
from dosvotos.audit.log import find_breaks, read_chain
from dosvotos.contracts.differences import record_link
from dosvotos.contracts.experiment import ExperimentContract, flatten
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.contracts.records import TrainingRecord
from dosvotos.database.connection import reading
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.outbox import waiting_messages
from dosvotos.database.registry import list_proposals
from dosvotos.database.tables import experiment_contracts, model_registry
from dosvotos.errors import ContractError, DosVotosError, LineageError
from dosvotos.lineage.chain import RECORD_NAMES, split_file_hashes
from dosvotos.lineage.recompute import PipelineRecords
from dosvotos.lineage.vote import decide_verified, verify_proposal
from dosvotos.market.dataset import SPLITS
from dosvotos.pipelines.promotion.nodes import verify_chain
from dosvotos.policy.bundle import Bundle, open_bundle
from dosvotos.promotion.criteria import criterion_text, lineage_criterion
from dosvotos.promotion.decision import Vote
from dosvotos.promotion.notify import NOTIFICATION, Notification, write_text
from dosvotos.training.results import TrainingMetrics
from tests.canaries import canaries_in, canary_environment
from tests.conftest import parameters_of
from tests.faults.edits import edited_at, leaves
from tests.project import Project, inside, new_project

RECORDS = (
    "data/05_model_input/smoke/DS_smoke_lineage.json",
    "data/06_models/smoke/training_record.json",
    "data/07_model_output/smoke/backtest_record.json",
    "data/08_reporting/smoke/promotion_proposal_smoke.json",
)
HASHES = ("dataset_hash", "model_hash", "manifest_hash", "backtest_hash", "config_hash", "norm_stats_hash")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A whole run, in whose environment every setting that holds a secret holds a canary."""
    made = new_project(tmp_path_factory.mktemp("chain"))
    log = made.root / "run.log"
    handler = logging.FileHandler(log)
    logging.getLogger().addHandler(handler)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in canary_environment().items():
            patch.setenv(name, value)
        patch.setattr(hooks, "send_in_background", lambda *where: logging.warning("sends %s", where))
        made.run("smoke")
    logging.getLogger().removeHandler(handler)
    handler.close()
    return made


def records(project: Project) -> dict[str, dict]:
    return {path: json.loads((project.root / path).read_text()) for path in RECORDS}


def hashes(found: dict[str, dict]) -> dict[str, str]:
    flat = {**found[RECORDS[3]]["lineage"]}
    for record in found.values():
        flat |= {name: record[name] for name in HASHES if name in record}
    return {name: value for name, value in flat.items() if name not in {"mlflow_run_id", "baseline_model_id"}}


def proposals(project: Project) -> list:
    with reading(project.engine) as connection:
        return list_proposals(connection)


def rows(project: Project, table) -> list:
    with reading(project.engine) as connection:
        return list(connection.execute(select(table)).all())


def test_a_run_lets_people_be_told_that_its_model_is_ready(project):
    with reading(project.engine) as connection:
        row, *_ = waiting_messages(connection, kinds=(NOTIFICATION,))
    message = write_text(Notification.model_validate(row.payload))
    assert message.headline == "[SIM] New model ready for review: smoke" and "L4 recommends" in message.body
    assert "sends (" in (project.root / "run.log").read_text(), "a process of its own sends it"


SINKS = {
    "log": "run.log",
    "database": "data/dosvotos.db*",
    "MLflow": "data/mlflow*",
    "MLflow's artifacts": "data/**/artifacts/**/*",
    "lineage": "data/05_model_input/**/*",
    "bundles": "data/06_models/**/*",
    "backtest": "data/07_model_output/**/*",
    "dossiers": "data/08_reporting/**/*",
}


@pytest.mark.parametrize("sink", SINKS)
def test_no_secret_of_the_environment_is_in_anything_a_run_leaves(project, sink):
    files = [file for file in project.root.glob(SINKS[sink]) if file.is_file()]
    assert files, "a sink that nothing was written to shows nothing"
    assert {file: found for file in files if (found := canaries_in(_unpacked(file)))} == {}


def _unpacked(file: Path) -> bytes:
    """A file's bytes, and of an archive those of what is in it."""
    if not zipfile.is_zipfile(file):
        return file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


def test_a_clean_folder_and_the_stored_contract_give_every_hash_again(project, tmp_path, capsys):
    """Trained anew on the stored rows, on this platform: nothing of the stored bundle is read."""
    from dosvotos.commands.reproduce import print_reproduction

    model_id = records(project)[RECORDS[1]]["model_id"]
    with inside(project.root):
        assert print_reproduction(project.engine, model_id, tmp_path / "clean")
    told = capsys.readouterr().out
    assert told.count("matches") == 12 and "DIFFERS" not in told and model_id in told


def test_every_layer_hands_over_its_record_with_matching_hashes(project):
    dataset, training, backtest, proposal = records(project).values()
    assert dataset["feature_order_hash"] == FEATURE_ORDER_HASH
    assert training["dataset_hash"] == backtest["dataset_hash"] == dataset["dataset_hash"]
    assert training["config_hash"] == dataset["config_hash"] == proposal["lineage"]["config_hash"]
    assert backtest["test_dataset_hash"] == dataset["splits"]["test"]["digest"]
    assert backtest["model_hash"] == training["model_hash"] == proposal["lineage"]["model_hash"]
    assert proposal["model_id"].startswith("smoke_2026")
    assert training["mlflow_run_id"]


def test_the_files_carry_the_specification_s_names(project):
    made = {path.name for path in (project.root / "data").rglob("*") if path.is_file()}
    assert {
        "DS_smoke_train.parquet", "DS_smoke_val.parquet", "DS_smoke_test.parquet",
        "DS_smoke_norm_stats.json", "DS_smoke_lineage.json", "model_smoke_v1.0.0.zip",
        "backtest_results_smoke.json", "comparison_report_smoke.json", "promotion_proposal_smoke.json",
        "config.yaml", "reward_config.json", "training_metrics.json",
    } <= made  # fmt: skip


def test_training_leaves_a_report_and_no_checkpoint(project):
    training = TrainingRecord.model_validate(records(project)[RECORDS[1]])
    assert (training.engine, training.seed, training.blas_threads) == ("fast", 42, 1)
    (seed,) = training.seeds
    assert (seed.seed, seed.model_hash) == (42, training.model_hash)
    assert seed.best_val_reward == training.best_val_reward
    page = (project.root / "data/08_reporting/smoke/training_report.html").read_text()
    assert training.model_hash in page and training.dataset_hash in page
    assert not (project.root / "data/06_models/smoke/checkpoints").exists()


def test_mlflow_holds_curves_parameters_tags_and_files(project):
    client = MlflowClient(f"sqlite:///{project.root}/data/mlflow.db")
    training = TrainingRecord.model_validate(records(project)[RECORDS[1]])
    run = client.get_run(training.mlflow_run_id)
    assert run.data.params["training.hyperparameters.n_envs"] == "16"
    tags = run.data.tags
    for name in ("config_hash", "dataset_hash", "model_hash"):
        assert tags[name] == getattr(training, name)
    assert (tags["engine"], tags["seeds"]) == ("fast", "42")
    curve = json.loads((project.root / "data/06_models/smoke/training_metrics.json").read_text())["seeds"][0]
    points = [(point["timesteps"], point["val_return"]) for point in curve["curve"]]
    history = client.get_metric_history(training.mlflow_run_id, "val_return")
    assert [(metric.step, metric.value) for metric in history] == points
    assert {"reward/pnl", "train/value_loss", "train/approx_kl", "train/clip_fraction"} <= set(
        run.data.metrics
    )
    logged = {file.path for file in client.list_artifacts(training.mlflow_run_id)}
    assert logged == {"bundle", "training_record.json", "training_report.html"}
    bundle = {file.path for file in client.list_artifacts(training.mlflow_run_id, "bundle")}
    assert {"bundle/policy.safetensors", "bundle/manifest.json", "bundle/model.zip"} <= bundle
    assert run.info.artifact_uri.startswith(f"file://{project.root}/data/mlflow/")


def test_mlflow_holds_the_experiment_s_own_parameters_and_the_test_s_figures_in_one_run(project):
    client = MlflowClient(f"sqlite:///{project.root}/data/mlflow.db")
    experiment = client.get_experiment_by_name("smoke")
    (run,) = client.search_runs([experiment.experiment_id])
    stated = flatten(yaml.safe_load((project.root / "conf/smoke/parameters.yml").read_text()))
    assert set(run.data.params) == {
        *stated, "data_acquisition.as_of", "experiment.name", "experiment.version", "experiment.instrument"
    }  # fmt: skip
    results = json.loads((project.root / "data/08_reporting/smoke/backtest_results_smoke.json").read_text())
    assert run.data.metrics["test_sharpe_ratio"] == results["metrics"]["sharpe_ratio"]
    assert (run.info.status, run.data.tags["env"]) == ("FINISHED", "smoke")


def test_each_of_several_seeds_has_a_run_below_the_training_s(project):
    one = TrainingRecord.model_validate(records(project)[RECORDS[1]])
    other = one.seeds[0].model_copy(update={"seed": 7, "best_val_reward": one.best_val_reward - 0.1})
    both = one.model_copy(update={"seeds": (*one.seeds, other)})
    folder = project.root / "data/05_model_input/smoke/experiment_contract.json"
    contract = ExperimentContract.model_validate_json(folder.read_text())
    file = (project.root / "data/06_models/smoke/training_metrics.json").read_text()
    measured = TrainingMetrics.model_validate_json(file)
    kept = measured.seeds[0].curve[-1].model_copy(update={"val_return": 0.02})
    curves = {42: [kept], 7: [kept.model_copy(update={"val_return": -0.08})]}
    seeds = [measured.seeds[0].model_copy(update={"seed": s, "curve": c}) for s, c in curves.items()]
    metrics = measured.model_copy(update={"seeds": seeds})
    with KedroSession.create(project.root, env="smoke") as session:
        mlflow_tracking.connect(mlflow_tracking.MlflowSettings.of(session.load_context()))
    mlflow_tracking.open_run("seeds", project.root, {"a": 1}, {})
    parent = mlflow_tracking.active_run_id()
    bundle = project.root / one.model_path
    log = mlflow_figures.training_log(contract, both, metrics, "<html></html>", bundle)
    mlflow_tracking.log_training(log)
    mlflow_tracking.close_run("FINISHED")
    client = MlflowClient(f"sqlite:///{project.root}/data/mlflow.db")
    experiment = client.get_run(parent).info.experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    found = {
        run.info.run_name: (run.data.metrics["val_return"], run.data.tags["candidate"], run.info.status)
        for run in children
    }
    assert found == {"seed 42": (0.02, "true", "FINISHED"), "seed 7": (-0.08, "false", "FINISHED")}
    whole = client.get_run(parent).data
    assert whole.metrics["val_return_worst"] == other.best_val_reward
    assert whole.metrics["val_return_deviation"] == pytest.approx(0.1 / 2**0.5)
    assert whole.tags["seeds"] == "42, 7"


def test_the_look_at_test_was_written_once_with_its_returns(project):
    feed = parameters_of("smoke").sample_market.feed
    training = records(project)[RECORDS[1]]
    looks = TrialLedger(project.engine, "USD/COP.SIM").looks(feed)
    assert [look.model_hash for look in looks] == [training["model_hash"]]
    assert [str(looks[0].window_start), str(looks[0].window_end)] == ["2023-09-01", "2023-12-15"]
    assert len(looks[0].daily_returns) == 21 + 21 + 20 + 10  # September to 15 December


@pytest.mark.parametrize("pipeline", ["dataset", "training", "backtest", "promotion"])
def test_a_changed_parameter_is_refused_by_every_layer(project, pipeline):
    with pytest.raises(ContractError, match=r"training\.seeds: frozen \[42\], now \[7\]"):
        project.run("smoke", pipeline, training={"seeds": [7]})


def test_an_edited_dataset_is_refused_with_file_expected_and_found(project):
    path = project.root / "data/05_model_input/smoke/DS_smoke_train.parquet"
    original = path.read_bytes()
    frame = pd.read_parquet(path)
    frame.iloc[100, frame.columns.get_loc("rsi_9")] += 1e-9
    frame.to_parquet(path)
    try:
        with pytest.raises(
            LineageError, match=r"DS_smoke_train\.parquet: expected [0-9a-f]{64}, found [0-9a-f]{64}"
        ):
            project.run("smoke", "training")
    finally:
        path.write_bytes(original)


def test_an_edited_bundle_is_refused_before_test_is_opened(project):
    training = records(project)[RECORDS[1]]
    path = project.root / training["model_path"] / "policy.safetensors"
    original = path.read_bytes()
    path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    try:
        with pytest.raises(Exception, match=r"policy\.safetensors: expected SHA-256"):
            project.run("smoke", "backtest")
    finally:
        path.write_bytes(original)


def test_the_proposal_carries_the_records_and_every_link_holds(project):
    (row,) = proposals(project)
    assert {
        "experiment_contract.json",
        "DS_smoke_lineage.json",
        "training_record.json",
        "chain_record.json",
    } < (row.report_files.keys())
    assert re.fullmatch(r"PASS \(\d\d links from L0 to L4 hold\)", row.criteria_results["lineage"])
    with inside(project.root):
        assert verify_proposal(project.engine, row).chain.broken == ()


def test_a_link_broken_after_the_backtest_is_a_reject_until_it_holds_again(project):
    path = project.root / RECORDS[0]
    original = path.read_bytes()
    path.write_text(json.dumps({**json.loads(original), "acquisition_hash": "0" * 64}))
    try:
        project.run("smoke", "promotion")
    finally:
        path.write_bytes(original)
    row = proposals(project)[0]
    text = row.criteria_results["lineage"]
    assert text.startswith("FAIL (dataset record: acquisition_hash is 000000000000, the stored bars and")
    assert row.recommendation == "REJECT"
    assert text.removeprefix("FAIL (").removesuffix(")") in row.reason
    project.run("smoke", "promotion")
    assert proposals(project)[0].criteria_results["lineage"].startswith("PASS")


class Verified(NamedTuple):
    """What verify_chain is given."""

    contract: ExperimentContract
    recorded: PipelineRecords
    recomputed: PipelineRecords
    candidate: Bundle
    split_files: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def verified(project) -> Verified:
    def read(path: str) -> bytes:
        return (project.root / path).read_bytes()

    folder = "data/05_model_input/smoke"
    recorded = PipelineRecords.model_validate_json(read("data/07_model_output/smoke/pipeline_records.json"))
    recomputed = PipelineRecords.model_validate_json(
        read("data/07_model_output/smoke/recomputed_records.json")
    )
    splits = {name: pd.read_parquet(project.root / folder / f"DS_smoke_{name}.parquet") for name in SPLITS}
    return Verified(
        ExperimentContract.model_validate_json(read(f"{folder}/experiment_contract.json")),
        recorded,
        recomputed,
        open_bundle(project.root / recorded.training.model_path, recorded.training.manifest_hash),
        split_file_hashes(splits),
    )


def broken(verified: Verified) -> list[str]:
    """The criterion's parts that name a broken link."""
    chain, _ = verify_chain(*verified)
    text = criterion_text(lineage_criterion(chain))
    return text.removeprefix("FAIL (").removesuffix(")").split("; ") if chain.broken else []


ZEROS = "0" * 64
EDITS = {
    "backtest record: test_dataset_hash is 000000000000, test made again": ("backtest", "test_dataset_hash"),
    "backtest results: backtest_hash is 000000000000, the account run again": ("report", "backtest_hash"),
    "training record: model_hash is 000000000000, the model bundle's": ("training", "model_hash"),
    "training record: dataset_hash is 000000000000, the dataset made again": ("training", "dataset_hash"),
    "dataset record: norm_stats_hash is 000000000000, the model bundle's": ("dataset", "norm_stats_hash"),
    "dataset record: config_hash is 000000000000, the contract in the database": ("dataset", "config_hash"),
}


@pytest.mark.parametrize("named", EDITS)
def test_each_link_is_named_first_when_it_is_broken(verified, named):
    assert broken(verified) == []
    record, field = EDITS[named]
    edited = getattr(verified.recorded, record).model_copy(update={field: ZEROS})
    found = broken(verified._replace(recorded=verified.recorded.model_copy(update={record: edited})))
    assert found[0].startswith(named) and len(found) == 2  # the hash, and the whole record


def test_an_edited_split_file_is_named(verified, project):
    path = project.root / "data/05_model_input/smoke/DS_smoke_train.parquet"
    splits = {n: pd.read_parquet(path.with_name(f"DS_smoke_{n}.parquet")) for n in SPLITS}
    splits["train"].iloc[100, splits["train"].columns.get_loc("rsi_9")] += 1e-9
    (found,) = broken(verified._replace(split_files=split_file_hashes(splits)))
    assert found.startswith("split files: dataset_hash is ")


def test_every_edit_of_a_recorded_value_breaks_the_chain_and_is_named(verified):
    random, missed = np.random.default_rng(16), []
    for field, name in RECORD_NAMES.items():
        content = getattr(verified.recorded, field).content
        paths = [path for path in leaves(content) if path]
        chosen = random.permutation(len(paths))[:150]
        for path in (paths[index] for index in chosen):
            link = record_link(name, edited_at(content, path), getattr(verified.recomputed, field).content)
            if link.holds or link.field != ".".join(map(str, path)):
                missed.append((name, path))
    assert missed == []


def test_without_an_approved_model_inference_says_what_to_do(project):
    with pytest.raises(DosVotosError, match=r"no production model yet; approve a proposal first"):
        project.run("smoke", "inference")
    assert rows(project, trading_signals) == []


def test_approval_leaves_one_production_model_and_inference_serves_it(project, monkeypatch):
    monkeypatch.chdir(project.root)
    proposal = proposals(project)[0]
    assert proposal.recommendation == "REVIEW", proposal.reason
    assert [reason["code"] for reason in proposal.reasons] == ["short_window"]
    vote = Vote("APPROVE", "ana", "approved to see a signal in a test")
    outcome = decide_verified(project.engine, proposal.id, vote, pd.Timestamp("2026-11-21", tz="UTC"))
    stages = [row.stage for row in rows(project, model_registry)]
    assert stages.count("production") == 1
    with reading(project.engine) as connection:
        assert find_breaks(read_chain(connection)) == []
    project.run("smoke", "inference")
    project.run("smoke", "inference")
    (signal,) = rows(project, trading_signals)
    assert (signal.status, signal.model_id, signal.epoch) == ("SIGNAL", outcome.model_id, 1)
    assert signal.signal in (-1.0, 0.0, 1.0)
    assert signal.timestamp == pd.Timestamp("2026-11-20 17:55", tz="UTC")


def test_a_later_rerun_finds_the_same_hashes_and_changes_nothing_even_in_production(project):
    before, voted = hashes(records(project)), [(row.id, row.status) for row in proposals(project)]
    project.run("smoke", data_acquisition={"as_of": "2026-11-23T23:00:00+00:00"})
    assert hashes(records(project)) == before
    assert [(row.id, row.status) for row in proposals(project)] == voted
    assert voted[0][1] == "APPROVED"
    assert len(rows(project, experiment_contracts)) == 1
