"""What a reviewer waits for: bytes and seconds of a review page, and how far its actions are.

Chromium at 1280 x 800, without a cache, on a proposal of 145 sessions with its four charts. `first_paint_s`
is the browser's own first contentful paint, `charts_s` when the last chart stands, `tab_stops` what it takes
from the page's top to APPROVE by keyboard, `actions_px` how far that lies below the top of the window.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.browser.person import CHROMIUM
from tests.proposal_fixtures import open_desk
from tests.streamlit_app.serving import serving

VISITS, VISITS_QUICK = 7, 2
GOALS = {"bytes": "<= 3,000,000", "tab_stops": "<= 12"}
_CHARTS = 4
_PATIENCE = 180_000


def visit(browser: Any, address: str) -> dict[str, float]:
    """Open a page with an empty cache and measure it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page, received = context.new_page(), []
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    network.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    network.on(
        "Network.webSocketFrameReceived", lambda event: received.append(len(event["response"]["payloadData"]))
    )
    started = time.perf_counter()
    page.goto(address)
    drawn = f"document.querySelectorAll('.js-plotly-plot .main-svg').length >= {_CHARTS}"
    page.wait_for_function(drawn, timeout=_PATIENCE)
    charts = time.perf_counter() - started
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000")
    approve = page.get_by_role("button", name="APPROVE", exact=True)
    offset, stops = approve.bounding_box()["y"], 0
    while page.evaluate("document.activeElement.innerText.trim()") != "APPROVE" and stops < 100:
        page.keyboard.press("Tab")
        stops += 1
    context.close()
    return {
        "first_paint_s": paint, "charts_s": charts, "bytes": sum(received), "tab_stops": stops,
        "actions_px": offset,
    }  # fmt: skip


def main() -> None:
    """Measure, print a table, end with one JSON object of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer visits")
    visits = VISITS_QUICK if parser.parse_args().quick else VISITS
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder).resolve()
        os.chdir(root)
        with open_desk(f"sqlite:///{root}/data/dosvotos.db", root, n_sessions=145) as desk:
            proposal_id = desk.propose()
            browser = playwright.chromium.launch(
                executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
            with serving(root, str(desk.engine.url)) as port:
                found = [
                    visit(browser, f"http://localhost:{port}/review?id={proposal_id}") for _ in range(visits)
                ]
            browser.close()
    figures = {name: round(float(np.median([one[name] for one in found])), 2) for name in found[0]}
    console, table = Console(width=100), Table("figure", "median", "goal", box=None)
    for name, value in figures.items():
        table.add_row(name, f"{value:,}", GOALS.get(name, ""))
    console.print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
