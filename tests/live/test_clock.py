"""The sample market's clock: fast while the loop waits, a real market's while it works."""

from datetime import UTC, datetime, timedelta

import pytest

from dosvotos.live.clock import MarketClock

START = datetime(2026, 3, 2, 13, 0, tzinfo=UTC)


class Machine:
    """Time that passes when it is slept or worked through; sleeps may take longer than asked."""

    def __init__(self, overshoot: float = 0.0) -> None:
        self.seconds, self.overshoot = 100.0, overshoot

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds + self.overshoot


@pytest.mark.parametrize("speed", [0.5, 1.0, 20.0, 600.0])
@pytest.mark.parametrize("overshoot", [0.0, 3.0])
def test_sleep_is_fast_and_ends_on_time_and_work_takes_its_time(speed, overshoot):
    machine = Machine(overshoot)
    clock = MarketClock(START, speed, machine, machine.monotonic)
    moment, began = START + timedelta(minutes=5), machine.seconds
    while clock.now() < moment:
        clock.sleep_until(moment)
    assert clock.now() - moment < timedelta(milliseconds=1)
    if overshoot == 0.0:
        assert machine.seconds - began == pytest.approx(300 / speed, rel=1e-6)
    machine.seconds += 7.0
    assert clock.now() - moment == pytest.approx(timedelta(seconds=7), abs=timedelta(milliseconds=1))


def test_closed_hours_are_left_out():
    machine = Machine()
    clock = MarketClock(START, 20.0, machine, machine.monotonic)
    clock.sleep_until(START + timedelta(hours=19))
    assert (clock.now(), machine.seconds) == (START + timedelta(hours=19), 100.0)
