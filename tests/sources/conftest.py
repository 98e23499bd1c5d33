import pytest

from tests.sources.local_server import LocalServer


@pytest.fixture
def server() -> LocalServer:
    """A local server that answers nothing yet."""
    return LocalServer()
