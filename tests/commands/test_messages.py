"""A mistake of a user is one message without traceback, a non-zero exit, and nothing written or lost."""

import shutil

import pytest
from filelock import FileLock

from dosvotos.commands.errors import message_of
from dosvotos.errors import DataError, ParameterError, RunLockedError
from tests.project import Project, new_project, stored_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return new_project(tmp_path_factory.mktemp("messages"))


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Project:
    return stored_project(tmp_path_factory.mktemp("stored"))


def test_a_project_without_its_configuration_says_where_it_is_missing(tmp_path):
    project = new_project(tmp_path)
    shutil.rmtree(project.root / "conf")
    done = project.command("kedro", "run", "--pipelines", "data_acquisition")
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert f"{project.root}/conf: no folder with a globals.yml is here" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--env", "exp9"], "unknown experiment 'exp9'; the folders of conf/ are: demo, demo_linear, demo_"),
        (["--params", "training.sead=3"], "training.sead: unknown parameter; did you mean 'seeds'?"),
        pytest.param(
            ["--pipelines", "trainin"],
            "unknown pipeline 'trainin'; did you mean 'training'?",
            marks=pytest.mark.campaign,
        ),
        (["--nodes", "train_polcy"], "unknown node 'train_polcy'; did you mean 'train_policy'?"),
        (["--from-nodes", "x", "--pipelines", "training"], "unknown node 'x'; there are: delete_ch"),
        pytest.param(
            ["--tags", "L9"], "unknown tag 'L9'; there are: L0, L2, L3, L4", marks=pytest.mark.campaign
        ),
        pytest.param(
            ["--to-outputs", "evidenc"],
            "unknown dataset 'evidenc'; did you mean 'evidence'?",
            marks=pytest.mark.campaign,
        ),
        (["--pipelines", "lineage"], "lineage: is a picture for 'make viz' and cannot be run"),
        (["--runner", "ParallelRunner"], "use SequentialRunner (the default) or ThreadRunner"),
        pytest.param(
            ["--runner", "Threads"], "give --runner SequentialRunner or", marks=pytest.mark.campaign
        ),
    ],
)
def test_kedro_run_says_what_is_wrong(project, words, message):
    done = project.command("kedro", "run", *words)
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((project.root / "data").rglob("*.parquet"))


EXP1 = "exp1_curriculum_aggressive_v1"


@pytest.mark.parametrize(
    ("env", "params", "message"),
    [
        ("demo", {"trainin": {"seed": 3}}, "trainin: unknown parameter; did you mean 'training'?"),
        ("demo", {"data_acquisition": {"source": "files"}}, "the two never mix"),
        (
            EXP1,
            {},
            "data_acquisition.folder: needed with source 'files'; add --params data_acquisition.folder=PATH",
        ),
        (
            "demo",
            {"evidence": {"n_random_traders": 20}},
            "evidence.n_random_traders: must be at least 200, was 20",
        ),
        (
            EXP1,
            {"data_acquisition": {"folder": "nowhere"}},
            "data_acquisition.folder: nowhere is not a folder",
        ),
    ],
)
def test_a_run_with_wrong_parameters_says_which(project, env, params, message):
    with pytest.raises(Exception, match=r".") as caught:
        project.run(env, **params)
    assert message in (message_of(caught.value) or "")
    assert not list((project.root / "data").rglob("*.parquet"))


def test_a_layer_that_comes_too_early_is_told_so(project):
    with pytest.raises(Exception, match=r".") as caught:
        project.run("demo", "training")
    assert "does not exist yet; run the layer that makes it first" in (message_of(caught.value) or "")


def test_an_empty_period_is_refused_and_no_contract_remains(stored):
    ranges = {
        "train": {"start": "2019-01-01", "end": "2019-03-01"},
        "val": {"start": "2019-04-01", "end": "2019-05-01"},
        "test": {"start": "2023-01-01", "end": "2023-02-01"},
    }
    with pytest.raises(DataError, match=r"train: no bars between 2019-01-01 and 2019-02-28"):
        stored.run("smoke", "dataset", date_ranges=ranges)
    stored.run("smoke", "dataset")


def test_an_environment_that_borrows_a_name_is_refused(project):
    shutil.copytree(project.root / "conf/smoke", project.root / "conf/exp3")
    with pytest.raises(ParameterError, match=r"must be its folder's name, 'exp3', was 'smoke'"):
        project.run("exp3", "dataset")


def test_a_second_run_of_the_same_name_is_refused_while_the_first_works(stored):
    (stored.root / "data/.locks").mkdir(parents=True, exist_ok=True)
    with (
        FileLock(stored.root / "data/.locks/smoke.lock"),
        pytest.raises(RunLockedError, match="run 'smoke' is at work in another process"),
    ):
        stored.run("smoke", "dataset")
    stored.run("smoke", "dataset")


def test_dosvotos_upgrades_and_verifies(tmp_path, project):
    url = f"sqlite:///{tmp_path}/fresh.db"
    upgraded = project.command("dosvotos", "db", "upgrade", DOSVOTOS_DATABASE_URL=url)
    assert upgraded.stdout.startswith("schema upgraded from empty to ")
    again = project.command("dosvotos", "db", "upgrade", DOSVOTOS_DATABASE_URL=url)
    assert "already" in again.stdout
    whole = project.command("dosvotos", "audit", "verify", folder="conf/demo", DOSVOTOS_DATABASE_URL=url)
    assert whole.returncode == 0 and whole.stdout.startswith("audit log is whole: 0 row(s). Checked:\n")
    assert "It does not prove:\n" in whole.stdout


def test_a_proof_of_what_is_missing_fails_and_makes_nothing(tmp_path, project):
    url = f"sqlite:///{tmp_path}/none/a.db"
    done = project.command("dosvotos", "audit", "verify", DOSVOTOS_DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: database {tmp_path}/none/a.db does not exist, and none was made" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_dosvotos_outside_a_project_says_so_in_one_line(tmp_path):
    done = Project(tmp_path).command("dosvotos", "audit", "verify")
    assert done.returncode == 1
    assert (
        done.stderr.startswith(f"error: {tmp_path} is in no Dos Votos project")
        and done.stderr.count("\n") == 1
    )
    assert list(tmp_path.iterdir()) == []
    assert Project(tmp_path).command("dosvotos", "audit", "--help").returncode == 0


def test_dosvotos_reports_a_bad_database_url_without_its_password(project):
    done = project.command("dosvotos", "audit", "verify", DOSVOTOS_DATABASE_URL="mysql://me:secret@host/d")
    assert (done.returncode, done.stderr.splitlines()) == (
        1, ["error: DOSVOTOS_DATABASE_URL: 'mysql' is not supported; use sqlite:/// or postgresql://"],
    )  # fmt: skip


def test_a_defect_of_ours_keeps_its_traceback():
    assert message_of(ZeroDivisionError("division by zero")) is None
    wrapped = RuntimeError("outer")
    wrapped.__cause__ = DataError("inner")
    assert message_of(wrapped) == "inner"
