"""The demo finds its planted edge, and the same market without one is not promoted."""

import json

import pytest

from tests.project import Project, new_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return new_project(tmp_path_factory.mktemp("demo"), tracked=False)


def proposal_of(project: Project, env: str) -> dict:
    path = project.root / f"data/08_reporting/{env}/promotion_proposal_{env}.json"
    return json.loads(path.read_text())


def test_demo_is_an_honest_promote_and_says_its_edge_is_planted(project, capsys):
    project.run("demo")
    proposal = proposal_of(project, "demo")
    assert proposal["recommendation"] == "PROMOTE", proposal["reason"]
    assert proposal["evidence"]["passed"] is True
    assert proposal["evidence"]["psr"] > 0.95
    assert proposal["lineage"]["planted_edge"] == 0.45
    beside = {reason["code"] for reason in proposal["reasons"]} & {"beats_linear", "like_linear"}
    assert len(beside) == 1, "the linear rival is not clearly better, and the vote says how it compares"
    assert 0 < proposal["metrics"]["sharpe_ratio"] < 2 * proposal["lineage"]["oracle_sharpe"]
    assert "is planted and generous; real markets are not like this" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.campaign
def test_the_market_without_an_edge_is_not_promoted(project):
    project.run("null_market")
    proposal = proposal_of(project, "null_market")
    assert proposal["recommendation"] != "PROMOTE", proposal["reason"]
    assert proposal["lineage"]["planted_edge"] is None
    assert proposal["evidence"]["looks"] == 1
