"""A team's vote in a real browser with its virtual authenticator, from the invitation to the revocation."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dosvotos.audit.enrolment import invite, read_enrolment
from dosvotos.promotion.house_acts import AddReviewer, RevokeReviewer
from tests.browser.person import BROWSER, Person, expect
from tests.promotion.test_signed_votes import set_quorum
from tests.proposal_fixtures import Desk, open_desk
from tests.streamlit_app.serving import serving
from tests.team import WHY, Team, now

pytestmark = BROWSER


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    root = tmp_path / "desk"
    monkeypatch.setenv("DOSVOTOS_HOME", f"{root}-home")
    with open_desk(f"sqlite:///{root}/data/dosvotos.db", root) as desk:
        monkeypatch.chdir(root)
        team = Team(desk.engine)
        team.first("ada")
        yield team


def test_from_the_invitation_to_the_revocation(team: Team, browser: Any, tmp_path: Path):
    desk = Desk(team.engine, tmp_path / "desk")
    proposal_id = desk.propose(trained_by="bob")
    with serving(desk.root, str(desk.engine.url)) as port:
        ana, ben = (Person(browser, f"http://localhost:{port}") for _ in range(2))
        _enrol_and_confirm(team, ana, "ana")
        ben.enrol(invite(team.engine, "ben", "reviewer", "ada", now()))
        team.do(AddReviewer(WHY, read_enrolment(team.engine, "ben").added), "ada")
        _two_approve(desk, team, ana, ben)
        _vote_refused(ana, ben, proposal_id)
        _vote(desk, ana, proposal_id)
        _revoke(team, ana)
    assert ana.left == ben.left == []


def _enrol_and_confirm(team: Team, person: Person, name: str) -> None:
    """Enrol; the passkey counts for nothing until an admin has signed for it."""
    fingerprint = person.enrol(invite(team.engine, name, "reviewer", "ada", now()))
    waiting = read_enrolment(team.engine, name)
    assert waiting.key.fingerprint == fingerprint
    person.sign_in()
    expect(person.page.get_by_text("this passkey is nobody's on this log")).to_be_visible()
    team.do(AddReviewer(WHY, waiting.added), "ada")
    person.sign_in("/audit")
    expect(person.page.get_by_text(f"Signed in as {name} (reviewer).")).to_be_visible(timeout=30_000)
    assert "/audit" in person.page.url


def _two_approve(desk: Desk, team: Team, ana: Person, ben: Person) -> None:
    """With a quorum of two, production takes two people, each with their own authenticator."""
    set_quorum(desk, team, 2)
    proposal_id = desk.propose_recomputable("shared", 2, trained_by="bob")
    ben.sign_in(f"/review?id={proposal_id}")
    expect(ben.page.get_by_role("link", name="APPROVE", exact=True)).to_be_visible(timeout=60_000)
    ana.show_text(proposal_id, "APPROVE")
    assert "Production still needs 1 more approval" in ana.sign()
    assert list(desk.stages().values()).count("production") == 0
    ana.ask_for_text(proposal_id, "APPROVE")
    expect(ana.page.get_by_text("ana has approved it already; another person has to")).to_be_visible()
    theirs = ben.show_text(proposal_id, "APPROVE")
    expect(ben.page.get_by_text("1 of 2 so far (ana); yours is the next")).to_be_visible()
    done = ben.sign()
    assert done.startswith("Done: Approved.") and "still needs" not in done
    first, second = [row for row in desk.votes() if row.proposal_id == proposal_id]
    assert (first.reviewer, second.reviewer) == ("ana", "ben") and second.text.strip() == theirs.strip()
    signed_by = {json.loads(row.signature)["credential"] for row in (first, second)}
    assert len(signed_by) == 2
    assert list(desk.stages().values()).count("production") == 1


def _vote_refused(ana: Person, ben: Person, proposal_id: int) -> None:
    """A text about another reason is not signed; another's passkey and a text changed later are no vote."""
    page = ana.page
    page.route("**/desk/text", lambda route: route.fulfill(json={"text": _other_reason(route)}))
    page.goto(f"{ana.address}/desk/sign?action=REJECT&about={proposal_id}")
    page.get_by_role("textbox").fill(WHY)
    page.get_by_role("button", name="Show what I sign").click()
    expect(page.get_by_text("not about what you entered")).to_be_visible()
    page.unroute("**/desk/text")
    ben.context.add_cookies(ana.context.cookies())
    ben.show_text(proposal_id)
    assert "which is not the key of ana" in ben.sign()
    page.route("**/desk/decide", _to_an_approval)
    ana.show_text(proposal_id)
    assert "the signed text says action: APPROVE" in ana.sign()
    page.unroute("**/desk/decide")


def _other_reason(route: Any) -> str:
    text = route.fetch().json()["text"]
    return re.sub("reason: .*", f"reason: {'0' * 64}", text)


def _to_an_approval(route: Any) -> None:
    sent = route.request.post_data_json
    sent["text"] = sent["text"].replace("action: REJECT", "action: APPROVE")
    route.continue_(post_data=json.dumps(sent))


def _vote(desk: Desk, ana: Person, proposal_id: int) -> None:
    """From the review page by keyboard, at 390 pixels; the same request again is refused."""
    page, requests = ana.page, []
    page.goto(f"{ana.address}/review?id={proposal_id}")
    link = page.get_by_role("link", name="REJECT", exact=True)
    expect(link).to_be_visible(timeout=30_000)
    assert f"/desk/sign?action=REJECT&about={proposal_id}" in str(link.get_attribute("href"))
    page.on("request", lambda request: requests.append(request) if "/decide" in request.url else None)
    text = ana.show_text(proposal_id)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("Done: Rejected.", timeout=30_000)
    row = desk.votes()[-1]
    assert (row.action, row.reviewer, row.text.strip()) == ("REJECT", "ana", text.strip())
    again = (
        "body => fetch('/desk/decide', {method: 'POST', body, headers: {'Content-Type': 'application/json'}})"
    )
    assert page.evaluate(f"body => ({again})(body).then(r => r.status)", requests[0].post_data) == 409


def _revoke(team: Team, ana: Person) -> None:
    """In a tab that is open: the next click finds nobody signed in."""
    page = ana.page
    page.goto(f"{ana.address}/audit?lang=es")
    expect(page.get_by_text("Entró como ana (revisor).")).to_be_visible(timeout=30_000)
    team.do(RevokeReviewer(WHY, "ana"), "ada")
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_test_id("stSidebarNavLink").first.click()
    expect(page.get_by_text("No ha entrado, o su sesión terminó.")).to_be_visible(timeout=30_000)
    ana.sign_in()
    expect(page.get_by_text("this passkey is nobody's on this log")).to_be_visible()
