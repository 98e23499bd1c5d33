"""Real vendors of bars and values, as the loop asks them: one try at a time, within the day's calls."""

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, cast

import pandas as pd

from dosvotos.contracts.acquisition import BarSource, DataAcquisitionParams, LiveParams, WebProvider
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.provider_calls import ProviderCalls
from dosvotos.errors import SourceError
from dosvotos.live.clock import ServerTime
from dosvotos.live.intake import MacroStore, SourceAnswer
from dosvotos.sources.files import read_bars_file
from dosvotos.sources.folder_feed import FILE, FolderReader, read_new_files
from dosvotos.sources.http import CountCall, ProviderClient
from dosvotos.sources.live import FetchOptions, Watermarks, fetch_live
from dosvotos.sources.providers import provider_module
from dosvotos.sources.raw_market import BAR_COLUMNS

logger = logging.getLogger(__name__)

_PATIENCE: Final = 20.0
"""Seconds for an answer: a bar's deadline is minutes away, and the next poll comes anyway."""
_KEPT: Final = timedelta(days=1)
"""For so long bars of a folder's files are given again, as a web vendor gives them."""
_NO_BARS: Final = pd.DataFrame(
    {name: pd.Series(dtype="datetime64[us, UTC]" if name == "timestamp" else float) for name in BAR_COLUMNS}
)


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


class FolderBars:
    """Bars that come as files into a folder.

    Each content is read once. Of a file's bars those asked for are given; a longer history is for ``kedro run
    --pipelines data_acquisition``, which judges if it rewrites what is stored.

    Parameters
    ----------
    folder : Path
    acquisition : DataAcquisitionParams
        How its files are read.
    taken : callable
        Lists the hashes of files that were delivered before, retracted ones too.
    """

    name = "folder"

    def __init__(
        self, folder: Path, acquisition: DataAcquisitionParams, taken: Callable[[], Collection[str]]
    ) -> None:
        self._folder, self._taken = folder, taken
        self._read = partial(
            read_bars_file,
            timezone=acquisition.timezone,
            mixed=acquisition.mixed_timezone,
            bar_labels=acquisition.bar_labels,
            resample=acquisition.resample,
        )
        self._seen: set[str] = set()
        self._notes: tuple[str, ...] = ()
        self._bars = _NO_BARS

    def bars(self, since: datetime, now: datetime) -> SourceAnswer:
        """Give the bars that opened at or after `since`, from all files that came by now."""
        reader = FolderReader(self._read, frozenset(self._taken()) | self._seen)
        new = read_new_files(self._folder, reader)
        self._seen |= {file.source_hash for file in new.files}
        self._tell(new.notes, new.unreadable)
        if len(new.bars):
            kept = [frame for frame in (self._bars, new.bars.drop(columns=FILE)) if len(frame)]
            merged = pd.concat(kept, ignore_index=True).drop_duplicates("timestamp", keep="last")
            recent = merged["timestamp"] >= pd.Timestamp(min(since, now - _KEPT))
            self._bars = merged[recent].sort_values("timestamp", ignore_index=True)
        asked = self._bars[self._bars["timestamp"] >= pd.Timestamp(since)]
        return SourceAnswer(asked.assign(source=self.name).reset_index(drop=True))

    def _tell(self, notes: tuple[str, ...], unreadable: pd.DataFrame) -> None:
        """Log what was left, once, and rows that cannot be read."""
        for note in notes:
            if note not in self._notes:
                logger.warning("%s", note)
        self._notes = notes
        for detail in unreadable["detail"]:
            logger.warning("folder: %s", detail)


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
