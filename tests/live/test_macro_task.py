from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.database.market_data import MacroTables
from dosvotos.errors import SourceError
from dosvotos.live.alerts import LoggedAlerts
from dosvotos.live.macro_task import MacroTask
from dosvotos.quality.releases import next_release
from dosvotos.sources.checks import add_published_at
from tests.conftest import parameters_of
from tests.proposal_fixtures import INSTRUMENT

DXY = MACRO_SOURCES["dxy"]
MINUTE = timedelta(minutes=1)
MORNING = datetime(2026, 3, 11, 11, 0, tzinfo=UTC)  # a Wednesday, 06:00 in Bogota


def observations(names, day: str, variables) -> pd.DataFrame:
    rows = pd.DataFrame(
        {"variable": list(names), "observation_date": [pd.Timestamp(day).date()] * len(names)}
    )
    return add_published_at(rows.assign(value=100.0, vintage="current", source="x"), variables)


class Provider:
    """Stores Tuesday's values of the variables it has when asked."""

    def __init__(self, tables: MacroTables, variables) -> None:
        self.tables, self.variables = tables, variables
        self.calls: list[tuple[datetime, tuple[str, ...]]] = []
        self.lacks: set[str] = set()
        self.down = False

    def fetch(self, names: tuple[str, ...], now: datetime) -> None:
        self.calls.append((now, names))
        if self.down:
            raise SourceError("provider: answered with status 503")
        has = [name for name in names if name not in self.lacks]
        if has:
            day = "2026-03-10" if now < MORNING + timedelta(hours=12) else "2026-03-11"
            self.tables.store(observations(has, day, self.variables), now)


@pytest.fixture
def provider(engine, variables) -> Provider:
    tables = MacroTables(engine, INSTRUMENT, "market")
    tables.store(observations(MACRO_SOURCES.values(), "2026-03-09", variables), MORNING - timedelta(days=1))
    return Provider(tables, variables)


@pytest.fixture
def task(provider, variables) -> MacroTask:
    return MacroTask(provider.tables, variables, provider.fetch, LoggedAlerts())


def test_nothing_is_asked_before_six_and_all_that_is_due_at_six(task, provider, variables):
    assert task.step(MORNING - timedelta(hours=3)) == MORNING
    assert provider.calls == []
    due = task.step(MORNING)
    (asked,) = provider.calls
    released = {name: next_release(date(2026, 3, 9), variables[name]) for name in task._variables}
    assert set(asked[1]) == {name for name, moment in released.items() if moment <= MORNING}
    assert len(asked[1]) >= 4 and due > MORNING
    assert task.due(MORNING) == ()


def test_what_does_not_come_is_asked_for_with_growing_pauses_until_it_is_there(task, provider):
    provider.lacks = {DXY}
    now, pauses = MORNING, []
    for _ in range(7):
        due = task.step(now)
        pauses.append((due - now) / MINUTE)
        now = due
    assert pauses == [5, 5, 10, 20, 30, 30, 30]
    assert [names for _, names in provider.calls[1:]] == [(DXY,)] * 6
    provider.lacks = set()
    assert task.step(now) - now > 30 * MINUTE
    assert task.due(now) == ()


def test_it_wakes_at_the_next_release(task, variables):
    due = task.step(MORNING)
    released = [
        next_release(day, variables[name])
        for name in task._variables
        for day in (date(2026, 3, 9), date(2026, 3, 10))
    ]
    assert due == min(moment for moment in released if moment > MORNING)


def test_a_provider_that_fails_ends_nothing(task, provider):
    provider.down = True
    assert task.step(MORNING) == MORNING + 5 * MINUTE
    provider.down = False
    task.step(MORNING + 5 * MINUTE)
    assert task.due(MORNING + 5 * MINUTE) == ()


def test_an_alert_comes_a_day_before_a_value_ages_out(task, provider, variables):
    provider.lacks = {DXY}
    published = observations([DXY], "2026-03-09", variables)["published_at"].iloc[0].to_pydatetime()
    expires = published + timedelta(days=variables[DXY].ffill_max_days)
    code = f"MACRO_AGES_OUT {DXY}"
    morning = (expires - timedelta(days=1)).replace(hour=11, minute=0)
    task.step(morning - timedelta(days=1))
    assert code not in task._alerts.open
    task.step(morning + timedelta(hours=12))
    assert (
        f"{DXY}: last of 2026-03-09, is missing from {expires:%Y-%m-%d %H:%M} UTC" in task._alerts.open[code]
    )


def test_only_variables_behind_features_are_required(task):
    assert set(task._variables) == set(MACRO_SOURCES.values())
    assert parameters_of().macro_variables.variables.keys() > set(task._variables)
