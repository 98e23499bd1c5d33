import pytest

from tests.conftest import SHARED_DATA
from tests.project import new_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return new_project(tmp_path_factory.mktemp("likeness"), tracked=False)


@pytest.mark.campaign
def test_the_page_is_written_and_counted(project):
    done = project.command("dosvotos", "likeness", "--out", "page.html")
    assert done.returncode == 0, done.stderr
    assert f"of 154 figures lie within their tolerance; see {project.root}/page.html" in done.stdout
    assert (project.root / "page.html").stat().st_size > 1_000_000
    assert not (project.root / "data").exists()


@pytest.mark.campaign
def test_a_folder_of_real_files_takes_the_published_statistics_place(project):
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real market data in ../shared/data, which the repository does not hold")
    done = project.command("dosvotos", "likeness", "--data", str(SHARED_DATA), "--out", "real.html")
    assert done.returncode == 0, done.stderr
    assert f"the files in {SHARED_DATA}" in (project.root / "real.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere"], "nowhere is not a folder"),
        (["--env", "exp9"], "unknown experiment 'exp9'; the folders of conf/ are: demo"),
    ],
)
def test_mistakes_are_one_message(project, words, message):
    done = project.command("dosvotos", "likeness", *words)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
