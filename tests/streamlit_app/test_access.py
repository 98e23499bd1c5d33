"""Who may call what: routes by credentials, forged names, and the order in which the gate refuses."""

from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from streamlit_app import access
from streamlit_app.access import POLICY, Gate, Rule
from tests.proposal_fixtures import NOTES, Desk
from tests.streamlit_app import attacks
from tests.streamlit_app.attacks import HOLDERS, MONTH_AGO
from tests.streamlit_app.conftest import ORIGIN, People, TestClient, with_people
from tests.streamlit_app.routes import ROLES, Answer, call, routes_of


def test_the_table_has_every_route_of_the_app_and_no_other(app: Any):
    assert {(rule.method, rule.path) for rule in POLICY} == routes_of(app)
    assert len(POLICY) == len({(rule.method, rule.path) for rule in POLICY})


def test_no_credential_opens_what_it_is_not_for(client: TestClient, people: People):
    tried = attacks.routes_by_credentials(client, people, all_of_nobodys=False)
    assert tried.wrong == []
    nobodys = sum(rule.who == "nobody" for rule in POLICY)
    assert tried.count == (len(POLICY) - nobodys) * (8 + len(ROLES)) + 2 * nobodys
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


def test_nobody_votes_under_another_name(client: TestClient, people: People, desk: Desk):
    tried = attacks.forged_names(client, people, desk, desk.propose())
    assert tried.wrong == [] and tried.count == 2 * len(attacks.FORGED)


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


def test_a_team_is_served_under_its_stated_address_only(app: Any, people: People, monkeypatch):
    monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", attacks.PUBLIC)
    proxy = TestClient(app, base_url=ORIGIN, client=("10.0.0.7", 50_000))
    assert attacks.wrong_headers(proxy, people).wrong == []
    monkeypatch.setenv("DOSVOTOS_SINGLE_USER", "1")  # whose address is this machine's
    assert proxy.get("/api/experiments", headers=people.headers("vic")).status_code == 403


def test_an_address_that_is_none_serves_nobody(client: TestClient, people: People, monkeypatch):
    for stated in (
        "votos.example.com", "ftp://votos.example.com", "https://votos.example.com/app", "https://",
        "http://votos.example.com", "https://user@votos.example.com",
    ):  # fmt: skip
        monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", stated)
        answer = client.get("/api/experiments", headers=people.headers("vic"))
        assert answer.status_code == 409 and "DOSVOTOS_PUBLIC_URL" in answer.json()["detail"], stated


def test_a_credential_finder_is_asked_in_turn(client: TestClient, people: People, monkeypatch):
    found = access.Caller("vic", "viewer", "passkey")
    monkeypatch.setattr(access, "AUTHENTICATORS", (*access.AUTHENTICATORS, lambda *_: found))
    assert client.get("/api/experiments").status_code == 200
    assert client.get("/api/experiments", headers={"Authorization": "Bearer x"}).status_code == 401


def test_no_address_makes_the_server_fail_or_leads_out_of_what_is_served(
    client: TestClient, people: People, desk: Desk
):
    desk.propose()
    assert attacks.hostile_addresses(client, people).wrong == []
    assert attacks.traversals(client, people).wrong == []


def test_no_text_is_taken_for_sql_or_for_a_program(client: TestClient, people: People, desk: Desk):
    proposal_id = desk.propose()
    assert attacks.injections(client, people, desk, proposal_id).wrong == []
    assert len(client.get("/api/experiments", headers=people.headers("ana")).json()) == 1


@pytest.mark.parametrize("examples", [2, pytest.param(300, marks=pytest.mark.campaign)])
def test_nothing_the_schema_allows_or_forbids_makes_the_server_fail(
    client: TestClient, people: People, desk: Desk, examples: int
):
    desk.propose()
    desk.signal(20, "demo_1")
    tried = attacks.fuzzed(client, people, examples)
    assert tried.wrong == [] and tried.count >= 8 * examples
