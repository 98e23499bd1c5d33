"""The providers' modules by the names of `contracts.acquisition`; one is imported when first needed.

A module is named as its provider and imports no other: what several need is in `parsing`, `dates` and
`bcrp_days`. ``fetch(request, client)`` returns the FetchedSeries of a SeriesRequest; a drop-in module takes
a folder instead of a ProviderClient. ``fetch_bars(symbol, start, end, client)`` returns the 5-minute bars
that opened at or after `start` and closed by `end` (timezone-aware): timestamp (bar open, UTC, ``us``,
sorted, unique), open, high, low, close, volume; none where the market was closed all the time. Both raise
SourceError, or its subclass NotPublishedError, naming the provider, the series, the rule and the value found.
"""

from importlib import import_module
from typing import Any, Final, get_args

from dosvotos.contracts.acquisition import Provider, WebProvider

DROP_IN: Final[tuple[Provider, ...]] = ("fedesarrollo", "manual_csv")
"""Providers whose data are CSV files that a person saves into the drop-in folder."""
MODULES: Final[dict[Provider, str]] = {
    **{name: name for name in get_args(WebProvider)},
    **dict.fromkeys(DROP_IN, "drop_in"),
}


def provider_module(name: Provider) -> Any:
    """Return the module that fetches from a provider."""
    return import_module(f"{__name__}.{MODULES[name]}")
