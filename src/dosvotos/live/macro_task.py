"""Macro values as the loop's own task: fetched as they are due, without a bar ever waiting for them."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.database.market_data import MacroTables
from dosvotos.errors import DosVotosError
from dosvotos.live.alerts import Alerts
from dosvotos.market.calendar import BOGOTA, published_at
from dosvotos.quality.releases import next_release

logger = logging.getLogger(__name__)

FetchMacro = Callable[[tuple[str, ...], datetime], None]
"""Fetches variables by name and stores what passes the rules."""

_FIRST_AT: Final = time(6)
_PAUSES: Final = tuple(timedelta(minutes=m) for m in (5, 5, 10, 20, 30))
_AGES_OUT_WITHIN: Final = timedelta(days=1)
_ZONE: Final = ZoneInfo(BOGOTA)


class MacroTask:
    """Keeps the variables behind features up to date.

    From 06:00 Bogota until every due one is in, with growing pauses, and at each next release.

    Parameters
    ----------
    tables : MacroTables
    variables : mapping of MacroVariable by full name
    fetch : callable
    alerts : Alerts
    """

    def __init__(
        self, tables: MacroTables, variables: Mapping[str, MacroVariable], fetch: FetchMacro, alerts: Alerts
    ) -> None:
        self._tables, self._fetch, self._alerts = tables, fetch, alerts
        self._variables = {name: variables[name] for name in MACRO_SOURCES.values()}
        self._tries = 0

    def step(self, now: datetime) -> datetime:
        """Fetch what is due; give when to look again."""
        morning = datetime.combine(now.astimezone(_ZONE).date(), _FIRST_AT, _ZONE).astimezone(now.tzinfo)
        if now < morning:
            return morning
        try:
            if due := self.due(now):
                self._fetch(due, now)
                due = self.due(now)
            self._tries = self._tries + 1 if due else 0
            self._warn(now)
            return self._next(now, bool(due), morning)
        except DosVotosError as error:
            logger.warning("macro values could not be fetched: %s", error)
        except Exception:  # a defect of one provider's module must not end the task
            logger.exception("macro values could not be fetched")
        self._tries += 1
        return now + self._pause()

    def due(self, now: datetime) -> tuple[str, ...]:
        """Name the variables behind features whose next observation should be published by now."""
        releases = self._next_releases(now)
        return tuple(name for name, release in releases.items() if release is None or release <= now)

    def _next_releases(self, now: datetime) -> dict[str, datetime | None]:
        last = self._last_observations(now)
        return {
            name: next_release(last[name], variable).to_pydatetime() if name in last else None
            for name, variable in self._variables.items()
        }

    def _last_observations(self, now: datetime) -> dict:
        state = self._tables.state(now)
        return {name: state[name].last_observation for name in self._variables if name in state}

    def _next(self, now: datetime, is_due: bool, morning: datetime) -> datetime:
        if is_due:
            return now + self._pause()
        releases = [r for r in self._next_releases(now).values() if r is not None]
        tomorrow = morning + timedelta(days=1)
        return min([tomorrow, *(max(r, now + _PAUSES[0]) for r in releases)])

    def _pause(self) -> timedelta:
        return _PAUSES[min(self._tries, len(_PAUSES)) - 1]

    def _warn(self, now: datetime) -> None:
        """Raise an alert a day before a value that features need ages out."""
        for name, last in self._last_observations(now).items():
            variable = self._variables[name]
            published = published_at([last], variable.publication)[0]
            expires = published + pd.Timedelta(days=variable.ffill_max_days)
            code = f"MACRO_AGES_OUT {name}"
            if expires - _AGES_OUT_WITHIN <= now:
                self._alerts.raise_alert(
                    code, f"{name}: last of {last}, is missing from {expires:%Y-%m-%d %H:%M} UTC"
                )
            else:
                self._alerts.clear(code)
