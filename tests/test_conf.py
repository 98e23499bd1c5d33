"""Configuration as a whole: experiments, catalog and pipelines fit together."""

import re
from graphlib import TopologicalSorter
from itertools import product
from typing import get_type_hints

import pytest
import yaml
from kedro.io import DataCatalog
from kedro.utils import load_obj

from dosvotos.contracts.experiment import flatten
from dosvotos.errors import DecisionError
from dosvotos.pipeline_registry import register_pipelines
from tests.conftest import ROOT, parameter_tree, parameters_of
from tests.pipelines.catalogs import catalog_config

CONF = ROOT / "conf"
PIPELINES = register_pipelines()
EXPERIMENTS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "base")


def test_the_experiments_of_the_design_are_there():
    assert EXPERIMENTS == [
        "demo", "demo_linear", "demo_linear_start", "exp1_curriculum_aggressive_v1",
        "exp2_interbank_costs_v1", "my_rule", "null_market", "smoke",
    ]  # fmt: skip


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_experiment_loads_and_its_name_is_its_folder_s(name):
    own = yaml.safe_load((CONF / name / "globals.yml").read_text())
    parameters = parameters_of(name)
    assert own["experiment"] == parameters.experiment.name == name
    assert own["instrument"] == parameters.experiment.instrument


def test_base_alone_is_demo_but_for_its_stated_test_end_and_its_credit():
    base, demo = parameter_tree("base"), parameter_tree("demo")
    assert base["sample_market"]["test_end"] is None and base["reward"]["credit_bars"] == 0
    base["sample_market"] = {**base["sample_market"], "test_end": demo["sample_market"]["test_end"]}
    base["reward"] = {**base["reward"], "credit_bars": 59}  # what is planted lasts a session
    assert base == demo


def test_the_linear_start_is_demo_but_for_where_and_how_it_trains():
    demo, own = parameter_tree("demo"), parameter_tree("demo_linear_start")
    steps = [sum(phase["timesteps"] for phase in tree["curriculum"]["phases"]) for tree in (demo, own)]
    assert steps == [400_000, 400_000]
    hyperparameters = {**demo["training"]["hyperparameters"], "learning_rate": 3e-5}
    changed = {"start": "linear", "flat_overnight": True, "hyperparameters": hyperparameters}
    assert own["training"] == demo["training"] | changed
    same = demo.keys() - {"experiment", "training", "curriculum"}
    assert {name: own[name] for name in same} == {name: demo[name] for name in same}


def test_what_demo_s_comments_offer_to_change_are_base_s_values():
    text = (CONF / "demo/parameters.yml").read_text()
    offered = yaml.safe_load("\n".join(re.findall(r"^#   (\w+: \{.*)$", text, re.MULTILINE)))
    base, told = flatten(parameter_tree("base")), flatten(offered)
    assert len(offered) == 5 and told.keys() <= base.keys()
    assert {name: str(base[name]) for name in told} == {name: str(value) for name, value in told.items()}


def test_every_plot_of_kedro_viz_draws_the_record_it_stands_at():
    plotted = {name: entry for name, entry in catalog_config().items() if "Plotted" in entry["type"]}
    assert set(plotted) == {"backtest_results", "dataset_record", "training_metrics"}
    for entry in plotted.values():
        plot = load_obj(entry["metadata"]["kedro-viz"]["preview_args"]["plot"])
        (drawn,) = get_type_hints(plot).keys() - {"return"}
        assert get_type_hints(plot)[drawn] is load_obj(entry["model"])


def test_the_specification_s_experiment_pays_37_5_bps_a_side():
    assert parameters_of("exp1_curriculum_aggressive_v1").trading.costs.per_side == pytest.approx(37.5e-4)
    assert parameters_of("exp2_interbank_costs_v1").trading.costs.per_side == pytest.approx(3.5e-4)


def test_curricula_have_the_specification_s_lengths(parameters):
    phases = parameters.curriculum.phases
    assert [phase.timesteps for phase in phases] == [75_000, 100_000, 225_000]
    assert [phase.transaction_cost for phase in phases] == [0.0, 0.5, 1.0]


def test_demo_tests_on_at_least_250_sessions():
    from dosvotos.market.calendar import scheduled_sessions

    demo = parameters_of("demo")
    assert len(scheduled_sessions(demo.date_ranges.test.start, demo.sample_market.test_end)) >= 250


def test_secrets_come_from_the_environment_only():
    text = (CONF / "base/credentials.yml").read_text()
    values = [value for section in yaml.safe_load(text).values() for value in section.values()]
    assert values
    assert all(value.startswith("${oc.env:") for value in values)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_dataset_of_a_pipeline_stands_in_the_catalog_with_a_layer(name):
    used = {dataset for pipeline in PIPELINES.values() for dataset in pipeline.datasets()}
    entries = catalog_config(name)
    assert {dataset for dataset in used if not dataset.startswith("params:")} - {"parameters"} == set(entries)
    layers = {entry["metadata"]["kedro-viz"]["layer"] for entry in entries.values()}
    assert layers == {
        "L0_data_acquisition", "L1_features", "L2_dataset", "L3_training", "L4_backtest_promotion",
        "L4_second_vote", "L5_inference",
    }  # fmt: skip


def test_the_layers_form_no_circle_or_kedro_viz_would_draw_none():
    layers = {name: entry["metadata"]["kedro-viz"]["layer"] for name, entry in catalog_config().items()}
    before: dict[str, set[str]] = {}
    for node in PIPELINES["lineage"].nodes:
        for made, read in product(node.outputs, node.inputs):
            if {made, read} <= set(layers) and layers[made] != layers[read]:
                before.setdefault(layers[made], set()).add(layers[read])
    assert len(list(TopologicalSorter(before).static_order())) == 7


def test_only_what_says_so_is_kept_in_memory():
    catalog = DataCatalog.from_config(
        catalog_config(), credentials={"database": {"url": ""}, "providers": {}}
    )
    used = {dataset for pipeline in PIPELINES.values() for dataset in pipeline.datasets()}
    kept = {name for name in used if "Memory" in (catalog.get_type(name) or "Memory")}
    assert {name for name in kept if not name.startswith("params:")} - {"parameters"} == {
        "clock", "experiment_parameters", "live_features",
    }  # fmt: skip


def test_folders_and_layers_are_written_once():
    for path in (CONF / "base/catalog").glob("*.yml"):
        if path.name != "shared.yml":
            assert "data/0" not in path.read_text() and "layer: L" not in path.read_text(), path.name


def test_a_run_name_moves_every_file_of_a_run():
    paths = [
        entry[key]
        for entry in catalog_config(run_name="other").values()
        for key in ("filepath", "folder")
        if key in entry
    ]
    assert len(paths) > 25 and all(path.split("/")[2] == "other" for path in paths)


def test_six_pipelines_and_the_way_to_the_proposal():
    pipelines = PIPELINES
    assert set(pipelines) == {
        "data_acquisition", "dataset", "training", "backtest", "promotion", "inference", "__default__",
        "lineage", "refit",
    }  # fmt: skip
    singles = [name for name in pipelines if name not in ("inference", "__default__", "lineage", "refit")]
    nodes = {node.name for name in singles for node in pipelines[name].nodes}
    assert {node.name for node in pipelines["__default__"].nodes} == nodes


def test_nothing_but_a_vote_writes_the_production_model():
    for name, pipeline in PIPELINES.items():
        writers = [node for node in pipeline.nodes if "production_model" in node.outputs]
        assert [node.name for node in writers] == ["second_vote"] * (name == "lineage")
    (vote,) = writers
    with pytest.raises(DecisionError, match="a person's vote, which no pipeline gives"):
        vote.run({"candidate_model": None, "promotion_proposals": None})


def test_the_picture_is_six_blocks_and_the_vote_between_candidate_and_production():
    picture = PIPELINES["lineage"]
    blocks = {entry["metadata"]["kedro-viz"]["layer"] for entry in catalog_config().values()}
    for block in blocks - {"L4_second_vote"}:
        inside = picture.only_nodes_with_namespaces([block]).nodes
        assert inside and {block[:2]} <= set.intersection(*(node.tags for node in inside))
    drawn = {"from_outside", "to_people", "second_vote"}
    singly = [
        node.name
        for name in PIPELINES
        if name not in ("__default__", "lineage", "refit")
        for node in PIPELINES[name].nodes
    ]
    assert sorted({node.short_name for node in picture.nodes} - drawn) == sorted(singly)
    (alone,) = (node for node in picture.nodes if node.namespace is None)
    assert (alone.inputs, alone.outputs) == (["candidate_model", "promotion_proposals"], ["production_model"])
    after = picture.from_nodes("second_vote").nodes
    assert {node.namespace for node in after} == {None, "L5_inference"}


def test_between_the_blocks_stands_only_what_two_of_them_share_or_the_vote_reads_or_makes():
    picture = PIPELINES["lineage"]
    users: dict[str, set[str | None]] = {}
    for node in picture.nodes:
        for dataset in {*node.inputs, *node.outputs}:
            users.setdefault(dataset, set()).add(node.namespace)
    outside = {name for name in picture.inputs() | picture.outputs() if not name.startswith("params:")}
    assert {name for name in outside if len(users[name]) == 1} == set()
    assert users["production_model"] == {None, "L5_inference"}
    for block in {node.namespace for node in picture.nodes} - {None}:
        alone = picture.only_nodes_with_namespaces([block])
        ends = {name for name in alone.inputs() | alone.outputs() if not name.startswith("params:")}
        assert {name for name in ends if len(users[name]) == 1} == set()


def test_what_is_only_drawn_refuses_to_run():
    for node in PIPELINES["lineage"].nodes:
        if node.short_name in {"from_outside", "to_people"}:
            with pytest.raises(DecisionError, match="is a picture and cannot be run"):
                node.run(dict.fromkeys(node.inputs))


@pytest.mark.parametrize("name", ["__default__", "lineage"])
def test_who_reads_the_books_comes_after_who_writes_them(name):
    pipeline = PIPELINES[name]
    for written, writer in (
        ("usdcop_m5_ohlcv", "store_market"),
        ("macro_indicators", "store_market"),
        ("experiment_contracts", "register_contract"),
        ("oos_trials", "seal_backtest"),
        ("promotion_proposals", "submit_proposal"),
    ):
        order = [node.short_name for node in pipeline.nodes]
        readers = [node for node in pipeline.nodes if written in node.inputs]
        assert readers
        for reader in readers:
            needed = {node.short_name for node in pipeline.to_nodes(reader.name).nodes}
            assert writer in needed and order.index(writer) < order.index(reader.short_name)


def test_no_node_takes_parameters_as_a_dict():
    nodes = PIPELINES["lineage"].only_nodes_with_tags("L0", "L1", "L2", "L3", "L5").nodes
    assert [node.name for node in nodes if "parameters" in node.inputs] == []


def test_the_repository_holds_no_market_data():
    tracked = [path for path in (ROOT / "src").rglob("*") if path.suffix in (".parquet", ".csv")]
    assert tracked == []
