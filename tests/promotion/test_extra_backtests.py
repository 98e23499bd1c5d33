"""Extra backtests on a desk with ten sessions of stored bars, the first three of them in val."""

import json
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest

from dosvotos.backtest.run import run_backtest
from dosvotos.backtest.window import touches_unseen
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.market_data import BarTable, StoredMarket
from dosvotos.database.registry import get_model
from dosvotos.database.requests import get_request, list_requests
from dosvotos.errors import BundleError, DatabaseError, DecisionConflictError, LineageError, RequestError
from dosvotos.market.dataset import feature_rows
from dosvotos.market.splits import Split
from dosvotos.promotion import extra_backtests
from dosvotos.promotion.decision import Vote, decide
from dosvotos.promotion.dossier import read_extra_backtest
from dosvotos.promotion.extra_backtests import request_backtest, run_request, vote_for_backtest
from dosvotos.promotion.gate_policy import packaged_policy
from tests.conftest import parameters_of
from tests.market_factory import PERIODS
from tests.proposal_fixtures import INSTRUMENT, Desk, tiny_policy

NOW = datetime.now(UTC)
UNSEEN = (date(2025, 7, 1), date(2025, 7, 8))
SEEN = (date(2025, 6, 24), date(2025, 6, 26))
BOTH = (date(2025, 6, 24), date(2025, 7, 8))


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def ask(desk: Desk, proposal_id: int, period: tuple[date, date] = UNSEEN):
    request_id = request_backtest(desk.engine, proposal_id, *period, "ana", NOW)
    with reading(desk.engine) as connection:
        return get_request(connection, request_id)


def looks(desk: Desk) -> list:
    """Every look after the proposal's own."""
    return TrialLedger(desk.engine, INSTRUMENT).looks(parameters_of().feed)[1:]


def model(desk: Desk, proposal_id: int):
    with reading(desk.engine) as connection:
        return get_model(connection, desk.proposal(proposal_id).model_id)


def results_of(desk: Desk, request) -> tuple[dict, str]:
    result = run_request(desk.engine, request, NOW)
    return json.loads((desk.root / result.file).read_text()), result.digest


def test_a_vote_and_its_test_are_recorded_together(desk):
    vote, proposal_id = Vote("REQUEST_MORE_TESTS", "alice"), desk.propose()
    first = vote_for_backtest(desk.engine, proposal_id, *UNSEEN, vote, NOW)
    assert first == vote_for_backtest(desk.engine, proposal_id, *UNSEEN, vote, NOW)
    assert vote_for_backtest(desk.engine, proposal_id, *BOTH, vote, NOW) == first + 1
    assert [row.action for row in desk.votes()] == ["REQUEST_MORE_TESTS"] * 3
    with reading(desk.engine) as connection:
        kept = get_request(connection, first)
    assert (kept.start_date, kept.end_date, kept.requested_by) == (*UNSEEN, "alice")


@pytest.mark.parametrize(
    "broken", ["decision.add_request", "transaction.append_audit_row", "transaction.announce_decision"]
)
def test_where_one_of_vote_and_test_fails_neither_is_recorded(desk, monkeypatch, broken):
    def fail(*_: object, **__: object) -> None:
        raise DatabaseError("the disk is full")

    proposal_id = desk.propose()
    monkeypatch.setattr(f"dosvotos.promotion.{broken}", fail)
    with pytest.raises(DatabaseError, match="disk is full"):
        vote_for_backtest(desk.engine, proposal_id, *UNSEEN, Vote("REQUEST_MORE_TESTS", "alice"), NOW)
    with reading(desk.engine) as connection:
        assert list_requests(connection, proposal_id) == []
    assert desk.votes() == [] and desk.proposal(proposal_id).status == "PENDING_APPROVAL"


def test_the_result_is_that_of_the_policy_on_features_of_the_same_definition(desk):
    found, _ = results_of(desk, ask(desk, desk.propose(seed=2)))
    contract = ContractRegistry(desk.engine).of_experiment("demo", "1.0.0")["CTR-EXP-demo"]
    bars, macro = StoredMarket(desk.engine, INSTRUMENT, parameters_of().feed).tables
    history = stored_history(contract.parameters, bars, macro, NOW, date(2025, 12, 31))
    split = Split("x", *UNSEEN)
    rows = split.select(feature_rows(history, contract.parameters))
    seed = packaged_policy().evidence.seed
    expected = run_backtest(tiny_policy(2), rows, split.sessions(), contract.parameters, seed)
    assert found["metrics"]["total_trades"] > 0 and found["metrics"]["sharpe_ratio"] is not None
    assert found["metrics"] == expected.metrics.model_dump()
    assert found["backtest_hash"] == expected.backtest_hash
    assert found["test_period"] == "2025-07-01 to 2025-07-08"


def test_a_second_attempt_gives_the_same_bytes_even_after_new_bars(desk):
    request = ask(desk, desk.propose())
    _, digest = results_of(desk, request)
    table = BarTable(desk.engine, INSTRUMENT, parameters_of().feed)
    last = table.as_of(NOW).iloc[[-1]].reset_index()
    changed = last.assign(close=last["close"] + 5)
    table.store(changed, NOW + timedelta(seconds=1))
    assert results_of(desk, request)[1] == digest


@pytest.mark.parametrize(
    ("period", "sample", "n_looks"),
    [(UNSEEN, "OUT-OF-SAMPLE", 1), (SEEN, "IN-SAMPLE", 0), (BOTH, "IN-SAMPLE", 1)],
)
def test_what_the_model_has_seen_is_labelled_and_what_it_has_not_is_a_look(desk, period, sample, n_looks):
    request = ask(desk, desk.propose(), period)
    found, _ = results_of(desk, request)
    assert request.sample == found["sample"] == sample
    assert ("IN-SAMPLE" in run_request(desk.engine, request, NOW).file) == (sample == "IN-SAMPLE")
    rows = looks(desk)
    assert len(rows) == n_looks
    if rows:
        assert (rows[0].window_start, rows[0].window_end) == period
        assert rows[0].daily_returns == found["daily_returns"]


def test_the_look_is_written_before_the_period_is_opened(desk, monkeypatch):
    request = ask(desk, desk.propose())

    def opened(*_):
        assert len(looks(desk)) == 1
        raise RuntimeError("stop here")

    monkeypatch.setattr(extra_backtests, "stored_history", opened)
    with pytest.raises(RuntimeError, match="stop here"):
        run_request(desk.engine, request, NOW)


def test_an_altered_bundle_is_refused_before_a_look_is_spent(desk):
    request = ask(desk, desk.propose())
    (path,) = desk.root.glob("data/06_models/*/policy.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError):
        run_request(desk.engine, request, NOW)
    assert looks(desk) == []


def test_an_altered_result_file_is_not_read(desk):
    request = ask(desk, desk.propose())
    result = run_request(desk.engine, request, NOW)
    answered = {**request._mapping, "result_file": result.file, "result_hash": result.digest}
    row = SimpleNamespace(**answered)
    assert read_extra_backtest(row).metrics.model_dump() == result.metrics
    path = desk.root / result.file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(LineageError, match="altered"):
        read_extra_backtest(row)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_one_request_s_report_does_not_pass_for_another_s(desk):
    proposal_id = desk.propose()
    rows = []
    for period in (UNSEEN, SEEN):
        request = ask(desk, proposal_id, period)
        result = run_request(desk.engine, request, NOW)
        rows.append(
            SimpleNamespace(**{**request._mapping, "result_file": result.file, "result_hash": result.digest})
        )
    unseen, seen = rows
    assert read_extra_backtest(unseen).sample == "OUT-OF-SAMPLE"
    seen.result_file, seen.result_hash = unseen.result_file, unseen.result_hash
    with pytest.raises(LineageError, match=rf"is extra backtest {unseen.id} of proposal .* not {seen.id} of"):
        read_extra_backtest(seen)
    unseen.start_date = SEEN[0]
    with pytest.raises(LineageError, match="2025-07-01 to 2025-07-08"):
        read_extra_backtest(unseen)


@pytest.mark.parametrize(
    ("period", "message"),
    [
        ((date(2025, 7, 8), date(2025, 7, 1)), "ends 2025-07-01, before it starts"),
        ((date(2025, 7, 1), date(2025, 7, 9)), "whole sessions stored, 2025-06-24 to 2025-07-08"),
        ((date(2020, 1, 1), date(2025, 7, 8)), "goes beyond"),
        ((date(2025, 7, 5), date(2025, 7, 6)), "fewer than two sessions"),
    ],
)
def test_a_period_that_cannot_be_tested_is_refused_at_once(desk, period, message):
    with pytest.raises(RequestError, match=message):
        ask(desk, desk.propose(), period)


def test_extra_backtests_are_for_proposals_that_can_be_voted_on(desk):
    waiting, closed = desk.propose("one"), desk.propose("two", 2)
    decide(desk.engine, waiting, Vote("REQUEST_MORE_TESTS", "ana"), NOW)
    decide(desk.engine, closed, Vote("REJECT", "ana", "it lost in every June"), NOW)
    assert ask(desk, waiting).status == "queued"
    with pytest.raises(DecisionConflictError, match="is REJECTED"):
        ask(desk, closed)
    run_request(desk.engine, ask(desk, waiting), NOW)
    assert desk.proposal(waiting).status == "MORE_TESTS_REQUESTED"
    assert (
        decide(desk.engine, waiting, Vote("APPROVE", "bob", "the curve was read twice"), NOW).status
        == "APPROVED"
    )


def test_unseen_by_hand():
    days = pd.DatetimeIndex(["2025-06-26", "2025-06-27"]).to_numpy("datetime64[D]")
    assert not touches_unseen(days, PERIODS)
    assert touches_unseen(days + 3, PERIODS)  # the 29th lies behind val
