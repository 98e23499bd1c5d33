"""The providers' fetchers by their names in `contracts.acquisition`; a module is imported when first needed.

A module is named as its provider and imports no other: what several need is in `parsing`, `dates` and
`bcrp_days`. Every fetcher raises SourceError, or its subclass NotPublishedError, and names the provider, the
series, the rule and the value found.
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
"""Providers whose data are CSV files that a person saves into the drop-in folder."""
MODULES: Final[dict[Provider, str]] = {
    **{name: name for name in get_args(WebProvider)},
    **dict.fromkeys(DROP_IN, "drop_in"),
}


def series_fetcher(name: WebProvider) -> SeriesFetcher:
    """Return the function that fetches a series from a web provider."""
    fetch: SeriesFetcher = _module(name).fetch
    return fetch


def bar_fetcher(name: BarProvider) -> BarFetcher:
    """Return the function that fetches 5-minute bars of a symbol between two times."""
    fetch: BarFetcher = _module(name).fetch_bars
    return fetch


def drop_in_fetcher(name: Provider) -> DropInFetcher:
    """Return the function that reads a series from the drop-in folder."""
    fetch: DropInFetcher = _module(name).fetch
    return fetch


def _module(name: Provider) -> Any:
    return import_module(f"{__name__}.{MODULES[name]}")
