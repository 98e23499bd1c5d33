"""L2 as runs: the same on both databases and side by side, fold by fold, and nothing edited goes further."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.database.connection import connect, upgrade
from dosvotos.database.contracts import ContractRegistry
from dosvotos.errors import ContractError, LineageError, ParameterError
from dosvotos.pipelines.dataset.pipeline import create_pipeline
from tests.conftest import AS_OF
from tests.project import Project, built_project, new_project, stored_project

pytestmark = pytest.mark.slow

LAYERS = ("data_acquisition", "dataset")


def inputs(project: Project, run: str = "smoke") -> Path:
    return project.root / "data/05_model_input" / run


def lineage(project: Project, run: str = "smoke", experiment: str = "smoke") -> dict:
    return json.loads((inputs(project, run) / f"DS_{experiment}_lineage.json").read_text())


def contract_file(project: Project, run: str = "smoke") -> ExperimentContract:
    content = (inputs(project, run) / "experiment_contract.json").read_bytes()
    return ExperimentContract.model_validate_json(content)


def add_experiment(project: Project, name: str, **changes: dict) -> None:
    """smoke under another name, with whole sections changed."""
    folder = project.root / "conf" / name
    shutil.copytree(project.root / "conf/smoke", folder)
    (folder / "globals.yml").write_text(f"experiment: {name}\ninstrument: USD/COP.SIM\n")
    stated = yaml.safe_load((folder / "parameters.yml").read_text())
    (folder / "parameters.yml").write_text(yaml.safe_dump({**stated, **changes}))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Project:
    return built_project(tmp_path_factory.mktemp("made"))


def test_the_record_says_what_is_in_the_dataset_and_why_rows_are_not(made):
    record = lineage(made)
    assert {
        "dataset_hash", "config_hash", "feature_order_hash", "norm_stats_hash", "date_ranges", "ohlcv_rows",
        "macro_sources", "dataset_path", "row_count", "dropped_rows", "dropped_by_reason", "contract_id",
    } <= record.keys()  # fmt: skip
    splits = {
        name: pd.read_parquet(inputs(made) / f"DS_smoke_{name}.parquet") for name in ("train", "val", "test")
    }
    incomplete = sum(int(rows.iloc[:, :13].isna().any(axis=1).sum()) for rows in splits.values())
    assert record["dropped_rows"] == incomplete
    assert record["row_count"] + incomplete == sum(map(len, splits.values()))
    missing = {name: int(sum(rows[name].isna().sum() for rows in splits.values())) for name in splits["val"]}
    by_feature: dict[str, int] = {}
    for reason, count in record["dropped_by_reason"].items():
        feature = reason.split(":")[0]
        by_feature[feature] = by_feature.get(feature, 0) + count
    assert by_feature == {name: count for name, count in missing.items() if count}


def test_the_report_shows_train_and_val_and_of_test_its_record_alone(made):
    page = (made.root / "data/08_reporting/smoke/dataset_report.html").read_text()
    record = lineage(made)
    for part in record["splits"].values():
        assert part["digest"] in page and part["last_session"] in page
    (node,) = [n for n in create_pipeline().nodes if n.name == "report_dataset"]
    assert not {"test", "features", "session_bars"} & set(node.inputs)
    assert [found["feature"] for found in record["drift"]] == list(MARKET_FEATURES)


def test_postgresql_gives_the_same_dataset_to_the_last_bit(made, tmp_path, postgres_url, monkeypatch):
    upgrade(connect(postgres_url))
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", postgres_url)
    project = new_project(tmp_path)
    project.run("smoke", *LAYERS)
    assert not (project.root / "data/dosvotos.db").exists()
    assert lineage(project) == lineage(made)
    for name in ("train", "val", "test"):
        file = f"DS_smoke_{name}.parquet"
        pd.testing.assert_frame_equal(
            pd.read_parquet(inputs(project) / file), pd.read_parquet(inputs(made) / file), check_exact=True
        )


def test_two_experiments_build_at_once_and_leave_each_other_s_files_alone(made, tmp_path):
    project = stored_project(tmp_path)
    (project.root / "data/mlflow.db").unlink()  # which both of them want to make
    add_experiment(project, "smoke_b")
    words = "kedro", "run", "--pipelines", "dataset", "--params", f"data_acquisition.as_of='{AS_OF}'"
    for process in [project.start(*words, "--env", env) for env in ("smoke", "smoke_b")]:
        outputs = process.communicate(timeout=240)
        assert process.returncode == 0, outputs
    alone = lineage(made)
    assert lineage(project) == alone
    beside = lineage(project, "smoke_b", "smoke_b")
    assert beside["dataset_hash"] == alone["dataset_hash"]
    for layer in ("03_primary", "04_feature", "05_model_input", "08_reporting"):
        assert {path.name for path in (project.root / "data" / layer).iterdir()} == {"smoke", "smoke_b"}


def test_folds_of_one_experiment_share_its_data_and_nothing_else(made, tmp_path):
    project = stored_project(tmp_path)
    splits = {"mode": "walk_forward", "folds": 3, "fold": 1, "train_window": "rolling"}
    add_experiment(project, "folds", splits=splits)
    project.run("folds", "dataset")
    with pytest.raises(ParameterError, match=r"run_name=folds_fold2"):
        project.run("folds", "dataset", splits={"fold": 2})
    later = {"as_of": "2026-12-01T00:00:00+00:00"}
    ContractRegistry(project.engine).store(contract_file(project, "folds"))  # as its training does
    project.run("folds", "dataset", splits={"fold": 2}, run_name="folds_fold2", data_acquisition=later)
    one, two = lineage(project, "folds", "folds"), lineage(project, "folds_fold2", "folds")
    assert one["acquisition_hash"] == two["acquisition_hash"] == lineage(made)["acquisition_hash"]
    first, second = contract_file(project, "folds"), contract_file(project, "folds_fold2")
    assert (first.data_as_of, first.test_end) == (second.data_as_of, second.test_end)
    assert one["date_ranges"]["test"].split(" to ")[1] < two["date_ranges"]["test"].split(" to ")[0]
    assert [two["splits"][name]["sessions"] for name in ("train", "val")] == [
        one["splits"][name]["sessions"] for name in ("train", "val")
    ]
    with pytest.raises(
        ContractError, match=r"(?s)draft of CTR-EXP-folds\.fold-2-of-3 .*fold: frozen 2, now 1"
    ):
        project.run("folds", "training", run_name="folds_fold2")


def edit_value(path: Path) -> None:
    frame = pd.read_parquet(path)
    frame.iloc[100, frame.columns.get_loc("rsi_9")] += 1e-9
    frame.to_parquet(path)


def edit_json(**values: object):
    def edit(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return edit


EDITS = {
    "a value of train": ("DS_smoke_train.parquet", edit_value, r"DS_smoke_train\.parquet"),
    "the statistics": ("DS_smoke_norm_stats.json", edit_json(mean=[0.0] * 13), r"DS_smoke_norm_stats\.json"),
    "the dataset's hash": (
        "DS_smoke_lineage.json",
        edit_json(dataset_hash="0" * 64),
        r"DS_smoke_lineage\.json: dataset_hash",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_file_is_found_by_training_with_expected_and_found(made, edit):
    name, change, named = EDITS[edit]
    path = inputs(made) / name
    whole = path.read_bytes()
    try:
        change(path)
        with pytest.raises(LineageError, match=named + r".*expected [0-9a-f]{64}, found [0-9a-f]{64}"):
            made.run("smoke", "training")
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ({"test_end": "2023-12-14"}, "sessions of test: expected 2023-09-01 to 2023-12-14"),
        ({"trained_by": "bob"}, "trained_by is 'bob', would now be"),
        ({"stated": {}}, "stated is {}, would now be"),
        ({"window_facts": None}, "window_facts.calendar_first is 'absent', would now be"),
    ],
)
def test_an_edited_draft_is_refused_by_training_and_never_registered(made, edit, named):
    path = inputs(made) / "experiment_contract.json"
    whole = path.read_bytes()
    try:
        edit_json(**edit)(path)
        with pytest.raises((ContractError, LineageError), match=named):
            made.run("smoke", "training")
    finally:
        path.write_bytes(whole)
    assert ContractRegistry(made.engine).of_experiment("smoke", "1.0.0") == {}


def test_a_contract_is_a_draft_until_its_training_starts_and_untouched_runs_under_its_frozen_values(
    tmp_path, caplog
):
    project = stored_project(tmp_path)
    project.run("smoke", "dataset", training={"seeds": [7]})
    with pytest.raises(ContractError, match=r"(?s)draft of CTR-EXP-smoke .*seeds: frozen \[7\], now \[42\]"):
        project.run("smoke", "training")
    project.run("smoke", "dataset")
    draft = contract_file(project)
    assert draft.frozen_config["training"]["seeds"] == [42] and draft.stated["sample_market.start"]
    ContractRegistry(project.engine).store(draft)
    defaults = project.root / "conf/base/parameters/data_acquisition.yml"
    defaults.write_text(defaults.read_text().replace("seed: 25 ", "seed: 26 "))
    hashes = lineage(project)
    project.run("smoke", "dataset")
    assert "sample_market.seed: frozen 25, now 26" in caplog.text
    assert (contract_file(project), lineage(project)) == (draft, hashes)
    with pytest.raises(ContractError, match=r"(?s)you changed.*drawdown: frozen.*the project changed.*seed"):
        project.run("smoke", "dataset", reward={"drawdown": 0.7})
