"""Seeds of the universe: whatever order things happen in, the invariants hold."""

import logging

import pytest

from dosvotos.live import signals
from dosvotos.live.controls import ACTIVE
from tests.live.universe import InvariantError, run_seed


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_the_invariants_hold(first):
    for seed in range(first, first + 50):
        run_seed(seed)


def test_an_outage_may_last_longer_than_the_feed_has_bars():
    run_seed(9246)  # 163 rows, of which the database takes 160 at once, two sessions later


@pytest.mark.campaign
@pytest.mark.parametrize("first", range(0, 10_000, 500))
def test_the_invariants_hold_over_many_seeds(first):
    for seed in range(first, first + 500):
        run_seed(seed)


def test_a_seed_is_one_run_to_the_last_bit():
    for seed in (3, 4):
        assert run_seed(seed) == run_seed(seed)
    assert run_seed(3) != run_seed(4)


def unlocked_halt(monkeypatch):
    """The halt is not read again under the lock."""
    monkeypatch.setattr(signals.SignalTable, "_control", lambda *_: ACTIVE)


def unchecked_swap(monkeypatch):
    """The head row is not compared under the lock."""
    monkeypatch.setattr(signals.SignalTable, "_refuse_replaced", lambda *_: None)


def no_deadline(monkeypatch):
    """The deadline is not checked under the lock."""
    allowed = signals.as_allowed
    monkeypatch.setattr(
        signals, "as_allowed", lambda entry, control, now: allowed(entry, control, entry.record.timestamp)
    )


@pytest.mark.parametrize(("fault", "first"), [(unlocked_halt, 0), (unchecked_swap, 20), (no_deadline, 38)])
def test_a_loop_with_a_check_taken_out_is_found(fault, first, monkeypatch):
    fault(monkeypatch)
    with pytest.raises(InvariantError, match="seed "):
        for seed in range(first, first + 40):
            run_seed(seed)
