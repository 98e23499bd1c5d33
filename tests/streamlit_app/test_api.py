"""The REST API on the assembled app: reading, every decision path, and votes at the same moment."""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from dosvotos.commands import jobs
from dosvotos.database.connection import writing
from dosvotos.database.outbox import LATE_AFTER
from dosvotos.database.tables import promotion_proposals
from dosvotos.promotion.notify import NOTIFICATION, URLS_VARIABLE, Notification, announce
from streamlit_app import queries
from tests.proposal_fixtures import NOTES, Desk, as_an_older_version

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script> ![x](http://evil.test/a.png) $x$ ' OR 1=1; DROP TABLE model_registry--"


def approve(client: Any, proposal_id: int, **body: Any) -> Any:
    return client.post(
        f"/api/experiments/{proposal_id}/approve", json={"decision": "APPROVE", "notes": NOTES, **body}
    )


def assert_problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert {"type", "title", "code", "detail"} <= body.keys()
    assert "Traceback" not in response.text
    assert "site-packages" not in response.text
    return body


def test_health_names_the_database_and_counts_what_waits(client, any_desk: Desk):
    any_desk.propose("one", 1)
    any_desk.propose("two", 2)
    body = client.get("/api/health").json()
    assert body == {
        "status": "degraded",
        "database": any_desk.engine.dialect.name,
        "schema_version": body["schema_version"],
        "pending": 2,
        "retracted_data": [],
        "worker": "down",
        "late_messages": [],
    }
    assert body["schema_version"]


def test_health_names_what_nobody_was_told_for_five_minutes(client, desk: Desk, monkeypatch):
    """Only where somebody is to be told: without recipients no notification waits for anything."""
    monkeypatch.setattr("streamlit_app.api.is_worker_up", lambda now: True)
    then = datetime.now(UTC) - LATE_AFTER - timedelta(seconds=1)
    with writing(desk.engine) as connection:
        announce(connection, Notification(event="HALT", instrument="USD/COP", person="ana"), then)
    assert client.get("/api/health").json()["status"] == "ok"
    monkeypatch.setenv(URLS_VARIABLE, "json://127.0.0.1:9/")
    body = client.get("/api/health").json()
    (late,) = body["late_messages"]
    assert body["status"] == "degraded"
    assert (late["kind"], late["subject"], late["attempts"]) == (NOTIFICATION, "HALT USD/COP", 0)


def test_health_tells_whether_the_jobs_worker_lives(client, desk: Desk):
    with jobs._beating():
        while not jobs.HEARTBEAT.exists():
            time.sleep(0.01)
        assert client.get("/api/health").json()["worker"] == "up"
        silent = time.time() - jobs.SILENCE.total_seconds() - 1
        os.utime(jobs.HEARTBEAT, (silent, silent))
        assert client.get("/api/health").json()["worker"] == "down"
    assert client.get("/api/health").json()["status"] == "degraded"


BAD_ROWS = {
    "metrics": {"metrics": {"sharpe_ratio": 1.0}},
    "evidence": {"evidence": {}},
    "lineage": {"lineage": {}},
    "criteria": {"criteria": [{"name": "min_sharpe"}]},
    "reasons": {"reasons": [{"figures": {}}]},
}


@pytest.mark.parametrize("column", BAD_ROWS)
def test_an_edited_row_is_one_message_and_no_traceback(client, desk: Desk, column: str):
    proposal_id = desk.propose()
    with writing(desk.engine) as connection:
        connection.execute(update(promotion_proposals).values(BAD_ROWS[column]))
    answer = client.get(f"/api/experiments/{proposal_id}")
    assert answer.status_code in (200, 409), answer.text
    if answer.status_code == 409:
        assert "edited" in assert_problem(answer, 409)["detail"]


def test_experiments_are_listed_newest_first_with_the_documented_fields(client, any_desk: Desk):
    first, second = any_desk.propose("one", 1), any_desk.propose("two", 2)
    rows = client.get("/api/experiments").json()
    assert [row["id"] for row in rows] == [second, first]
    assert set(rows[0]) == {
        "id",
        "experiment_name",
        "model_id",
        "instrument",
        "kind",
        "status",
        "recommendation",
        "confidence",
        "created_at",
    }
    assert rows[0]["status"] == "PENDING_APPROVAL"
    assert rows[0]["confidence"] == 0.85
    assert rows[0]["created_at"].endswith("Z")


def test_an_experiment_comes_with_all_it_stands_on(client, any_desk: Desk):
    proposal_id = any_desk.propose()
    body = client.get(f"/api/experiments/{proposal_id}").json()
    assert body["metrics"]["sharpe_ratio"] == 1.9234
    assert body["criteria_results"]["min_sharpe"] == "PASS (1.923 > 0.5)"
    assert body["criteria"][0] == {
        "name": "min_sharpe", "found": 1.9234, "sign": ">", "needed": 0.5, "verdict": "PASS",
        "interval_90": None, "not_compared": None, "broken": [], "floor": None,
    }  # fmt: skip
    assert body["evidence"]["psr"] == 0.973
    assert len(body["lineage"]["model_hash"]) == 64
    results = body["backtest_results"]
    assert len(results["equity_curve"]) == len(results["drawdown_series"]) == 4 * 60
    assert {"entry_time", "exit_time", "direction", "units", "entry_price", "exit_price", "pnl"} == set(
        results["trades"][0]
    )
    assert body["report_problem"] is None
    assert results["sample"] == "OUT-OF-SAMPLE"
    assert [case["cost_bps"] for case in results["stress"]["costs"]] == [0.0, 3.5, 7.0, 38.5]
    assert sum(cut["sessions"] for cut in results["cuts"]["by_year"]) == 4


def test_a_proposal_of_an_older_version_says_that_its_results_are(client, desk: Desk):
    body = client.get(f"/api/experiments/{desk.propose(results=as_an_older_version, criteria=None)}").json()
    assert body["backtest_results"] is None and body["criteria"] is None
    assert "written by another version, see cuts" in body["report_problem"]
    assert body["criteria_results"]["min_sharpe"] == "PASS (1.923 > 0.5)"


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("altered", "backtest_results_demo.json"),
        ("missing", "backtest_results_demo.json"),
        ("unlisted", "promotion_proposal_demo.json"),
    ],
)
def test_a_report_that_is_not_l4s_is_named_and_not_shown(client, desk: Desk, damage: str, named: str):
    proposal_id = desk.propose()
    if damage == "altered":
        path = desk.report(proposal_id)
        path.write_bytes(path.read_bytes().replace(b"1.9234", b"9.9234"))
    elif damage == "missing":
        desk.report(proposal_id).unlink()
    else:
        with writing(desk.engine) as connection:
            old = update(promotion_proposals).values(report_files={}, dossier_hash=None)
            connection.execute(old)
    body = client.get(f"/api/experiments/{proposal_id}").json()
    assert body["backtest_results"] is None
    assert named in body["report_problem"]
    assert body["metrics"]["sharpe_ratio"] == 1.9234


def test_an_approval_promotes_and_writes_one_audit_row(client, any_desk: Desk):
    proposal_id = any_desk.propose(trained_by="bob")
    model_id = any_desk.proposal(proposal_id).model_id
    response = approve(client, proposal_id, notes=NOTES, promote_to_production=True)
    assert response.json() == {"success": True, "model_id": model_id, "new_stage": "production"}
    assert any_desk.stages() == {model_id: "production"}
    (vote,) = any_desk.votes()
    assert (vote.action, vote.reviewer, vote.notes) == ("APPROVE", "alice", NOTES)
    assert vote.self_approved is False
    assert any_desk.proposal(proposal_id).status == "APPROVED"


def test_approving_ones_own_model_is_marked(client, any_desk: Desk):
    approve(client, any_desk.propose(trained_by=" ALICE "))
    assert [vote.self_approved for vote in any_desk.votes()] == [True]


def test_an_approval_archives_the_model_before(client, any_desk: Desk):
    first = any_desk.propose("one", 1)
    approve(client, first)
    before = any_desk.proposal(first).model_id
    second = any_desk.propose("two", 2, baseline_model_id=before)
    assert approve(client, second).status_code == 200
    assert any_desk.stages() == {before: "archived", any_desk.proposal(second).model_id: "production"}


def test_an_approval_to_shadow_leaves_production_alone(client, any_desk: Desk):
    proposal_id = any_desk.propose()
    assert approve(client, proposal_id, promote_to_production=False).json()["new_stage"] == "shadow"
    assert list(any_desk.stages().values()) == ["shadow"]


@pytest.mark.parametrize(
    ("decision", "status"), [("REJECT", "REJECTED"), ("REQUEST_MORE_TESTS", "MORE_TESTS_REQUESTED")]
)
def test_turning_a_proposal_down_leaves_the_model_in_staging(
    client, any_desk: Desk, decision: str, status: str
):
    proposal_id = any_desk.propose()
    response = approve(client, proposal_id, decision=decision)
    assert response.json()["new_stage"] == "staging"
    assert any_desk.proposal(proposal_id).status == status
    assert list(any_desk.stages().values()) == ["staging"]


def test_a_proposal_sent_back_for_tests_can_still_be_approved(client, desk: Desk):
    proposal_id = desk.propose()
    approve(client, proposal_id, decision="REQUEST_MORE_TESTS")
    assert approve(client, proposal_id).status_code == 200
    assert [vote.action for vote in desk.votes()] == ["REQUEST_MORE_TESTS", "APPROVE"]


def test_l4s_reject_is_a_veto(client, any_desk: Desk):
    proposal_id = any_desk.propose(recommendation="REJECT")
    assert "veto" in assert_problem(approve(client, proposal_id, notes="I insist, it is good"), 422)["detail"]
    assert any_desk.votes() == []
    assert approve(client, proposal_id, decision="REJECT").status_code == 200


@pytest.mark.parametrize("recommendation", ["PROMOTE", "REVIEW"])
def test_an_approval_and_a_rejection_need_a_reason_of_twenty_characters(client, desk: Desk, recommendation):
    proposal_id = desk.propose(recommendation=recommendation)
    for decision in ("APPROVE", "REJECT"):
        short = approve(client, proposal_id, decision=decision, notes="x" * 19 + "   ")
        assert f"{decision} needs at least 20 characters" in assert_problem(short, 422)["detail"]
    assert desk.votes() == []
    assert approve(client, proposal_id, decision="REQUEST_MORE_TESTS", notes="").status_code == 200
    assert approve(client, proposal_id, notes="x" * 20).status_code == 200


@pytest.mark.parametrize(
    ("hidden", "name"),
    [("\x1b[31m", "U+001B ESC"), ("\x07", "U+0007 BEL"), ("\u202e", "U+202E RIGHT"), ("\x00", "U+0000 NUL")],
)
def test_a_reason_with_a_character_that_does_not_show_is_refused(client, desk: Desk, hidden: str, name: str):
    proposal_id = desk.propose()
    for decision in ("APPROVE", "REJECT", "REQUEST_MORE_TESTS"):
        refused = approve(client, proposal_id, decision=decision, notes=NOTES + hidden)
        assert f"found {name}" in assert_problem(refused, 422)["detail"]
        assert hidden not in refused.text
    assert desk.votes() == []


def test_every_vote_on_a_model_shows_on_each_of_its_proposals(client, desk: Desk):
    first = desk.propose("demo", seed=1)
    approve(client, first, decision="REJECT", notes="It only worked in one month.")
    renamed, other = desk.propose("renamed", seed=1), desk.propose("other", seed=2)
    shown = {one: client.get(f"/api/experiments/{one}").json() for one in (first, renamed, other)}
    (vote,) = shown[renamed]["votes"]
    assert shown[first]["votes"] == [vote] and shown[other]["votes"] == []
    assert (vote["proposal_id"], vote["notes"]) == (first, "It only worked in one month.")
    (notice,) = shown[renamed]["notices"]
    assert notice["code"] == "rejected_before" and "alice rejected this model on" in notice["text"]
    assert shown[first]["notices"] == shown[other]["notices"] == []


def test_a_decided_proposal_cannot_be_decided_again(client, any_desk: Desk):
    proposal_id = any_desk.propose()
    approve(client, proposal_id)
    assert_problem(approve(client, proposal_id, decision="REJECT"), 409)
    assert len(any_desk.votes()) == 1


def test_a_proposal_made_against_another_production_model_is_refused(client, any_desk: Desk):
    stale = any_desk.propose("one", 1)
    approve(client, any_desk.propose("two", 2))
    assert "run the backtest" in assert_problem(approve(client, stale), 409)["detail"]


def test_an_overdue_proposal_reads_and_votes_as_expired(client, any_desk: Desk):
    proposal_id = any_desk.propose(created_at=datetime.now(UTC) - timedelta(days=31))
    assert client.get("/api/experiments").json()[0]["status"] == "EXPIRED"
    assert client.get("/api/health").json()["pending"] == 0
    assert_problem(approve(client, proposal_id), 409)


def test_a_model_whose_bundle_changed_cannot_be_approved(client, desk: Desk):
    proposal_id = desk.propose()
    path = next(desk.root.glob("data/06_models/*/policy.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert_problem(approve(client, proposal_id), 409)
    assert desk.votes() == []
    assert list(desk.stages().values()) == ["staging"]


def test_an_unknown_proposal_is_a_404(client, any_desk: Desk):
    assert_problem(client.get("/api/experiments/77"), 404)
    assert_problem(approve(client, 77), 404)


@pytest.mark.parametrize("claimed", ["bob", "alice2", "", "admin"])
def test_a_reviewer_who_is_not_you_is_refused(client, desk: Desk, claimed: str):
    proposal_id = desk.propose()
    assert_problem(approve(client, proposal_id, reviewer=claimed), 403)
    assert desk.votes() == []


def test_the_vote_is_attributed_to_the_credential_only(client, desk: Desk):
    proposal_id = desk.propose()
    response = client.post(
        f"/api/experiments/{proposal_id}/approve?reviewer=bob&user=bob",
        json={"decision": "APPROVE", "notes": NOTES, "reviewer": " Alice "},
        headers={"X-Reviewer": "bob", "X-Forwarded-User": "bob", "Remote-User": "bob", "X-User": "bob"},
    )
    assert response.status_code == 200
    assert [vote.reviewer for vote in desk.votes()] == ["alice"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "PROMOTE"},
        {"decision": "APPROVE", "promote_to_production": "yes"},
        {"decision": "APPROVE", "notes": "x" * 4_001},
        {"decision": "APPROVE", "notes": None},
        {"decision": "APPROVE", "single_user": True},
        ["APPROVE"],
    ],
)
def test_a_body_outside_the_schema_is_a_problem_that_names_the_field(client, desk: Desk, body: Any):
    proposal_id = desk.propose()
    problem = assert_problem(client.post(f"/api/experiments/{proposal_id}/approve", json=body), 422)
    assert problem["errors"][0]["where"].startswith("body")
    assert desk.votes() == []


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b'{"decision": "APPROVE", "notes": "\\ud800"}'])
def test_a_body_that_is_no_json_text_is_a_problem(client, desk: Desk, content: bytes):
    proposal_id = desk.propose()
    path = f"/api/experiments/{proposal_id}/approve"
    response = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert_problem(response, response.status_code)
    assert desk.votes() == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/nothing", 404),
        ("/api/experiments/x", 422),
        ("/api/experiments/0", 422),
        ("/api/experiments/99999999999999999999", 422),
        ("/api/experiments/1/approve", 405),
        ("/api/signals?limit=0", 422),
        ("/api/signals?limit=1001", 422),
    ],
)
def test_wrong_addresses_are_problems(client, desk: Desk, path: str, status: int):
    assert_problem(client.get(path), status)


def test_an_unexpected_error_tells_nothing(client, desk: Desk, monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise RuntimeError("secret at /home/alice/.ssh")

    monkeypatch.setattr(queries, "proposals", fail)
    assert "secret" not in assert_problem(client.get("/api/experiments"), 500)["detail"]


def test_a_database_that_is_away_is_a_503(client, desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", "postgresql://u:hush@127.0.0.1:1/none")
    problem = assert_problem(client.get("/api/experiments"), 503)
    assert "hush" not in problem["detail"]


def test_hostile_notes_are_stored_and_returned_as_they_are(client, any_desk: Desk):
    proposal_id = any_desk.propose()
    assert approve(client, proposal_id, notes=HOSTILE).status_code == 200
    response = client.get(f"/api/experiments/{proposal_id}")
    assert response.json()["reviewer_notes"] == HOSTILE
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert [vote.notes for vote in any_desk.votes()] == [HOSTILE]


def test_signals_are_the_newest_ones(client, any_desk: Desk):
    any_desk.signal(30, "demo_1")
    rows = client.get("/api/signals?limit=20").json()
    assert len(rows) == 20
    assert [row["timestamp"] for row in rows] == sorted((row["timestamp"] for row in rows), reverse=True)
    assert {row["reason_code"] for row in rows if row["status"] == "NO_SIGNAL"} == {"NO_BAR"}


def test_docs_list_every_route_without_anything_from_elsewhere(client):
    page = client.get("/api/docs")
    schema = client.get("/api/openapi.json").json()
    assert page.headers["content-type"].startswith("text/html")
    assert len(schema["paths"]) == 8
    for path in schema["paths"]:
        assert f"/api{path}" in page.text
    for word in ("<script", "cdn", "src="):
        assert word not in page.text
    assert schema["servers"] == [{"url": "/api"}]


@pytest.mark.parametrize(
    ("path", "target"),
    [("/experiments/7/review", "/review?id=7"), ("/experiments/pending", "/"), ("/api", "/api/docs")],
)
def test_documented_addresses_lead_to_the_flat_ones(client, path: str, target: str):
    response = client.get(path)
    assert (response.status_code, response.headers["location"]) == (307, target)


def _approve_at_once(client: Any, *proposal_ids: int) -> list[int]:
    """Status codes, sorted, of approvals that start together."""
    barrier, statuses = threading.Barrier(len(proposal_ids)), []

    def run(proposal_id: int) -> None:
        barrier.wait()
        statuses.append(approve(client, proposal_id).status_code)

    threads = [threading.Thread(target=run, args=(proposal_id,)) for proposal_id in proposal_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(statuses)


@pytest.mark.parametrize("same", [True, False], ids=["one proposal twice", "two proposals"])
def test_of_two_approvals_at_once_one_wins(client, any_desk: Desk, same: bool):
    first = any_desk.propose("first", 1)
    approve(client, first)
    baseline = any_desk.proposal(first).model_id
    for attempt in range(5):
        one = any_desk.propose("one", 2 * attempt + 2, baseline_model_id=baseline)
        two = one if same else any_desk.propose("two", 2 * attempt + 3, baseline_model_id=baseline)
        assert _approve_at_once(client, one, two) == [200, 409]
        (baseline,) = [model for model, stage in any_desk.stages().items() if stage == "production"]
        assert [vote.action for vote in any_desk.votes()] == ["APPROVE"] * (attempt + 2)


def test_the_very_first_two_approvals_at_once(client, any_desk: Desk):
    one, two = any_desk.propose("one", 1), any_desk.propose("two", 2)
    assert _approve_at_once(client, one, two) == [200, 409]
    assert sorted(any_desk.stages().values()) == ["production", "staging"]
