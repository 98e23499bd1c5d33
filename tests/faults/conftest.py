"""Each desk of these tests has a home in its own folder."""

import pytest

from dosvotos.signing.home import HOME_VARIABLE
from tests.faults.databases import HOMES


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the home from the folder a desk works in."""
    monkeypatch.setenv(HOME_VARIABLE, HOMES)
