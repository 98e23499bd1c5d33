"""The runner that works on while a training waits: what runs where, errors, and which nodes may."""

import subprocess
import sys
import threading

import pytest
from kedro.framework.hooks.manager import _NullPluginManager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner

from dosvotos.pipeline_registry import register_pipelines
from dosvotos.pipelines.named import BESIDE_TRAINING
from dosvotos.runner import OverlappingRunner

WAIT_SECONDS = 10


def pipeline(train=lambda rows: rows + 1, page="{}".format, table=lambda rows: -rows) -> Pipeline:
    """Rows are made, trained on, and shown beside; a proposal needs the model and the table made again."""
    return Pipeline(
        [
            node(lambda raw: raw * 2, "raw", "rows", name="make_rows"),
            node(page, "rows", "page", name="page", tags=BESIDE_TRAINING),
            node(table, "rows", "table", name="table", tags=BESIDE_TRAINING),
            node(train, "rows", "model", name="train_policy"),
            node(lambda model, table: model + table, ["model", "table"], "proposal", name="propose"),
        ]
    )


def run(runner, made: Pipeline) -> DataCatalog:
    catalog = DataCatalog({name: MemoryDataset() for name in made.all_outputs()} | {"raw": MemoryDataset(3)})
    try:
        runner.run(made, catalog, _NullPluginManager())
    except BaseException as error:
        error.catalog = catalog
        raise
    return catalog


def test_a_page_is_made_while_a_training_in_the_main_thread_waits():
    page_made, threads = threading.Event(), {}

    def train(rows):
        threads["train"] = threading.current_thread()
        assert page_made.wait(WAIT_SECONDS), "the page waits for the training"
        return rows + 1

    def page(rows):
        threads["page"] = threading.current_thread()
        page_made.set()
        return str(rows)

    run(OverlappingRunner(), pipeline(train, page))
    assert threads["train"] is threading.main_thread()
    assert threads["page"] is not threading.main_thread()


@pytest.mark.parametrize("without", [(), ("train_policy", "propose"), ("page", "table", "propose")])
def test_results_and_what_is_kept_in_memory_are_those_of_kedros_runner(without):
    chosen = Pipeline([one for one in pipeline().nodes if one.name not in without])
    expected, found = run(SequentialRunner(), chosen), run(OverlappingRunner(), chosen)
    for name in chosen.all_outputs():
        assert found.exists(name) == expected.exists(name), name
        if expected.exists(name):
            assert found.load(name) == expected.load(name)
    assert expected.exists("rows") == ("rows" in chosen.outputs())


def test_an_error_of_a_page_comes_after_the_training_is_stored(caplog):
    def page(rows):
        raise ValueError(f"no page of {rows}")

    with pytest.raises(ValueError, match="no page of 6") as raised:
        run(OverlappingRunner(), pipeline(page=page))
    assert raised.value.catalog.load("model") == 7
    assert not raised.value.catalog.exists("proposal")
    assert "--from-nodes" in caplog.text


@pytest.mark.parametrize("error", [ValueError("no model"), KeyboardInterrupt()])
def test_an_error_of_the_training_ends_the_run_once_pages_are_whole(error):
    def train(rows):
        raise error

    with pytest.raises(type(error)) as raised:
        run(OverlappingRunner(), pipeline(train))
    assert raised.value.catalog.load("page") == "6"
    assert not raised.value.catalog.exists("proposal")


def test_nodes_beside_a_training_need_nothing_of_it_and_nothing_before_it_needs_them():
    whole = register_pipelines()["__default__"]
    before, after = whole.to_nodes("train_policy"), whole.from_nodes("train_policy")
    beside = whole.only_nodes_with_tags(BESIDE_TRAINING)
    assert {one.name for one in beside.nodes} == {"report_quality", "report_dataset", "recompute_dataset"}
    assert not set(beside.nodes) & {*before.nodes, *after.nodes}
    assert beside.inputs() <= before.all_outputs() | whole.inputs()
    first = [one.name for one in whole.nodes].index("train_policy")
    assert not any(set(one.inputs) & beside.all_outputs() for one in whole.nodes[:first])


def test_kedro_run_overlaps_unless_another_runner_is_asked_for():
    program = (
        "import sys; sys.argv = ['kedro', 'run']; import dosvotos.cli;"
        "from kedro.framework.cli.project import run; from kedro.utils import load_obj;"
        "print(load_obj(run.make_context('run', []).params['runner'], 'kedro.runner').__name__,"
        "run.make_context('run', ['--runner', 'ThreadRunner']).params['runner'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["OverlappingRunner", "ThreadRunner"]
