"""The second vote in a real browser, from the list to the audit row."""

import os
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.browser.person import BROWSER, calm_context, sync_api
from tests.proposal_fixtures import Desk, open_desk
from tests.streamlit_app.serving import serving

Axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe
HOSTILE = (
    "<img src=http://evil.test/a.png onerror=alert(1)> ![x](http://evil.test/b.png) <script>alert(2)</script>"
)

pytestmark = BROWSER


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    root = tmp_path_factory.mktemp("browser")
    with open_desk(f"sqlite:///{root}/data/dosvotos.db", root, n_sessions=30) as desk:
        yield desk


@pytest.fixture(scope="module")
def address(desk: Desk) -> Iterator[str]:
    with serving(desk.root, str(desk.engine.url)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: a folder of one's choice that is kept, as CI's artifact and the guide's are."""
    folder = Path(os.environ.get("DOSVOTOS_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Any]:
    """Open pages; afterwards nothing may have left this machine, and nothing popped up."""
    requests, dialogs, contexts = [], [], []

    def open_(path: str, locale: str = "en-US") -> Any:
        context = calm_context(browser, locale=locale, viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("websocket", lambda socket: requests.append(socket.url))
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(address + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    here = address.removeprefix("http")
    assert [url for url in requests if not re.match(rf"(http|ws){re.escape(here)}/|data:|blob:", url)] == []
    assert any(url.startswith("ws") for url in requests)
    assert dialogs == []


def test_a_person_approves_and_the_model_is_in_production(open_page: Any, desk: Desk):
    proposal_id = desk.propose_recomputable("demo", 1, trained_by="bob")
    desk.signal(60, "demo")
    page = open_page("/")
    expect = sync_api.expect
    expect(page.get_by_role("link", name="Proposals (1)")).to_be_visible(timeout=30_000)
    page.get_by_role("link", name="APPROVE").click()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=30_000)
    expect(page.locator(".js-plotly-plot")).to_have_count(4)
    assert page.url.endswith(f"/review?id={proposal_id}&action=approve")
    for seen in ("APPROVE", "REJECT", "REQUEST MORE TESTS"):
        expect(page.get_by_role("button", name=seen, exact=True)).to_be_in_viewport()
    expect(page.get_by_text("planted and generous; real markets are not like this")).to_be_visible()
    reason = page.get_by_role("textbox", name="Your reason: at least 20 characters")
    reason.fill("too short")
    page.get_by_role("button", name="Approve ...").click()
    expect(page.get_by_text("this one has 9")).to_be_visible()
    reason.fill(HOSTILE)
    page.get_by_role("button", name="Approve ...").click()
    expect(page.get_by_text("Approve this model to production?")).to_be_visible()
    assert desk.votes() == []
    page.get_by_role("button", name="Yes, approve").click()
    expect(page.get_by_text("Approved. The model is in production.")).to_be_visible(timeout=30_000)
    expect(page.locator(".stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=30_000)
    expect(page.get_by_text(HOSTILE)).to_have_count(1)
    expect(page.get_by_text(HOSTILE)).to_be_visible()
    expect(page.get_by_role("link", name="Proposals", exact=True)).to_be_visible()
    assert page.locator("img[src*='evil']").count() == 0
    assert list(desk.stages().values()) == ["production"]
    (vote,) = desk.votes()
    assert (vote.action, vote.reviewer, vote.notes) == ("APPROVE", "alice", HOSTILE)


def test_of_two_tabs_that_race_one_votes_and_the_other_is_told_the_state(open_page: Any, desk: Desk):
    proposal_id, expect = desk.propose("raced", 12), sync_api.expect
    before, reason = len(desk.votes()), (HOSTILE + ' \'twas "close" & <b>bold</b> ').ljust(4_000, "x")
    tabs = [open_page(f"/review?id={proposal_id}&action=reject") for _ in range(2)]
    for tab in tabs:
        tab.get_by_role("textbox", name="Your reason: at least 20 characters").fill(reason, timeout=30_000)
    for tab in tabs:
        tab.get_by_role("button", name="Reject this model").click(no_wait_after=True)
    done, refused = "Rejected. The model stays where it was.", "Your vote cannot count as things stand now"
    for tab in tabs:
        expect(tab.get_by_text(re.compile(f"{done}|{refused}"))).to_be_visible(timeout=30_000)
    assert sorted(tab.get_by_text(done).count() for tab in tabs) == [0, 1]
    loser = next(tab for tab in tabs if not tab.get_by_text(done).count())
    expect(loser.get_by_text(re.compile(r"now: Rejected|is REJECTED"))).to_be_visible()
    expect(loser.get_by_text(reason)).to_be_visible()
    (vote,) = desk.votes()[before:]
    assert (vote.action, vote.notes) == ("REJECT", reason)
    assert loser.locator("img[src*='evil']").count() == 0


@pytest.mark.parametrize(
    ("locale", "banner"),
    [
        pytest.param("en-US", "Single-user mode: you are alice.", marks=pytest.mark.campaign),
        (
            "es-CO",
            "Modo de un solo usuario: usted es alice.",
        ),  # the longer words; axe walks the English pages
    ],
)
def test_every_page_works_in_both_languages(
    open_page: Any, desk: Desk, pictures: Path, locale: str, banner: str
):
    desk.propose(f"seen_in_{locale[:2]}", 30 if locale == "en-US" else 31)
    page = open_page("/", locale)
    sync_api.expect(page.get_by_text(banner)).to_be_visible(timeout=30_000)
    sync_api.expect(page.locator(".stApp")).to_have_attribute("data-test-script-state", "notRunning")
    header, shown = (
        one.bounding_box() for one in (page.get_by_test_id("stHeader"), page.get_by_text(banner))
    )
    assert shown["y"] >= header["y"] + header["height"], "the header covers the banner"
    links = page.get_by_test_id("stSidebarNavLink")
    sync_api.expect(links).to_have_count(8)
    pages = ["/", "/review", "/compare", "/production", "/data", "/models", "/signals", "/audit"]
    for index, path in enumerate(pages):
        links.nth(index).click()
        page.wait_for_url(f"**{path}", wait_until="commit")
        sync_api.expect(page.locator("[class*=st-key-plain-title], h1")).to_have_count(1)
        sync_api.expect(page.locator(".stApp")).to_have_attribute(
            "data-test-script-state", "notRunning", timeout=30_000
        )
        sync_api.expect(page.get_by_text(banner)).to_be_visible()
        assert page.get_by_test_id("stException").count() == 0
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, page.url
        page.screenshot(path=pictures / f"{locale[:2]}_{path.strip('/') or 'proposals'}.jpg", quality=60)
        assert page.evaluate("document.documentElement.lang") == locale[:2]


def test_the_verdict_stays_in_view_however_far_one_reads(open_page: Any, desk: Desk):
    proposal_id = desk.propose("read_to_the_end", 3)
    page, expect, received = open_page("/"), sync_api.expect, []
    start = page.url
    page.goto("about:blank")  # what the first page still loads is not the review's
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    network.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    network.on(
        "Network.webSocketFrameReceived", lambda event: received.append(len(event["response"]["payloadData"]))
    )
    page.goto(start + f"experiments/{proposal_id}/review")
    expect(page.get_by_text("Result on the test window")).to_be_visible(timeout=30_000)
    expect(page.locator(".js-plotly-plot")).to_have_count(4, timeout=30_000)
    assert sum(received) <= 3_000_000
    assert page.url.endswith(f"/review?id={proposal_id}")
    page.get_by_text("Result on the test window").scroll_into_view_if_needed()
    page.mouse.move(640, 700)
    page.mouse.wheel(0, 5_000)
    expect(page.get_by_role("button", name="REJECT", exact=True)).to_be_in_viewport()
    expect(page.get_by_text("Against it: loses at a spread of 75 bps")).to_be_in_viewport()
    page.reload()
    expect(page.get_by_role("button", name="APPROVE", exact=True)).to_be_visible(timeout=30_000)
    focused = []
    while "APPROVE" not in focused:
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.innerText.trim()"))
        assert len(focused) <= 12, focused


SECTIONS = ("risk", "evidence", "lineage")
ADDRESSES = [
    *("/", "/compare", "/production", "/data", "/models", "/signals", "/audit"),
    *(f"/review?id={{id}}&section={section}" for section in SECTIONS),
    *(f"/review?id={{id}}&action={action}" for action in ("approve", "more_tests")),
]


BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 24, 31)"}


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.campaign)])
def test_no_page_has_a_serious_fault_of_access(
    browser: Any, address: str, desk: Desk, pictures: Path, theme: str
):
    """In the address's theme, which counts before the system's and goes on to the next page."""
    last = [desk.propose(f"read_{theme}_{n}", 20 + n) for n in range(2)][-1]
    systems = "light" if theme == "dark" else "dark"
    context = calm_context(browser, viewport={"width": 1280, "height": 800}, color_scheme=systems)
    page, found = context.new_page(), []
    for path in ADDRESSES:
        page.goto(f"{address}{path.format(id=last)}{'&' if '?' in path else '?'}theme={theme}")
        _settle(page)
        assert (
            page.locator(".stApp").evaluate("app => getComputedStyle(app).backgroundColor")
            == BACKGROUNDS[theme]
        )
        name = "_".join([theme, *re.findall(r"[a-z_]{3,}", path)])
        if "section" in path:
            page.evaluate("document.querySelector('.st-key-section').scrollIntoView()")
        page.screenshot(path=pictures / f"{name}.jpg", quality=60)
        violations = Axe().run(page).response["violations"]
        serious = [one for one in violations if one["impact"] in ("serious", "critical")]
        found += [(path, one["id"], node["html"][:200]) for one in serious for node in one["nodes"][:2]]
    page.get_by_test_id("stSidebarNavLink").last.click()
    page.wait_for_url(re.compile(f"/audit.*theme={theme}"))
    context.close()
    assert found == []


def _settle(page: Any) -> None:
    sync_api.expect(page.locator("h1")).to_have_count(1, timeout=30_000)
    sync_api.expect(page.locator(".stApp")).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=30_000
    )
    sync_api.expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=30_000)


@pytest.fixture
def other_server() -> Iterator[str]:
    """A server of someone else on this machine; Chromium itself forbids pages from further away to try."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def test_a_page_of_another_server_can_neither_read_nor_vote(
    browser: Any, address: str, desk: Desk, other_server: str
):
    proposal_id = desk.propose("other", 9)
    before = len(desk.votes())
    page = calm_context(browser).new_page()
    page.goto(other_server)
    attack = """async ([address, id]) => {
        const body = JSON.stringify({decision: 'APPROVE', notes: 'from another site, twenty characters'});
        const tries = [
            () => fetch(address + '/api/experiments').then(r => r.text()),
            () => fetch(`${address}/api/experiments/${id}/approve`, {method: 'POST', body, mode: 'no-cors'}),
            () => fetch(`${address}/api/experiments/${id}/approve`,
                        {method: 'POST', body, headers: {'Content-Type': 'application/json'}}),
            () => new Promise((resolve, reject) => {
                const stream = address.replace('http', 'ws') + '/_stcore/stream';
                const socket = new WebSocket(stream, ['streamlit']);
                socket.onopen = () => resolve('open'); socket.onerror = () => reject(new Error('closed'));
            }),
        ];
        const outcomes = await Promise.allSettled(tries.map(attempt => attempt()));
        return outcomes.map(o => o.status === 'fulfilled' ? (o.value.type || o.value) : 'refused');
    }"""
    assert page.evaluate(attack, [address, proposal_id]) == ["refused", "opaque", "refused", "refused"]
    assert len(desk.votes()) == before
    assert desk.proposal(proposal_id).status == "PENDING_APPROVAL"
