"""Somebody with a browser and a passkey of their own."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.team import WHY

sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
]
expect = sync_api.expect
expect.set_options(timeout=30_000)  # of a machine that does other things too
AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


def calm_context(browser: Any, **settings: Any) -> Any:
    """Open a context without motion: on a busy machine half of a page's opening goes into its skeleton's."""
    return browser.new_context(reduced_motion="reduce", **settings)


class Person:
    """A browser of somebody's own, with an authenticator in it; nothing may leave this machine."""

    def __init__(self, browser: Any, address: str, locale: str = "en-US") -> None:
        self.address = address
        self.context = calm_context(browser, locale=locale, viewport={"width": 390, "height": 844})
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

    def ask_for_text(self, proposal_id: int, action: str) -> None:
        self.page.goto(f"{self.address}/desk/sign?action={action}&about={proposal_id}")
        self.page.get_by_role("textbox").fill(WHY)
        self.page.get_by_role("button", name="Show what I sign").click()

    def show_text(self, proposal_id: int, action: str = "REJECT") -> str:
        self.ask_for_text(proposal_id, action)
        expect(self.page.locator("#hash")).to_have_text(re.compile("^[0-9a-f]{64}$"))
        return self.page.locator("#text").inner_text()

    def sign(self) -> str:
        self.page.get_by_role("button", name="Sign with your passkey").click()
        expect(self.page.locator("#status")).not_to_be_empty(timeout=180_000)
        return self.page.locator("#status").inner_text()
