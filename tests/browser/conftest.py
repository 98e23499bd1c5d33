"""A Chromium for each file of tests."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.person import CHROMIUM, sync_api


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()
