"""Who may call what: routes by credentials, forged names, and the order in which the gate refuses."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from dosvotos.promotion.house_acts import RevokeReviewer
from dosvotos.promotion.tokens import revoke_token
from streamlit_app import access
from streamlit_app.access import POLICY, Gate, Rule
from tests.proposal_fixtures import NOTES, Desk
from tests.streamlit_app.conftest import ORIGIN, People, TestClient, with_people
from tests.streamlit_app.routes import ROLES, Answer, call, may_call, routes_of, was_refused
from tests.team import WHY

HOLDERS = {"vic": "viewer", "olga": "operator", "ana": "reviewer", "ada": "admin"}
MONTH_AGO = timedelta(days=31)


def bad_credentials(people: People) -> dict[str, dict[str, str]]:
    """Everything that opens nothing."""
    now = datetime.now(UTC)
    revoked, of_ben = people.token("ana"), people.token("ben")
    revoke_token(people.team.engine, revoked.split("_")[1], "ana", now)
    people.team.do(RevokeReviewer(WHY, "ben"), "ada")
    right = people.token("ana")
    sent = {
        "none": None,
        "garbage": "Bearer x",
        "empty": "Bearer ",
        "another secret": f"Bearer {right[:-2]}{'AA' if right[-2:] != 'AA' else 'BB'}",
        "another scheme": "Basic YW5hOmFuYQ==",
        "expired": f"Bearer {people.token('ana', days=30, at=now - MONTH_AGO)}",
        "revoked": f"Bearer {revoked}",
        "of somebody revoked": f"Bearer {of_ben}",
    }
    return {name: {"Authorization": one} if one else {} for name, one in sent.items()}


def test_the_table_has_every_route_of_the_app_and_no_other(app: Any):
    assert {(rule.method, rule.path) for rule in POLICY} == routes_of(app)
    assert len(POLICY) == len({(rule.method, rule.path) for rule in POLICY})


def test_no_credential_opens_what_it_is_not_for(client: TestClient, people: People):
    bad = bad_credentials(people)
    good = {name: people.headers(name) for name in HOLDERS}
    for rule in POLICY:
        for name, headers in bad.items():
            assert was_refused(call(client, rule, headers)) == (not may_call(rule, None)), (rule, name)
        for name, headers in good.items():
            assert was_refused(call(client, rule, headers)) == (not may_call(rule, HOLDERS[name])), (
                rule,
                name,
            )
    assert set(HOLDERS.values()) == set(ROLES)


def test_a_route_that_is_not_in_the_table_is_there_for_nobody(people: People):
    async def secret(_: Any) -> PlainTextResponse:
        return PlainTextResponse("secret")

    inner = Starlette(routes=[Route("/api/new", secret), Route("/api/health", secret)])
    client = TestClient(Gate(inner), base_url=ORIGIN, client=("127.0.0.1", 50_000))
    for name in HOLDERS:
        headers = people.headers(name)
        assert client.get("/api/health", headers=headers).text == "secret"
        assert client.get("/api/new", headers=headers).status_code == 404
        assert client.get("/api/health/", headers=headers).status_code == 404
        assert client.get("//api/health", headers=headers).status_code == 404
        assert client.post("/api/health", headers=headers, json={}).status_code == 405


def test_a_token_of_a_lower_role_opens_less_than_its_person(client: TestClient, people: People):
    path = "/api/experiments/1/backtest"
    body = {"start_date": "2026-01-05", "end_date": "2026-01-09"}
    as_viewer = people.headers("ana", role="viewer")
    assert call(client, Rule("GET", "/api/experiments", "person"), as_viewer) == Answer(200, None)
    refused = client.post(path, headers=as_viewer, json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "role")
    assert client.post(path, headers=people.headers("ana"), json=body).status_code == 404


FORGED = ["ben", "ada", "ANA2", "", "ana\u200b", "аna", "admin", "root", "alice"]  # noqa: RUF001


def test_nobody_votes_under_another_name(client: TestClient, people: People, desk: Desk):
    """In the body another name is a 403; in headers and query it counts for nothing."""
    proposal_id = desk.propose()
    headers = people.headers("ana")
    path, vote = f"/api/experiments/{proposal_id}/approve", {"decision": "REQUEST_MORE_TESTS", "notes": ""}
    for name in FORGED:
        refused = client.post(path, headers=headers, json={**vote, "reviewer": name})
        assert (refused.status_code, refused.json()["code"]) == (403, "reviewer"), name
    assert desk.votes() == []
    for header in ("X-Reviewer", "X-User", "Remote-User", "X-Forwarded-User", "X-Remote-User", "From"):
        named = {**headers, header: "ben"}
        assert (
            client.post(f"{path}?reviewer=ben&user=ben&name=ben", headers=named, json=vote).status_code == 200
        )
    assert {row.reviewer for row in desk.votes() if row.proposal_id} == {"ana"}


def test_a_token_alone_never_signs_a_vote(client: TestClient, people: People, desk: Desk):
    proposal_id = desk.propose()
    for decision in ("APPROVE", "REJECT"):
        body = {"decision": decision, "notes": NOTES}
        refused = client.post(
            f"/api/experiments/{proposal_id}/approve", headers=people.headers("ana"), json=body
        )
        assert (refused.status_code, refused.json()["code"]) == (403, "unsigned")
        assert "ssh-keygen -Y sign" in refused.json()["detail"]
    assert [vote for vote in desk.votes() if vote.proposal_id] == []


def test_what_is_missing_is_told_with_the_way_to_get_it(client: TestClient, people: People):
    answer = client.get("/api/experiments")
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert "dosvotos reviewer token" in answer.json()["detail"]
    expired = people.token("ana", at=datetime.now(UTC) - MONTH_AGO)
    for language, word in (("en", "expired"), ("es-CO,es;q=0.9,en;q=0.8", "caducó")):
        headers = {"Authorization": f"Bearer {expired}", "Accept-Language": language}
        problem = client.get("/api/experiments", headers=headers).json()
        assert problem["code"] == "token_expired" and word in problem["detail"]
        assert expired not in str(problem)


def test_the_single_users_mode_ends_with_the_first_person(client: TestClient, desk: Desk, monkeypatch):
    assert client.get("/api/experiments").status_code == 200
    with_people(desk, monkeypatch)
    monkeypatch.setenv("DOSVOTOS_SINGLE_USER", "1")
    assert client.get("/api/experiments").status_code == 401


def test_without_people_and_without_single_user_mode_nobody_is_anybody(client, desk: Desk, monkeypatch):
    monkeypatch.delenv("DOSVOTOS_SINGLE_USER")
    assert client.get("/api/experiments").status_code == 401
    assert client.get("/api/experiments", headers={"Authorization": "Bearer x"}).status_code == 401


PUBLIC = "https://votos.example.com"
GOOD = [
    ("votos.example.com", PUBLIC), ("votos.example.com", None), ("VOTOS.example.com", PUBLIC),
    ("localhost:8501", "http://localhost:8501"), ("127.0.0.1:8501", None),
]  # fmt: skip
BAD = [
    ("votos.example.com", "http://votos.example.com", 403),
    ("votos.example.com", "https://votos.example.com:8443", 403),
    ("votos.example.com", "https://evil.example.com", 403),
    ("votos.example.com", "http://localhost:8501", 403),
    ("votos.example.com", "null", 403),
    ("localhost:8501", PUBLIC, 403),
    ("votos.example.com.evil.test", PUBLIC, 400),
    ("xvotos.example.com", None, 400),
    ("votos.example.com:8443", PUBLIC, 400),
    ("votos.example.com.", PUBLIC, 400),
    ("evil.test", None, 400),
    ("", None, 400),
]


def test_a_team_is_served_under_its_stated_address_only(app: Any, people: People, monkeypatch):
    monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", PUBLIC)
    proxy = TestClient(app, base_url=ORIGIN, client=("10.0.0.7", 50_000))
    token = people.headers("vic")
    for host, origin in GOOD:
        headers = {"Host": host, **token, **({"Origin": origin} if origin else {})}
        assert proxy.get("/api/experiments", headers=headers).status_code == 200, (host, origin)
    for host, origin, status in BAD:
        headers = {"Host": host, **token, **({"Origin": origin} if origin else {})}
        assert proxy.get("/api/experiments", headers=headers).status_code == status, (host, origin)
    monkeypatch.setenv("DOSVOTOS_SINGLE_USER", "1")  # whose address is this machine's
    assert proxy.get("/api/experiments", headers=token).status_code == 403


@pytest.mark.parametrize(
    "stated", ["votos.example.com", "ftp://votos.example.com", "https://votos.example.com/app", "https://",
               "http://votos.example.com", "https://user@votos.example.com"],
)  # fmt: skip
def test_an_address_that_is_none_serves_nobody(client: TestClient, people: People, monkeypatch, stated: str):
    monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", stated)
    answer = client.get("/api/experiments", headers=people.headers("vic"))
    assert answer.status_code == 409 and "DOSVOTOS_PUBLIC_URL" in answer.json()["detail"]


def test_a_credential_finder_is_asked_in_turn(client: TestClient, people: People, monkeypatch):
    found = access.Caller("vic", "viewer", "passkey")
    monkeypatch.setattr(access, "AUTHENTICATORS", (*access.AUTHENTICATORS, lambda *_: found))
    assert client.get("/api/experiments").status_code == 200
    assert client.get("/api/experiments", headers={"Authorization": "Bearer x"}).status_code == 401


TEXT = "/api/experiments/1/decision-text?action=APPROVE"
HOSTILE_PATHS = [
    f"/api/experiments/{'9' * 5_000}", f"/api/experiments/{'9' * 400}", f"/experiments/{'9' * 5_000}",
    f"/experiments/{'9' * 1_900}", f"/experiments/{'9' * 1_900}/review", f"/api/backtests/{'9' * 1_000}",
    f"/api/signals?limit={'9' * 5_000}", f"/api/signals?limit={'9' * 1_900}", f"/review?id={'9' * 1_900}",
    "/api/experiments/%00", "/%00", "/api/experiments?experiment=%00", "/api/signals?instrument=%00",
    "/api/signals?since=%00", "/static/%00.js", "/media/%00", "/experiments/1/%00", "/api/%0a",
    "/api/experiments/1%0d%0aX-Evil:%201", "/api/signals?since=2026-01-30T13:05:00", "/api/signals?since=now",
    "/api/signals?since=99999-01-01T00:00:00Z", "/api/signals?since=0001-01-01T00:00:00%2B14:00",
    "/api/signals?since=9999-12-31T23:59:59-14:00", "/api/signals?since=1e999",
    "/api/experiments?before=-1", "/api/experiments?limit=1e3", "/api/experiments?status=NONE",
    f"{TEXT}&reason_sha256=x",
    f"{TEXT}&reason_sha256={'0' * 64}&lapses={{", f"{TEXT}&reason_sha256={'0' * 64}&lapses={{\"max_drawdown\":NaN}}",
]  # fmt: skip
SECRET_WORDS = ("root:x:", "BEGIN OPENSSH", "[tool.kedro]", "import streamlit")
TRAVERSALS = [
    f"{root}{step * 8}{target}"
    for root in (
        "/static/",
        "/media/",
        "/api/experiments/",
        "/_stcore/bidi-components/",
        "/experiments/1/",
        "/",
    )
    for step in ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "....//", "..%252f", "..%c0%af")
    for target in ("etc/passwd", "pyproject.toml")
]
INJECTIONS = [
    "' OR 1=1--", "1; DROP TABLE model_registry", "\" OR \"\"=\"", "1 UNION SELECT salt FROM api_tokens",
    "${jndi:ldap://x}", "{{7*7}}", "$(id)", "`id`", "<script>alert(1)</script>", "%s%n", "'; --",
]  # fmt: skip


def test_no_address_makes_the_server_fail(client: TestClient, people: People, desk: Desk):
    desk.propose()
    headers = people.headers("ana")
    for path in HOSTILE_PATHS:
        answer = client.get(path, headers=headers)
        assert answer.status_code < 500, (path[:80], answer.status_code, answer.text)
        assert "evil" not in answer.headers


def test_no_address_leads_out_of_what_is_served(client: TestClient, people: People, desk: Desk):
    desk.propose()
    headers = people.headers("ana")
    for path in TRAVERSALS:
        answer = client.get(path, headers=headers)
        assert answer.status_code < 500, path
        assert not any(word in answer.text for word in SECRET_WORDS), path


def test_no_text_is_taken_for_sql_or_for_a_program(client: TestClient, people: People, desk: Desk):
    """Filters refuse it, bodies keep it as text; nothing is more, less or other afterwards."""
    proposal_id, headers = desk.propose(), people.headers("ana")
    path = f"/api/experiments/{proposal_id}/approve"
    for text in INJECTIONS:
        for name in ("experiment", "instrument", "status", "before"):
            answer = client.get("/api/experiments", params={name: text}, headers=headers)
            assert answer.status_code == 422, (name, text)
        for name in ("since", "instrument", "limit"):
            assert client.get("/api/signals", params={name: text}, headers=headers).status_code == 422, text
        key = {"Idempotency-Key": text.encode().hex() + text.replace(" ", "")}
        vote = {"decision": "REQUEST_MORE_TESTS", "notes": text}
        assert client.post(path, headers=headers | key, json=vote).status_code == 200
        assert client.post(path, headers=headers, json={**vote, "reviewer": text}).status_code == 403
    assert [row.notes for row in desk.votes() if row.proposal_id] == INJECTIONS
    assert len(client.get("/api/experiments", headers=headers).json()) == 1
