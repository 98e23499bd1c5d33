"""What tests of the loop share."""

import pytest

from dosvotos.policy.forward import ServedPolicy
from tests.live.limited_desk import set_limits
from tests.live.live_desk import LiveDesk, short_market
from tests.live.production_models import approve


@pytest.fixture(scope="session")
def thirty_sessions(variables):
    return short_market(variables)


@pytest.fixture
def make_desk(engine, tmp_path, thirty_sessions):
    """Makes a desk with an approved model on the test's database."""

    def make(**settings) -> LiveDesk:
        approve(engine, tmp_path / "bundles")
        return LiveDesk(engine, tmp_path, thirty_sessions, **settings)

    return make


@pytest.fixture
def make_limited(engine, tmp_path, thirty_sessions):
    """Makes a desk whose model is given and whose house has other limits."""

    def make(policy: ServedPolicy, **limits) -> LiveDesk:
        approve(engine, tmp_path / "bundles", policy)
        if limits:
            set_limits(engine, **limits)
        return LiveDesk(engine, tmp_path, thirty_sessions, live=1)

    return make
