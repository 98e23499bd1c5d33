"""A team's app: who gets in with a passkey, what each role sees, and when it ends."""

import html
import re
from datetime import timedelta

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import DBAPIError

from dosvotos.audit.enrolment import challenge_of, invite
from dosvotos.database.connection import reading, writing
from dosvotos.database.people_tables import sign_ins
from dosvotos.errors import CredentialError, SignatureError
from dosvotos.hashing import digest_bytes
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.house_acts import RevokeReviewer, SetPolicy
from streamlit_app import security, sessions, signed_in
from streamlit_app.identity import Caller
from streamlit_app.sessions import COOKIE, sign_in, sign_in_text
from tests.authenticator import Authenticator
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.streamlit_app.conftest import ORIGIN, TestClient
from tests.streamlit_app.pages import page_text
from tests.team import WHY, Team, now


@pytest.fixture
def team(desk: Desk, client: TestClient):
    """The desk's people; each reviewer has a passkey. No cookie is left of another test."""
    client.cookies.clear()
    team = Team(desk.engine)
    team.first("ada")
    for name, role in (("ana", "reviewer"), ("olga", "operator"), ("vera", "viewer")):
        team.keys[name] = Authenticator()  # type: ignore[assignment]
        team.add(name, role)  # type: ignore[arg-type]
    yield team
    client.cookies.clear()


def text_on(client: TestClient) -> str:
    page = client.get("/desk/sign-in")
    assert page.status_code == 200
    return re.search(r'<pre id="text">(.*?)</pre>', page.text, re.DOTALL)[1]  # type: ignore[index]


def enter(client: TestClient, team: Team, name: str) -> int:
    text = text_on(client)
    signature = team.key(name).sign(text.encode(), "")
    return client.post("/desk/sign-in", json={"text": text, "signature": signature}).status_code


def hold(client: TestClient, token: str) -> None:
    """Give the browser one session and no other."""
    client.cookies.clear()
    client.cookies.set(COOKIE, token)


def decide(client: TestClient, team: Team, name: str, wanted: dict, posted: dict | None = None):
    """Take the text, sign it, and post it; `posted` is wanted instead of what was signed."""
    text = client.post("/desk/text", json=wanted)
    if text.status_code != 200:
        return text
    signature = team.key(name).sign(text.json()["text"].encode(), "")
    sent = {"wanted": posted or wanted, "text": text.json()["text"], "signature": signature}
    return client.post("/desk/decide", json=sent)


def test_nobody_gets_in_without_a_passkey_and_revocation_counts_at_the_next_request(desk, client, team):
    desk.propose()
    assert client.get("/api/experiments").status_code == 401
    page = client.get("/review?id=1", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/desk/sign-in?next=%2Freview%3Fid%3D1")
    assert enter(client, team, "ana") == 204
    assert client.get("/api/experiments").status_code == 200
    other = client.cookies[COOKIE]
    team.do(RevokeReviewer(WHY, "ana"), "ada")
    assert client.get("/api/experiments").status_code == 401
    assert enter(client, team, "ana") == 401
    team.keys["ana"] = team.key("ana")
    team.add("ana", "reviewer")  # the same key again: the sessions of before stay ended
    hold(client, other)
    assert client.get("/api/experiments").status_code == 401
    assert enter(client, team, "ana") == 204


def test_the_cookie_is_the_server_s_alone_and_signing_out_ends_every_copy(desk, client, team, monkeypatch):
    text = text_on(client)
    answer = client.post(
        "/desk/sign-in", json={"text": text, "signature": team.key("ana").sign(text.encode(), "")}
    )
    told = answer.headers["set-cookie"].lower()
    assert "httponly" in told and "samesite=strict" in told and "secure" not in told and "path=/" in told
    token = client.cookies[COOKIE]
    with pytest.raises(DBAPIError, match="append-only"), writing(desk.engine) as connection:
        connection.execute(update(sign_ins).values(expires_at=now() + timedelta(days=99)))
    with desk.engine.connect() as connection:
        assert token not in str(connection.exec_driver_sql("SELECT * FROM sign_ins").all())
    assert client.post("/desk/sign-out", json={}).status_code == 204
    hold(client, token)
    assert client.get("/api/experiments").status_code == 401
    client.cookies.clear()
    assert enter(client, team, "ana") == 204
    left = client.cookies[COOKIE]
    assert enter(client, team, "ana") == 204  # whoever signs in anew leaves no session behind
    hold(client, left)
    assert client.get("/api/experiments").status_code == 401
    monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", "https://desk.test")
    from starlette.responses import Response

    response = Response()
    sessions.set_cookie(response, "x" * 43)
    assert (
        response.headers["set-cookie"].startswith(f"__Host-{COOKIE}=")
        and "Secure" in response.headers["set-cookie"]
    )


def test_a_sign_in_counts_once_now_and_on_this_desk(desk, client, team):
    ana = team.key("ana")
    good = sign_in_text(now())
    cases = [
        good.replace("sign-in v1", "sign-in v2"),
        good.replace("localhost", "evil.test"),
        good + "more: x\n",
        sign_in_text(now() - timedelta(minutes=6)),
        sign_in_text(now() + timedelta(minutes=6)),
        "",
    ]
    for text in cases:
        with pytest.raises(CredentialError):
            sign_in(desk.engine, text, ana.sign(text.encode(), ""), now())
    stranger = Authenticator()
    with pytest.raises(CredentialError, match="nobody's on this log"):
        sign_in(desk.engine, good, stranger.sign(good.encode()), now())
    once = ana.sign(good.encode(), "")
    token = sign_in(desk.engine, good, once, now()).token
    with pytest.raises(SignatureError, match="counter did not rise"):
        sign_in(desk.engine, good, once, now())
    with pytest.raises(CredentialError, match="used to sign in before"):
        sign_in(desk.engine, good, ana.sign(good.encode(), ""), now())
    late = sessions.Headers({"cookie": f"{COOKIE}={token}"})
    assert sessions.caller_of_session(desk.engine, late, now()) == Caller("ana", "reviewer", "passkey")
    assert sessions.caller_of_session(desk.engine, late, now() + timedelta(hours=12)) is None
    for cookie in (
        "",
        COOKIE,
        f"{COOKIE}=",
        f"{COOKIE}={token}x",
        f"x{COOKIE}={token}",
        f"{COOKIE}={'a' * 43}",
        ";;=\x00",
    ):
        headers = sessions.Headers({"cookie": cookie})
        assert sessions.caller_of_session(desk.engine, headers, now()) is None


def test_a_vote_in_the_browser_is_the_text_that_was_shown(desk, client, team):
    proposal_id = desk.propose(trained_by="bob")
    assert enter(client, team, "ana") == 204
    wanted = {"action": "APPROVE", "about": str(proposal_id), "reason": WHY}
    page = client.get(f"/desk/sign?action=APPROVE&about={proposal_id}&lang=es")
    assert "Aprobar un modelo" in page.text and "0 de 1" in page.text
    assert desk.proposal(proposal_id).model_id in page.text
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy
    text = client.post("/desk/text", json=wanted).json()["text"]
    changed = text.replace("stage: production", "stage: shadow")
    signed = team.key("ana").sign(changed.encode(), "")
    for sent in (
        {"text": changed, "signature": signed},
        {"text": text, "signature": signed},
        {"text": text, "signature": team.key("olga").sign(text.encode(), "")},
        {"text": text, "signature": "{}"},
    ):
        assert client.post("/desk/decide", json={"wanted": wanted, **sent}).status_code in (403, 409)
    for other in ({"reason": WHY + "!"}, {"stage": "shadow"}, {"action": "REJECT"}):
        assert decide(client, team, "ana", wanted, {**wanted, **other}).status_code == 409
    assert decide(client, team, "ana", {**wanted, "reason": "short"}).status_code == 422
    assert desk.votes()[-1].action == "ADD_REVIEWER"
    done = decide(client, team, "ana", wanted)
    assert done.status_code == 200, done.text
    assert (desk.votes()[-1].action, desk.votes()[-1].reviewer) == ("APPROVE", "ana")
    assert decide(client, team, "ana", wanted).status_code == 409


def test_the_page_counts_the_approvals_that_the_next_one_joins(desk, client, team):
    """One from before a revocation is none of them."""
    team.keys["ben"] = Authenticator()  # type: ignore[assignment]
    team.add("ben", "reviewer")
    with reading(desk.engine) as connection:
        policy = current_policy(connection)
    team.do(SetPolicy(WHY, policy.model_copy(update={"quorum": 2})), "ada")
    proposal_id = desk.propose(trained_by="bob")
    assert enter(client, team, "ben") == 204
    address = f"/desk/sign?action=APPROVE&about={proposal_id}"
    assert "0 of 2 so far (-)" in client.get(address).text
    assert team.vote(proposal_id, "ana").missing == 1
    assert "1 of 2 so far (ana)" in client.get(address).text
    team.do(RevokeReviewer(WHY, "vera"), "ada")
    assert "0 of 2 so far (-)" in client.get(address).text
    assert team.vote(proposal_id, "ben").missing == 1


def test_an_admin_signs_in_the_browser_for_the_passkey_that_was_made_there_once(desk, client, team):
    code = invite(desk.engine, "carla", "viewer", "ada", now()).partition("#")[2]
    carla = Authenticator()
    made = {"code": code, "origin": ORIGIN, "response": carla.register(challenge_of(code))}
    options = client.post("/desk/enrol/options", json={"code": code}).json()
    assert (options["name"], options["role"], options["rp_id"]) == ("carla", "viewer", "localhost")
    assert client.post("/desk/enrol", json=made).status_code == 201
    assert client.post("/desk/enrol", json=made).status_code == 409
    assert client.post("/desk/enrol/options", json={"code": "x" * 43}).status_code == 422
    team.keys |= {"carla": carla, "adb": Authenticator()}
    team.add("adb", "admin")
    assert (enter(client, team, "carla"), enter(client, team, "adb")) == (401, 204)
    page = client.get("/desk/sign", params={"action": "ADD_REVIEWER", "about": "carla"})
    assert f"carla joins as viewer, with a passkey {carla.public_key.fingerprint}" in html.unescape(page.text)
    wanted = {"action": "ADD_REVIEWER", "about": "carla", "reason": WHY}
    assert decide(client, team, "adb", wanted).status_code == 200
    assert enter(client, team, "carla") == 204


def test_every_role_signs_what_is_its_own(desk, client, team):
    team.keys["adb"] = Authenticator()
    team.add("adb", "admin")
    acts = {"REJECT": str(desk.propose(trained_by="bob")), "HALT": INSTRUMENT, "REVOKE_REVIEWER": "vera"}
    may = {"vera": {}, "olga": {"HALT"}, "ana": {"HALT", "REJECT"}, "adb": {"HALT", "REVOKE_REVIEWER"}}
    for name, own in may.items():
        assert enter(client, team, name) == 204
        for action, about in acts.items():
            expected = 200 if action in own else 403
            page = client.get("/desk/sign", params={"action": action, "about": about})
            decided = decide(client, team, name, {"action": action, "about": about, "reason": WHY})
            assert page.status_code == expected, (name, action)
            assert decided.status_code in ((200, 409) if action in own else (403,)), (name, action)
    assert [row.action for row in desk.votes()[-3:]] == ["HALT", "REJECT", "REVOKE_REVIEWER"]


@pytest.mark.parametrize(
    ("name", "role"),
    [("vera", "viewer"), ("olga", "operator"), ("ana", "reviewer"), ("ada", "admin"), (None, None)],
)
def test_pages_offer_each_role_its_own(desk, team, open_page, monkeypatch, name, role):
    found = Caller(name, role, "passkey") if name else None
    monkeypatch.setattr(signed_in, "find_caller", lambda *_: found)
    proposal_id = desk.propose(trained_by="bob")
    at = open_page("review", proposal_id=proposal_id)
    if found is None:
        assert "You are not signed in" in page_text(at) and "bob" not in page_text(at)
        return
    assert f"Signed in as {name} ({role})." in page_text(at)
    links = [str(one.proto.url) for one in at.get("link_button")]
    votes = [link for link in links if "action=APPROVE" in link or "action=REJECT" in link]
    assert len(votes) == (2 if role == "reviewer" else 0)
    assert bool([b for b in at.button if b.label == "REQUEST MORE TESTS"]) == (role == "reviewer")


def test_a_log_whose_home_is_gone_shows_nothing_but_that(desk, team, open_page, monkeypatch, tmp_path):
    desk.propose(trained_by="bob")
    monkeypatch.setenv("DOSVOTOS_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(signed_in.st.context.__class__, "cookies", {COOKIE: "a" * 43})
    with writing(desk.engine) as connection:
        row = {
            "token_hash": digest_bytes(b"a" * 43),
            "text_hash": "0" * 64,
            "name": "ana",
            "fingerprint": "x",
        }
        times = {"created_at": now(), "expires_at": now() + timedelta(hours=1)}
        connection.execute(insert(sign_ins).values(**row, **times))
    text = page_text(open_page("audit"))
    assert "is missing here" in text and "bob" not in text and "ADD_REVIEWER" not in text


def test_the_trainer_is_offered_no_approval_whatever_the_case(desk, team, open_page, monkeypatch):
    monkeypatch.setattr(signed_in, "find_caller", lambda *_: Caller("ana", "reviewer", "passkey"))
    at = open_page("review", proposal_id=desk.propose(trained_by=" ANA "))
    assert "You trained this model" in page_text(at)
    assert not [one for one in at.get("link_button") if "action=APPROVE" in str(one.proto.url)]


def test_an_admin_invites_and_sees_who_waits(desk, team, open_page, monkeypatch):
    monkeypatch.setattr(signed_in, "find_caller", lambda *_: Caller("ada", "admin", "passkey"))
    at = open_page("people")
    at.text_input(key="invite-name").input("carla")
    at.selectbox(key="invite-role").select("viewer")
    (button,) = [one for one in at.button if one.label == "Make the link"]
    button.click().run()
    assert not at.exception
    assert at.code[0].value.startswith("http://localhost:8501/desk/enrol#")
    assert "carla as viewer" in page_text(at)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::"])
def test_another_bind_needs_people_and_a_stated_address_with_tls(monkeypatch, host):
    monkeypatch.delenv(security.SINGLE_USER_VARIABLE, raising=False)
    monkeypatch.delenv("DOSVOTOS_PUBLIC_URL", raising=False)
    with pytest.raises(security.UnsafeStartError, match="has no people"):
        security.refuse_unsafe_host(host, has_people=False)
    for stated in ("", "http://localhost:8501"):
        monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", stated)
        with pytest.raises(security.UnsafeStartError, match="TLS"):
            security.refuse_unsafe_host(host, has_people=True)
    monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", "https://desk.test")
    security.refuse_unsafe_host(host, has_people=True)


def test_other_machines_come_through_the_proxy_only(app, desk, team, monkeypatch):
    monkeypatch.delenv(security.SINGLE_USER_VARIABLE)
    monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", "https://desk.test")
    proxied = {"Host": "desk.test", "X-Forwarded-Proto": "https"}
    far = TestClient(app, base_url="http://desk.test", client=("10.0.0.7", 50_000), follow_redirects=False)
    assert far.get("/desk/sign-in", headers=proxied).status_code == 200
    assert far.get("/desk/sign-in", headers={"Host": "desk.test"}).status_code == 403
    assert (
        far.get("/desk/sign-in", headers={"Host": "evil.test", "X-Forwarded-Proto": "https"}).status_code
        == 400
    )
    evil = {**proxied, "Origin": "https://evil.test"}
    assert far.post("/desk/sign-out", json={}, headers=evil).status_code == 403


def test_single_user_mode_stands_behind_no_proxy(client, desk):
    assert client.get("/api/experiments").status_code == 200
    for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host"):
        assert client.get("/api/experiments", headers={name: "10.0.0.7"}).status_code == 403
