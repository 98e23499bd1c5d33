"""The REST API as programs use it: signed votes, retries, pages, filters, problems in two languages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dosvotos.audit.decision_text import parse_text
from dosvotos.database.tables import PROPOSAL_STATES
from dosvotos.hashing import digest_bytes
from dosvotos.signing.sshsig import VOTE_NAMESPACE
from tests.proposal_fixtures import NOTES, Desk
from tests.streamlit_app.conftest import People, with_people
from tests.streamlit_app.test_api import assert_problem

pytestmark = pytest.mark.slow
SPANISH = {"Accept-Language": "es-CO,es;q=0.9,en;q=0.5"}


@pytest.fixture
def any_people(any_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> People:
    """People on each database."""
    return with_people(any_desk, monkeypatch)


def text_of(client: Any, people: People, proposal_id: int, by: str, notes: str = NOTES, **query: str) -> Any:
    asked = {"action": "APPROVE", "reason_sha256": digest_bytes(notes.encode()), **query}
    path = f"/api/experiments/{proposal_id}/decision-text"
    return client.get(path, params=asked, headers=people.headers(by))


def signed(people: People, text: str, by: str) -> dict[str, str]:
    return {"text": text, "signature": people.team.key(by).sign(text.encode(), VOTE_NAMESPACE)}


def vote(client: Any, people: People, proposal_id: int, by: str, headers: Any = None, **body: Any) -> Any:
    """Take the text, sign it and send it; `body` changes what is sent."""
    said = {"decision": "APPROVE", "notes": NOTES, **body}
    if "text" not in said:
        text = text_of(client, people, proposal_id, by, action=said["decision"]).text
        said |= signed(people, text, by)
    sent = people.headers(by) | (headers or {})
    return client.post(f"/api/experiments/{proposal_id}/approve", headers=sent, json=said)


def test_a_vote_signed_with_ones_own_key_promotes(client, any_people: People, any_desk: Desk):
    proposal_id = any_desk.propose()
    answer = text_of(client, any_people, proposal_id, "ana")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    text = parse_text(answer.text)
    assert (text.action, text.stage, text.reviewer, text.proposal) == (
        "APPROVE",
        "production",
        "ana",
        proposal_id,
    )
    body = {"decision": "APPROVE", "notes": NOTES, **signed(any_people, answer.text, "ana")}
    path = f"/api/experiments/{proposal_id}/approve"
    answer = client.post(path, headers=any_people.headers("ana"), json=body)
    model_id = any_desk.proposal(proposal_id).model_id
    assert answer.json() == {"success": True, "model_id": model_id, "new_stage": "production"}
    (row,) = (row for row in any_desk.votes() if row.proposal_id)
    assert (row.reviewer, row.mode, row.text, row.notes) == ("ana", "team", body["text"], NOTES)


def test_what_was_signed_is_what_counts(client, people: People, desk: Desk):
    """A text that says anything else, or that another signed, decides nothing."""
    proposal_id, other = desk.propose("one", 1), desk.propose("two", 2)
    text = text_of(client, people, proposal_id, "ana").text
    for changed in (
        text.replace("stage: production", "stage: shadow"),
        text.replace("reviewer: ana", "reviewer: ben"),
        text.replace("action: APPROVE", "action: REJECT"),
        text.replace(f"proposal: {proposal_id}", f"proposal: {other}"),
    ):
        assert changed != text
        refused = vote(client, people, proposal_id, "ana", **signed(people, changed, "ana"))
        assert assert_problem(refused, 409)["code"] == "text_outdated"
    by_ben = vote(client, people, proposal_id, "ana", **signed(people, text, "ben"))
    assert assert_problem(by_ben, 403)["code"] == "other_key"
    sent_by_ben = vote(client, people, proposal_id, "ben", **signed(people, text, "ana"))
    assert assert_problem(sent_by_ben, 409)["code"] == "text_outdated"
    reason = vote(
        client, people, proposal_id, "ana", **signed(people, text, "ana"), notes=NOTES + " Not really."
    )
    assert assert_problem(reason, 409)["figures"]["line"] == "reason"
    for broken in ("x", "", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", "\x00"):
        assert vote(client, people, proposal_id, "ana", text=text, signature=broken).status_code in (403, 422)
    half = client.post(
        f"/api/experiments/{proposal_id}/approve",
        headers=people.headers("ana"),
        json={"decision": "APPROVE", "notes": NOTES, "text": text},
    )
    assert assert_problem(half, 422)["code"] == "invalid"
    assert [row for row in desk.votes() if row.proposal_id] == []
    assert vote(client, people, proposal_id, "ana", **signed(people, text, "ana")).status_code == 200
    used = vote(client, people, proposal_id, "ana", **signed(people, text, "ana"))
    assert used.status_code == 409


def test_the_trainer_cannot_approve_whatever_the_case(client, people: People, desk: Desk):
    proposal_id = desk.propose(trained_by=" ANA")
    assert assert_problem(text_of(client, people, proposal_id, "ana"), 403)["code"] == "own_model"
    assert text_of(client, people, proposal_id, "ana", action="REJECT").status_code == 200
    assert text_of(client, people, proposal_id, "ben").status_code == 200


def test_a_rejection_and_a_request_need_what_they_need(client, people: People, desk: Desk):
    proposal_id = desk.propose()
    request = vote(
        client, people, proposal_id, "ben", decision="REQUEST_MORE_TESTS", text=None, signature=None
    )
    assert request.status_code == 200
    rejected = vote(client, people, proposal_id, "ana", decision="REJECT")
    assert rejected.json()["new_stage"] == "staging"
    assert assert_problem(vote(client, people, proposal_id, "ben", text="x", signature="x"), 409)["code"] == (
        "proposal_closed"
    )


def test_tripwires_that_the_reviewer_states_are_in_the_text(client, people: People, desk: Desk):
    proposal_id = desk.propose()
    by_policy = parse_text(text_of(client, people, proposal_id, "ana").text).lapses
    stated = '{"max_drawdown": 0.05, "max_age_days": 90}'
    answer = text_of(client, people, proposal_id, "ana", lapses=stated)
    assert parse_text(answer.text).lapses not in (by_policy, None)
    loose = text_of(client, people, proposal_id, "ana", lapses='{"max_drawdown": 0.9}')
    assert assert_problem(loose, 422)["code"] == "lapses_bound"
    for wrong in ("{", "[]", '{"max_drawdown": -1}', '{"drawdown": 0.1}', "null"):
        assert (
            assert_problem(text_of(client, people, proposal_id, "ana", lapses=wrong), 422)["code"]
            == "invalid"
        )
    unlike = vote(client, people, proposal_id, "ana", **signed(people, answer.text, "ana"))
    assert assert_problem(unlike, 409)["figures"]["line"] == "lapses"
    lapses = {"max_drawdown": 0.05, "max_age_days": 90}
    done = vote(client, people, proposal_id, "ana", **signed(people, answer.text, "ana"), lapses=lapses)
    assert done.status_code == 200
    assert [row.lapses["max_age_days"] for row in desk.votes() if row.proposal_id] == [90]


def test_the_same_key_gets_the_same_answer_and_decides_once(client, people: People, desk: Desk):
    one, two = desk.propose("one", 1), desk.propose("two", 2)
    key = {"Idempotency-Key": "run-17"}
    first = vote(client, people, one, "ana", key)
    again = client.post(
        f"/api/experiments/{one}/approve",
        headers=people.headers("ana") | key,
        json={"decision": "APPROVE", "notes": NOTES, "text": "lost", "signature": "lost"},
    )
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
    other = vote(client, people, two, "ben", key, decision="REJECT")
    assert assert_problem(other, 409)["code"] == "key_reused"
    assert [row.action for row in desk.votes() if row.proposal_id] == ["APPROVE"]


def test_a_key_that_is_none_is_refused(client, desk: Desk):
    path = f"/api/experiments/{desk.propose()}/approve"
    for key in ("", "x" * 256, "ü", "a b"):
        headers = {"Idempotency-Key": key.encode("latin-1")}
        answer = client.post(path, headers=headers, json={"decision": "REQUEST_MORE_TESTS"})
        assert assert_problem(answer, 422)["code"] == "invalid", key
    assert desk.votes() == []


def test_the_local_key_signs_in_single_user_mode(client, desk: Desk):
    proposal_id = desk.propose()
    path = f"/api/experiments/{proposal_id}/decision-text?action=APPROVE&reason_sha256={'0' * 64}"
    assert assert_problem(client.get(path), 409)["code"] == "single_user_signs"


def test_proposals_come_in_pages_that_miss_none(client, desk: Desk):
    ids = [desk.propose(f"e{n}", n) for n in range(5)]
    found, path = [], "/api/experiments?limit=2"
    while path:
        answer = client.get(path)
        assert len(answer.json()) <= 2
        found += [row["id"] for row in answer.json()]
        path = answer.links.get("next", {}).get("url")
    assert found == sorted(ids, reverse=True)


def test_proposals_are_filtered_by_what_they_show(client, desk: Desk):
    kept = desk.propose("kept", 1)
    gone = desk.propose("gone", 2, recommendation="REVIEW", created_at=datetime.now(UTC) - timedelta(days=31))
    rows = client.get("/api/experiments").json()
    for name, field in (
        ("status", "status"), ("recommendation", "recommendation"), ("experiment", "experiment_name"),
        ("instrument", "instrument"),
    ):  # fmt: skip
        for row in rows:
            wanted = {one["id"] for one in rows if one[field] == row[field]}
            answer = client.get("/api/experiments", params={name: row[field]})
            assert {one["id"] for one in answer.json()} == wanted
    assert client.get("/api/experiments?status=EXPIRED").json()[0]["id"] == gone
    assert [row["id"] for row in client.get("/api/experiments?before=2").json()] == [kept]
    assert {client.get(f"/api/experiments?status={one}").status_code for one in PROPOSAL_STATES} == {200}


def test_signals_since_a_bar_come_oldest_first_and_miss_none(client, any_desk: Desk):
    any_desk.signal(30, "demo_1")
    any_desk.signal(30, "other_1", instrument="USD/COP")
    newest = client.get("/api/signals?limit=1000").json()
    in_order = sorted(newest, key=lambda row: (row["timestamp"], row["instrument"]))
    start = in_order[10]["timestamp"]
    found, path = [], f"/api/signals?since={start}&limit=7"
    while path:
        answer = client.get(path)
        found += answer.json()
        path = answer.links.get("next", {}).get("url")
    assert found == [row for row in in_order if row["timestamp"] > start]
    one = client.get(f"/api/signals?since={start}&instrument=USD/COP").json()
    assert one == [row for row in found if row["instrument"] == "USD/COP"]
    assert client.get(f"/api/signals?since={in_order[-1]['timestamp']}").json() == []


def test_a_refusal_has_a_code_with_figures_and_comes_in_the_callers_language(client, desk: Desk):
    proposal_id = desk.propose(recommendation="REJECT")
    path, body = f"/api/experiments/{proposal_id}/approve", {"decision": "APPROVE", "notes": NOTES}
    english = assert_problem(client.post(path, json=body), 422)
    spanish = assert_problem(client.post(path, json=body, headers=SPANISH), 422)
    assert english["code"] == spanish["code"] == "veto"
    assert english["figures"]["proposal"] == spanish["figures"]["proposal"] == proposal_id
    assert "veto" in english["detail"] and "L4 recommends" in english["detail"]
    assert "L4 recomienda REJECT" in spanish["detail"]
    desk.change(proposal_id, metrics={"sharpe_ratio": 1.0})
    incomplete = assert_problem(client.post(path, json=body, headers=SPANISH), 409)
    assert incomplete["code"] == "odd_value"
    edited_id = desk.propose("edited", 2)
    desk.change(edited_id, metrics=desk.proposal(edited_id).metrics | {"sharpe_ratio": 9.0})
    path = f"/api/experiments/{edited_id}/approve"
    edited = assert_problem(client.post(path, json=body, headers=SPANISH), 409)
    assert edited["code"] == "row_altered"


LIKED = [
    ("es", True), ("es-CO", True), ("ES", True), ("en,es;q=0.9", False), ("fr,es;q=0.5,en;q=0.4", True),
    ("fr", False), ("", False), ("*", False), ("es;q=0", False), ("es;q=banana", True), (",;q=,", False),
    ("en;q=0.1,es;q=0.2", True), ("x" * 2_000, False),
]  # fmt: skip


def test_the_language_is_the_one_the_caller_likes_best(client, desk: Desk):
    for language, spanish in LIKED:
        problem = client.get("/api/experiments/77", headers={"Accept-Language": language}).json()
        told = "la propuesta 77 no existe" if spanish else "proposal 77 does not exist"
        assert problem["detail"].startswith(f"{told}; "), language


def test_the_docs_page_has_an_example_of_every_body(client):
    page, schema = client.get("/api/docs").text, client.get("/api/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} /api{path}</code>" in page
    for shown in (
        "&quot;decision&quot;: &quot;APPROVE&quot;",
        "&quot;start_date&quot;",
        "&quot;valid_until&quot;",
    ):
        assert shown in page
    assert schema["components"]["securitySchemes"] == {"HTTPBearer": {"type": "http", "scheme": "bearer"}}
