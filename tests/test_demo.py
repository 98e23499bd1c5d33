"""The demo finds its planted edge and is promoted; the same market without one is not."""

import json

import pytest

from tests.conftest import ROOT
from tests.project import Project, new_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return new_project(tmp_path_factory.mktemp("demo"), tracked=False)


def proposal_of(project: Project, env: str) -> dict:
    path = project.root / f"data/08_reporting/{env}/promotion_proposal_{env}.json"
    return json.loads(path.read_text())


def test_demo_is_promoted_and_says_its_edge_is_planted_and_what_a_ridge_finds_of_it(project, capsys):
    project.run("demo")
    proposal = proposal_of(project, "demo")
    assert proposal["recommendation"] == "PROMOTE", proposal["reason"]
    metrics, rival = proposal["metrics"], proposal["evidence"]["linear_rival"]
    low, high = rival["interval_90"]
    assert low < 0 < high, "candidate and rival are not told apart"
    assert proposal["evidence"]["psr"] > 0.95
    assert proposal["lineage"]["planted_edge"] == 0.45
    assert 0 < metrics["sharpe_ratio"] < 2 * proposal["lineage"]["oracle_sharpe"]
    told = " ".join(capsys.readouterr().out.split())
    assert "is planted and generous; real markets are not like this" in told
    _is_printed_in_the_readme(metrics, rival)


def _is_printed_in_the_readme(metrics: dict, rival: dict) -> None:
    """The README prints demo's figures; they are this run's, whatever its day."""
    page = " ".join((ROOT / "README.md").read_text().split())
    drawdown, win_rate = f"{metrics['max_drawdown']:.1%}", f"{metrics['win_rate']:.1%}"
    low, high = rival["interval_90"]
    for printed in (
        f"{metrics['total_trades']} trades, drawdown {drawdown}, Sharpe {metrics['sharpe_ratio']:.2f}",
        f"a linear model of the same features (Sharpe {rival['sharpe_ratio']:.2f}): the difference lies "
        f"between {low:.2f} and {high:.2f} (90%)",
        f"max_drawdown PASS {drawdown} < 15.0%",
        f"min_win_rate PASS {win_rate} > 45.0%",
    ):
        assert printed in page, f"README.md must print: {printed}"


@pytest.mark.campaign
def test_the_market_without_an_edge_is_not_promoted(project):
    project.run("null_market")
    proposal = proposal_of(project, "null_market")
    assert proposal["recommendation"] != "PROMOTE", proposal["reason"]
    assert proposal["lineage"]["planted_edge"] is None
    assert proposal["evidence"]["looks"] == 1
