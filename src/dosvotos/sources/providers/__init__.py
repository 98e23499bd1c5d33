"""The providers by the names of contracts/acquisition.py; a module is imported when it is first asked for.

A module is named as its provider and knows no other: what several need stands in ``parsing`` and ``dates``.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, get_args

import pandas as pd

from dosvotos.contracts.acquisition import BarProvider, Provider, WebProvider
from dosvotos.sources.http import ProviderClient
from dosvotos.sources.series import FetchedSeries, SeriesRequest

SeriesFetcher = Callable[[SeriesRequest, ProviderClient], FetchedSeries]
DropInFetcher = Callable[[SeriesRequest, Path], FetchedSeries]
BarFetcher = Callable[[str, pd.Timestamp, pd.Timestamp, ProviderClient], pd.DataFrame]

DROP_IN: Final[tuple[Provider, ...]] = ("fedesarrollo", "manual_csv")
"""Providers that are a folder of files a person brings."""
MODULES: Final[dict[Provider, str]] = {
    **{name: name for name in get_args(WebProvider)},
    **dict.fromkeys(DROP_IN, "drop_in"),
}


def series_fetcher(name: WebProvider) -> SeriesFetcher:
    """How a series is fetched from a web provider."""
    fetch: SeriesFetcher = _module(name).fetch
    return fetch


def bar_fetcher(name: BarProvider) -> BarFetcher:
    """How 5-minute bars of a symbol are fetched, from a start to an end."""
    fetch: BarFetcher = _module(name).fetch_bars
    return fetch


def drop_in_fetcher(name: Provider) -> DropInFetcher:
    """How a series is read from the drop-in folder."""
    fetch: DropInFetcher = _module(name).fetch
    return fetch


def _module(name: Provider) -> Any:
    return import_module(f"{__name__}.{MODULES[name]}")
