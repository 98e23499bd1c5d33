"""The wheel holds all that runs, and runs where there is nothing but it and conf/."""

import os
import shutil
import subprocess
import sys
import tarfile
import time
import venv
from pathlib import Path

import httpx
import pytest
from setuptools import Distribution
from setuptools.config.pyprojecttoml import apply_configuration

from tests.conftest import ROOT
from tests.project import inside, stored_project
from tests.streamlit_app.serving import free_port

PACKAGES = {"dosvotos": ROOT / "src/dosvotos", "streamlit_app": ROOT / "streamlit_app"}
SOURCES = ("src", "streamlit_app", "conf", "pyproject.toml", "README.md", "LICENSE", ".telemetry")


def sources() -> set[str]:
    """Every file of the two packages, as the wheel should name it."""
    files = ((name, folder, path) for name, folder in PACKAGES.items() for path in folder.rglob("*"))
    return {
        f"{name}/{path.relative_to(folder)}"
        for name, folder, path in files
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_file_of_both_packages():
    with inside(ROOT):
        distribution = apply_configuration(Distribution({"script_name": "setup.py"}), "pyproject.toml")
        build = distribution.get_command_obj("build_py")
        build.ensure_finalized()
        packed = {
            str(Path(path).relative_to(build.build_lib)) for path in build.get_outputs(include_bytecode=False)
        }
    assert sources() - packed == set()
    assert {"dosvotos/__main__.py", "streamlit_app/i18n/es.yml", "dosvotos/reports/static/page.css"} <= packed


@pytest.mark.slow
def test_a_folder_of_conf_alone_is_a_project_in_which_pipelines_run(tmp_path):
    project = stored_project(tmp_path)
    (project.root / "pyproject.toml").unlink()
    done = project.command("dosvotos", "run", "--pipelines", "dataset", "--env", "smoke", folder="data")
    assert done.returncode == 0, done.stderr
    assert (project.root / "data/05_model_input/smoke/DS_smoke_train.parquet").is_file()
    wrong = project.command("dosvotos", "run", "--pipelines", "datast")
    assert (wrong.returncode, wrong.stderr) == (
        1,
        "error: unknown pipeline 'datast'; did you mean 'dataset'?\n",
    )


@pytest.mark.slow
def test_the_app_is_found_from_any_folder_of_a_project_whose_install_knows_src_alone():
    words = [Path(sys.executable).with_name("dosvotos"), "app", "--help"]
    path = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(words, cwd=ROOT / "docs", env=path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("usage: dosvotos app"), done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """An environment with the wheel of `kedro package` beside our dependencies, and a folder with conf/."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    bin_folder = Path(sys.executable).parent
    subprocess.run([bin_folder / "kedro", "package"], cwd=source, check=True, env=without_path())
    venv.create(folder / "venv", with_pip=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (wheel,) = (source / "dist").glob("*.whl")
    python = folder / "venv/bin/python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True, env=without_path()
    )
    (dependencies,) = (bin_folder.parent).glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{dependencies}\n")  # after the wheel's own folder on the path
    (folder / "desk").mkdir()
    with tarfile.open(source / "dist/conf-dosvotos.tar.gz") as conf:
        conf.extractall(folder / "desk", filter="data")
    shutil.rmtree(source)
    return folder


def without_path() -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "DO_NOT_TRACK": "true",
    }


@pytest.mark.slow
@pytest.mark.campaign
def test_what_kedro_package_builds_runs_elsewhere_pipelines_commands_and_the_app(installed, home):
    desk, python = installed / "desk", str(installed / "venv/bin/python")
    dosvotos = str(installed / "venv/bin/dosvotos")

    def said(*words: str) -> str:
        done = subprocess.run(
            words, cwd=desk, env=without_path(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = said(
        python, "-c", "import dosvotos, streamlit_app; print(dosvotos.__file__, streamlit_app.__file__)"
    )
    assert all(path.startswith(str(installed / "venv")) for path in where.split())
    assert "status: PENDING_APPROVAL" in said(python, "-m", "dosvotos", "run", "--env", "smoke")
    assert "USD/COP.SIM" in said(
        python, "-m", "dosvotos", "--pipelines", "data_acquisition", "--env", "smoke"
    )
    assert "audit log is whole" in said(dosvotos, "audit", "verify")
    port = free_port()
    settings = {**without_path(), "DOSVOTOS_SINGLE_USER": "1"}
    app = subprocess.Popen([dosvotos, "app", "--port", str(port)], cwd=desk, env=settings)
    try:
        assert answer_of(f"http://127.0.0.1:{port}/api/experiments")[0]["experiment_name"] == "smoke"
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    finally:
        app.terminate()
        app.wait(timeout=20)


def answer_of(url: str) -> list[dict]:
    for _ in range(120):
        try:
            return httpx.get(url).raise_for_status().json()
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"{url} does not answer")
