"""A team's vote in a real browser with its virtual authenticator, from the invitation to the revocation."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dosvotos.promotion.enrolment import invite, read_enrolment
from dosvotos.promotion.house_acts import AddReviewer, RevokeReviewer
from tests.proposal_fixtures import Desk, open_desk
from tests.streamlit_app.serving import serving
from tests.team import WHY, Team, now

sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
]
AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip
expect = sync_api.expect


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    root = tmp_path / "desk"
    monkeypatch.setenv("DOSVOTOS_HOME", f"{root}-home")
    with open_desk(f"sqlite:///{root}/data/dosvotos.db", root) as desk:
        monkeypatch.chdir(root)
        team = Team(desk.engine)
        team.first("ada")
        yield team


class Person:
    """A browser of somebody's own, with an authenticator in it; nothing may leave this machine."""

    def __init__(self, browser: Any, address: str, locale: str = "en-US") -> None:
        self.address = address
        self.context = browser.new_context(locale=locale, viewport={"width": 390, "height": 844})
        self.context.on("request", lambda request: self._stays_here(request.url))
        self.left: list[str] = []
        self.page = self.open()

    def open(self) -> Any:
        page = self.context.new_page()
        self.cdp = self.context.new_cdp_session(page)
        self.cdp.send("WebAuthn.enable")
        self.id = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})[
            "authenticatorId"
        ]
        return page

    def _stays_here(self, url: str) -> None:
        if not re.match(rf"{re.escape(self.address)}/|data:|blob:", url):
            self.left.append(url)

    def enrol(self, link: str) -> str:
        self.page.goto(f"{self.address}/desk/enrol#{link.partition('#')[2]}")
        self.page.get_by_role("button", name="Make the passkey").click()
        expect(self.page.get_by_text("Your passkey is made")).to_be_visible()
        return self.page.locator("#fingerprint").inner_text()

    def sign_in(self, wanted: str = "/") -> None:
        self.page.goto(f"{self.address}{wanted}")
        self.page.wait_for_url("**/desk/sign-in?next=*")
        self.page.get_by_role("button", name="Sign in with your passkey").click()

    def show_text(self, proposal_id: int, action: str = "REJECT") -> str:
        self.page.goto(f"{self.address}/desk/sign?action={action}&about={proposal_id}")
        self.page.get_by_role("textbox").fill(WHY)
        self.page.get_by_role("button", name="Show what I sign").click()
        expect(self.page.locator("#hash")).to_have_text(re.compile("^[0-9a-f]{64}$"))
        return self.page.locator("#text").inner_text()

    def sign(self) -> str:
        self.page.get_by_role("button", name="Sign with your passkey").click()
        expect(self.page.locator("#status")).not_to_be_empty(timeout=30_000)
        return self.page.locator("#status").inner_text()


@pytest.fixture
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


def test_from_the_invitation_to_the_revocation(team: Team, browser: Any, tmp_path: Path):
    desk = Desk(team.engine, tmp_path / "desk")
    proposal_id = desk.propose(trained_by="bob")
    with serving(desk.root, str(desk.engine.url)) as port:
        ana, ben = (Person(browser, f"http://localhost:{port}") for _ in range(2))
        _enrol_and_confirm(team, ana, "ana")
        ben.enrol(invite(team.engine, "ben", "reviewer", "ada", now()))
        team.do(AddReviewer(WHY, read_enrolment(team.engine, "ben").added), "ada")
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
