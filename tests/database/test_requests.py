"""The queue of extra backtests, on both databases."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest

from dosvotos.database.connection import connect, reading, writing
from dosvotos.database.requests import (
    MAX_CLAIMS,
    ExtraBacktestResult,
    add_request,
    claim_request,
    fail_request,
    finish_request,
    get_request,
    list_requests,
    renew_claim,
)
from dosvotos.errors import UnknownRequestError
from dosvotos.refusals import Phrase
from tests.proposal_fixtures import Desk

NOW = datetime(2026, 8, 3, tzinfo=UTC)
LEASE = timedelta(minutes=2)
RESULT = ExtraBacktestResult("reports/extra/x.json", "a" * 64, {"sharpe_ratio": 1.5})


@pytest.fixture
def proposal_id(engine, tmp_path, monkeypatch) -> int:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path).propose()


def ask(engine, proposal_id: int, day: int = 1) -> int:
    request = {
        "proposal_id": proposal_id, "start_date": date(2025, 7, day), "end_date": date(2025, 7, 30),
        "sample": "OUT-OF-SAMPLE", "requested_by": "ana", "requested_at": NOW,
    }  # fmt: skip
    with writing(engine) as connection:
        return add_request(connection, request)


def status(engine, request_id: int) -> str:
    with reading(engine) as connection:
        return get_request(connection, request_id).status


def test_a_request_is_queued_running_and_done(engine, proposal_id):
    request_id = ask(engine, proposal_id)
    assert status(engine, request_id) == "queued"
    claimed = claim_request(engine, "w1", NOW, LEASE)
    assert (claimed.id, claimed.status, claimed.claims) == (request_id, "running", 1)
    assert claim_request(engine, "w2", NOW, LEASE) is None
    assert finish_request(engine, request_id, "w1", RESULT, NOW)
    with reading(engine) as connection:
        row = get_request(connection, request_id)
    assert (row.status, row.result_hash, row.metrics) == ("done", "a" * 64, {"sharpe_ratio": 1.5})
    assert claim_request(engine, "w2", NOW + timedelta(days=1), LEASE) is None


def test_requests_are_worked_off_in_their_order(engine, proposal_id):
    made = [ask(engine, proposal_id, day) for day in (3, 1, 2)]
    assert [claim_request(engine, "w", NOW, LEASE).id for _ in made] == made


def test_the_same_period_again_is_the_same_request_unless_it_failed(engine, proposal_id):
    first = ask(engine, proposal_id)
    assert ask(engine, proposal_id) == first
    claim_request(engine, "w", NOW, LEASE)
    assert fail_request(engine, first, "w", Phrase.of("stored_nothing"), NOW)
    again = ask(engine, proposal_id)
    assert again != first
    with reading(engine) as connection:
        assert [row.status for row in list_requests(connection, proposal_id)] == ["queued", "failed"]


def test_a_dead_worker_s_claim_returns_to_the_queue_and_its_late_result_is_not_entered(engine, proposal_id):
    request_id = ask(engine, proposal_id)
    claim_request(engine, "dead", NOW, LEASE)
    assert claim_request(engine, "w2", NOW + LEASE, LEASE) is None
    later = NOW + LEASE + timedelta(seconds=1)
    assert claim_request(engine, "w2", later, LEASE).claims == 2
    assert not finish_request(engine, request_id, "dead", RESULT, later)
    assert not renew_claim(engine, request_id, "dead", later, LEASE)
    assert not fail_request(engine, request_id, "dead", Phrase.of("stored_nothing"), later)
    assert finish_request(engine, request_id, "w2", RESULT, later)


def test_a_renewed_claim_holds(engine, proposal_id):
    request_id = ask(engine, proposal_id)
    claim_request(engine, "w1", NOW, LEASE)
    assert renew_claim(engine, request_id, "w1", NOW + LEASE, LEASE)
    assert claim_request(engine, "w2", NOW + 1.5 * LEASE, LEASE) is None
    assert claim_request(engine, "w2", NOW + 2.5 * LEASE, LEASE) is not None


def test_a_request_that_kills_its_workers_is_given_up(engine, proposal_id):
    request_id = ask(engine, proposal_id)
    moments = [NOW + 2 * n * LEASE for n in range(MAX_CLAIMS + 1)]
    claims = [claim_request(engine, f"w{n}", moment, LEASE) for n, moment in enumerate(moments)]
    assert [claim is not None for claim in claims] == [True] * MAX_CLAIMS + [False]
    with reading(engine) as connection:
        row = get_request(connection, request_id)
    assert row.status == "failed" and "died 3 times" in row.problem


def test_workers_at_once_never_take_the_same_request(engine, proposal_id):
    made = [ask(engine, proposal_id, day) for day in range(1, 13)]
    url = engine.url.render_as_string(hide_password=False)

    def work(worker: str) -> list[int]:
        own, taken = connect(url), []
        while (row := claim_request(own, worker, NOW, LEASE)) is not None:
            taken.append(row.id)
        own.dispose()
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [n for part in pool.map(work, ["a", "b", "c", "d"]) for n in part]
    assert Counter(taken) == Counter(made)


def test_an_unknown_request_is_named(engine):
    with reading(engine) as connection, pytest.raises(UnknownRequestError, match="backtest 7 does not exist"):
        get_request(connection, 7)
