"""``dosvotos compare`` over proposals in the books."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, func, select

from dosvotos.commands.main import cli
from dosvotos.database.connection import open_database, reading, writing
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.ledger import TrialLedger, look_of
from dosvotos.database.market_data import BarTable
from dosvotos.database.registry import add_model, add_proposal
from dosvotos.database.tables import oos_trials
from dosvotos.errors import DosVotosError, LineageError, ParameterError
from dosvotos.hashing import digest_bytes
from tests.backtest.test_compare import ROWS, contestant

NOW = datetime(2026, 8, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def contestants():
    return [contestant("a", 1), contestant("b", 2), contestant("later", 3, first=10)]


@pytest.fixture
def engine(tmp_path, monkeypatch, contestants) -> Engine:
    url = f"sqlite:///{tmp_path}/data/dosvotos.db"
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    engine = open_database(url)
    for one in contestants:
        propose(engine, one)
    return engine


def propose(engine: Engine, one) -> None:
    """Put a contestant into the books as L4 would."""
    parameters, instrument = one.contract.parameters, one.contract.parameters.experiment.instrument
    ContractRegistry(engine).store(one.contract)
    BarTable(engine, instrument, parameters.feed).store(bars(), NOW)
    TrialLedger(engine, instrument).record(look_of(one.contract, one.report.model_hash), one.name, NOW)
    files = {
        f"backtest_results_{one.name}.json": one.report.model_dump_json().encode(),
        "experiment_contract.json": one.contract.model_dump_json().encode(),
    }
    folder = Path("reports") / one.name
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    model = {
        "model_id": one.model_id, "instrument": instrument, "experiment_name": one.name, "model_path": "x",
        "model_hash": one.report.model_hash, "manifest_hash": "m", "trained_by": "ana", "created_at": NOW,
    }  # fmt: skip
    proposal = {
        "model_id": one.model_id, "instrument": instrument, "experiment_name": one.name,
        "recommendation": "PROMOTE", "reason": "r", "metrics": one.report.metrics.model_dump(),
        "criteria_results": {},
        "evidence": {}, "requires_human_approval": True,
        "lineage": {"config_hash": one.contract.config_hash}, "report_folder": str(folder),
        "report_files": {name: digest_bytes(content) for name, content in files.items()},
        "content_hash": "c", "created_at": NOW,
    }  # fmt: skip
    with writing(engine) as connection:
        add_model(connection, model)
        add_proposal(connection, proposal)


def bars() -> pd.DataFrame:
    prices = dict.fromkeys(("open", "high", "low", "close"), ROWS["close"].to_numpy())
    return pd.DataFrame({"timestamp": ROWS.index, **prices, "volume": 0.0, "source": "simulator"})


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["compare", *words])


def n_looks(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(oos_trials)).scalar_one()


def test_the_table_is_printed_and_page_and_json_are_written(engine, contestants):
    before = n_looks(engine)
    done = run("a", "b")
    assert done.exit_code == 0, done.output
    sharpe = [f"{one.report.metrics.sharpe_ratio:.2f}" for one in contestants[:2]]
    line = next(line for line in done.output.splitlines() if "Sharpe ratio" in line)
    assert line.split()[-2:] == sharpe
    found = json.loads(Path("data/08_reporting/comparison_a_vs_b.json").read_text())
    assert found["experiments"] == ["a", "b"] and found["looks"] == 3
    assert 0 <= found["pairs"][0]["probability_a_beats_b"] <= 1
    assert "a against b" in Path("data/08_reporting/comparison_a_vs_b.html").read_text()
    assert n_looks(engine) == before


def test_an_intersection_says_so_and_is_a_look_only_of_who_saw_more(engine):
    before = n_looks(engine)
    done = run("a", "later", "--intersect", "--out", "here")
    assert done.exit_code == 0, done.output
    assert "left out: a 10, later 0" in done.output
    assert json.loads(Path("here/comparison_a_vs_later.json").read_text())["sessions"] == 30
    assert n_looks(engine) == before + 1, "a on 30 of its 40 sessions; later had seen just these"
    run("a", "later", "--intersect", "--out", "here")
    assert n_looks(engine) == before + 1, "the same look again is none"


@pytest.mark.parametrize("words", [["a"], [], ["a", "a"]])
def test_fewer_than_two_experiments_is_a_usage_error(engine, words):
    done = run(*words)
    assert done.exit_code == 2 and "at least two experiments" in done.output


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["a", "exp9"], ParameterError, "exp9 has no proposal; experiments with one: a, b, later"),
        (["a", "later"], ParameterError, "--intersect compares"),
    ],
)
def test_what_cannot_be_compared_is_one_message(engine, words, kind: type[DosVotosError], message):
    done = run(*words)
    assert isinstance(done.exception, kind) and message in str(done.exception)
    assert not Path("data/08_reporting").exists()


def test_altered_results_are_refused(engine):
    path = Path("reports/a/backtest_results_a.json")
    path.write_text(path.read_text().replace("0.", "1.", 1))
    done = run("a", "b")
    assert isinstance(done.exception, LineageError) and "backtest_results_a.json" in str(done.exception)


def test_a_result_without_a_look_in_the_ledger_is_refused(engine, contestants):
    report = contestants[1].report.model_copy(update={"model_hash": "9" * 64})
    extra = contestants[1]._replace(name="b2", model_id="b2", report=report)
    propose(engine, extra._replace(name="unseen", contract=contestant("unseen", 2).contract))
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP TRIGGER oos_trials_no_delete")
        connection.exec_driver_sql("DELETE FROM oos_trials WHERE experiment_name = 'unseen'")
    done = run("a", "unseen")
    assert "trial ledger: no look of model 999999999999" in str(done.exception)
