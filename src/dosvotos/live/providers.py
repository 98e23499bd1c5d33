"""Real vendors of bars and values, as the loop asks them: one try at a time, within the day's calls."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import cast

import pandas as pd

from dosvotos.contracts.acquisition import BarSource, LiveParams, WebProvider
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.provider_calls import ProviderCalls
from dosvotos.errors import SourceError
from dosvotos.live.clock import ServerTime
from dosvotos.live.intake import MacroStore, SourceAnswer
from dosvotos.sources.http import CountCall, ProviderClient
from dosvotos.sources.live import FetchOptions, Watermarks, fetch_live
from dosvotos.sources.providers import provider_module
from dosvotos.sources.raw_market import BAR_COLUMNS

_PATIENCE = 20.0
"""Seconds for an answer: a bar's deadline is minutes away, and the next poll comes anyway."""


class ProviderBars:
    """One web provider's bars.

    Parameters
    ----------
    source : BarSource
        As configured in ``data_acquisition.live.bars``.
    settings : LiveParams
    key : str, optional
    count_call : callable
    now : callable
    """

    def __init__(
        self,
        source: BarSource,
        settings: LiveParams,
        key: str | None,
        count_call: CountCall,
        now: Callable[[], datetime],
    ) -> None:
        quick = {"attempts": 1, "timeout_seconds": min(settings.timeout_seconds, _PATIENCE)}
        self.name: str = source.provider
        self._symbol, self._settings = str(source.symbol), settings.model_copy(update=quick)
        self._key, self._count_call, self._now = key, count_call, now

    def bars(self, since: datetime, now: datetime) -> SourceAnswer:
        """Ask for the bars that opened at or after `since`."""
        name = cast(WebProvider, self.name)
        if not self._settings.providers[name].enabled:
            raise SourceError(f"{name}: off; see data_acquisition.live.providers.{name}.enabled")
        sent = self._now()
        with ProviderClient(name, self._settings, self._key, self._count_call) as client:
            module = provider_module(name)
            frame = module.fetch_bars(self._symbol, pd.Timestamp(since), pd.Timestamp(now), client)
            stated = client.stated_time
        server_time = None if stated is None else ServerTime(sent, stated, self._now())
        return SourceAnswer(frame[list(BAR_COLUMNS)].assign(source=name), server_time)


class ProviderMacro:
    """The variables from their public providers.

    Parameters
    ----------
    parameters : Parameters
    stored : StoredMarket
    keys : mapping of str
    """

    def __init__(self, parameters: Parameters, stored: StoredMarket, keys: Mapping[str, str]) -> None:
        self._parameters, self._keys = parameters, keys
        self._store = MacroStore(parameters, stored)
        self._count_call = ProviderCalls(stored.engine).take

    def fetch(self, names: tuple[str, ...], now: datetime) -> None:
        """Fetch some variables and store what passes the rules."""
        settings = self._parameters.data_acquisition.live
        assert settings is not None
        variables = {name: self._parameters.macro_variables.variables[name] for name in names}
        state = self._store.tables.state(now)
        last = {name: state[name].last_observation for name in names if name in state}
        live = fetch_live(
            variables, settings, self._keys, Watermarks(None, last), pd.Timestamp(now), lambda name: None,
            self._parameters.calendar, FetchOptions(count_call=self._count_call, with_bars=False),
        )  # fmt: skip
        origin = ", ".join(sorted({outcome.source for outcome in live.outcomes if outcome.source}))
        self._store.store(live.market.macro, "live", origin, now)
