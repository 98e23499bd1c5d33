"""The notebooks run on a project's catalog, hold no outputs, and never open test."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
import yaml
from jupyter_client import KernelManager
from nbclient import NotebookClient

from dosvotos import mlflow_tracking
from tests.conftest import ROOT
from tests.project import Project, stored_project

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIRST_CELL = r"%load_ext kedro\.ipython\n%reload_kedro --env (\w+)"
WORDS = "**What one sees:**", "**What not to conclude:**"
HOLD_TEST = ("01_raw", "02_intermediate", "03_primary", "04_feature")


def cells_of(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def test_the_four_are_there():
    assert [path.stem for path in NOTEBOOKS] == [
        "compare_experiments", "explore_market", "inside_a_model", "null_market",
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs_and_each_figure_is_put_into_words(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    cells = cells_of(path)
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert re.fullmatch(FIRST_CELL, code[0].source)
    drawn = figures_of(cells)
    assert drawn
    for i in drawn:
        after = "".join(cell.source for cell in cells[i + 1 : i + 3])
        assert all(word in after for word in WORDS), cells[i].source


def figures_of(cells: list) -> list[int]:
    """Where a figure is drawn."""
    return [i for i, cell in enumerate(cells) if re.search(r"^drawn = ", cell.source, re.MULTILINE)]


def lay_out(root: Path) -> Project:
    """A project whose experiments are smoke's size; the candidate is a ridge, which needs no torch."""
    made = stored_project(root)
    smoke = yaml.safe_load((ROOT / "conf/smoke/parameters.yml").read_text())
    ridge = {"training": {**smoke["training"], "engine": "linear"}}
    nothing = {"sample_market": {**smoke["sample_market"], "edge": 0.0}}
    for name, change in (("demo", ridge), ("demo_linear", {**ridge, "features": {"range_source": "bars"}})):
        (made.root / f"conf/{name}/parameters.yml").write_text(yaml.safe_dump({**smoke, **change}))
    (made.root / "conf/null_market/parameters.yml").write_text(yaml.safe_dump({**smoke, **nothing}))
    shutil.copytree(ROOT / "notebooks", made.root / "notebooks")
    return made


def forget_test(project: Project) -> None:
    """Delete every file that holds rows of test."""
    for rows in project.root.glob("data/0[5-7]*/*/*test*.parquet"):
        rows.unlink()
    for folder in HOLD_TEST:
        shutil.rmtree(project.root / "data" / folder, ignore_errors=True)


@contextmanager
def kernel_of(project: Project) -> Iterator[KernelManager]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(project.root / "ipython"))
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=str(project.root / "notebooks"))
    try:
        yield manager
    finally:
        manager.shutdown_kernel(now=True)


def run_notebook(project: Project, kernel: KernelManager, name: str, env: str | None = None) -> None:
    """Run a notebook from top to bottom, on another experiment if asked for; every figure is shown."""
    notebook = nbformat.read(project.root / f"notebooks/{name}.ipynb", as_version=4)
    if env is not None:
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        first.source = re.sub(r"(?<=--env )\w+", env, first.source)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    NotebookClient(notebook, km=kernel, timeout=240).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [kind for output in outputs for kind in output.get("data", ())]
    assert shown.count("application/vnd.plotly.v1+json") == len(figures_of(notebook.cells)) > 0
    assert [output for output in outputs if output.get("name") == "stderr"] == []


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One kernel for all, since a start costs its imports, in a project of which no row of test is left."""
    project = lay_out(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow_tracking, "is_installed", lambda: False)
        project.run("demo", "dataset", "training")
    forget_test(project)
    with kernel_of(project) as manager:
        yield project, manager


@pytest.mark.slow
@pytest.mark.parametrize("name", ["explore_market", "inside_a_model", "null_market"])
def test_a_notebook_runs_without_a_row_of_test(name, kernel):
    run_notebook(*kernel, name, env="demo")


@pytest.mark.slow
@pytest.mark.campaign
def test_the_others_run_on_the_experiments_they_ask_for(tmp_path):
    project = lay_out(tmp_path)
    for name in ("demo", "demo_linear"):
        project.run(name, "data_acquisition", "dataset", "training", "backtest", "promotion")
    project.run("null_market", "data_acquisition", "dataset")
    forget_test(project)
    with kernel_of(project) as manager:
        run_notebook(project, manager, "compare_experiments")
        run_notebook(project, manager, "null_market")
