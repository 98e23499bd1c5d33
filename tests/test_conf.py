"""Configuration as a whole: experiments, catalog and pipelines fit together."""

import pytest
import yaml

from dosvotos.pipeline_registry import register_pipelines
from tests.conftest import ROOT, parameter_tree, parameters_of

CONF = ROOT / "conf"
EXPERIMENTS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "base")


def catalog() -> dict[str, dict]:
    entries: dict[str, dict] = {}
    for path in sorted((CONF / "base/catalog").glob("*.yml")):
        entries |= yaml.safe_load(path.read_text())
    return entries


def test_the_experiments_of_the_design_are_there():
    assert EXPERIMENTS == [
        "demo", "exp1_curriculum_aggressive_v1", "exp2_interbank_costs_v1", "null_market", "smoke",
    ]  # fmt: skip


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_experiment_loads_and_its_name_is_its_folder_s(name):
    own = yaml.safe_load((CONF / name / "globals.yml").read_text())
    parameters = parameters_of(name)
    assert own["experiment"] == parameters.experiment.name == name
    assert own["instrument"] == parameters.experiment.instrument


def test_base_alone_is_demo_but_for_its_stated_test_end():
    base, demo = parameter_tree("base"), parameter_tree("demo")
    assert base["date_ranges"]["test"]["end"] is None
    base["date_ranges"] = demo["date_ranges"]
    assert base == demo


def test_the_specification_s_experiment_pays_37_5_bps_a_side():
    assert parameters_of("exp1_curriculum_aggressive_v1").trading.costs.per_side == pytest.approx(37.5e-4)
    assert parameters_of("exp2_interbank_costs_v1").trading.costs.per_side == pytest.approx(3.5e-4)


def test_curricula_have_the_specification_s_lengths(parameters):
    phases = parameters.curriculum.phases
    assert [phase.timesteps for phase in phases] == [75_000, 100_000, 225_000]
    assert [phase.transaction_cost for phase in phases] == [0.0, 0.5, 1.0]


def test_demo_tests_on_at_least_250_sessions():
    from dosvotos.market.calendar import scheduled_sessions

    test = parameters_of("demo").date_ranges.test
    assert len(scheduled_sessions(test.start, test.end)) >= 250


def test_secrets_come_from_the_environment_only():
    text = (CONF / "base/credentials.yml").read_text()
    values = [value for section in yaml.safe_load(text).values() for value in section.values()]
    assert values
    assert all(value.startswith("${oc.env:") for value in values)


def test_every_dataset_of_a_pipeline_stands_in_the_catalog_with_a_layer():
    used = {name for pipeline in register_pipelines().values() for name in pipeline.datasets()}
    used = {name for name in used if not name.startswith("params:") and name != "parameters"}
    entries = catalog()
    assert used == set(entries)
    layers = {entry["metadata"]["kedro-viz"]["layer"] for entry in entries.values()}
    assert layers == {
        "L0_data_acquisition", "L1_features", "L2_dataset", "L3_training", "L4_backtest_promotion",
        "L5_inference",
    }  # fmt: skip


def test_six_pipelines_and_the_way_to_the_proposal():
    pipelines = register_pipelines()
    assert set(pipelines) == {
        "data_acquisition", "dataset", "training", "backtest", "promotion", "inference", "__default__",
        "lineage",
    }  # fmt: skip
    singles = [name for name in pipelines if name not in ("inference", "__default__", "lineage")]
    nodes = {node.name for name in singles for node in pipelines[name].nodes}
    assert {node.name for node in pipelines["__default__"].nodes} == nodes


def test_nothing_but_a_vote_writes_the_production_model():
    for pipeline in register_pipelines().values():
        assert "production_model" not in pipeline.all_outputs()


def test_the_repository_holds_no_market_data():
    tracked = [path for path in (ROOT / "src").rglob("*") if path.suffix in (".parquet", ".csv")]
    assert tracked == []
