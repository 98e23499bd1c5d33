import json

import pytest

from tests.conftest import ROOT
from tests.project import Project, new_project, stored_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Project:
    return new_project(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Project:
    project = stored_project(tmp_path_factory.mktemp("stored"))
    (project.root / "mine.py").write_text(
        (ROOT / "tests/leakage/user_features.py").read_text("utf-8"), "utf-8"
    )
    return project


def test_without_data_it_says_what_to_do(empty):
    done = empty.command("dosvotos", "leakcheck", "--env", "smoke")
    assert done.returncode == 1
    assert "data/dosvotos.db does not exist, and none was made; 'kedro run' makes it" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.campaign
def test_the_house_is_clean_and_a_leak_of_ones_own_is_named(stored):
    words = ("dosvotos", "leakcheck", "--env", "smoke", "--probes", "6")
    clean = stored.command(*words, "--json", "clean.json")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "clean: nothing saw the future" in clean.stdout
    assert json.loads((stored.root / "clean.json").read_text("utf-8"))["dataset"] == []
    leaking = stored.command(*words, "--features", "mine:leaking", "--html", "leak.html")
    assert leaking.returncode == 1
    assert "future: sees what was not yet known" in leaking.stdout and "gap at " in leaking.stdout
    assert "Not clean" in (stored.root / "leak.html").read_text("utf-8")


@pytest.mark.campaign
def test_own_code_that_is_not_there_is_one_message(stored):
    done = stored.command("dosvotos", "leakcheck", "--env", "smoke", "--features", "mine:absent")
    assert done.returncode == 1
    assert "--features: 'mine:absent' cannot be imported" in done.stderr and "Traceback" not in done.stderr
