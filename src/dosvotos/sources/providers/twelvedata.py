"""Twelve Data: 5-minute bars with years of history, and daily values; needs a key.

A free key has 8 credits a minute and 800 a day, and a call costs at least one. The key travels in a header.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.market.calendar import BAR
from dosvotos.sources.http import ProviderClient, Response, RetryableError, parse_model
from dosvotos.sources.providers.dates import CLOSED_AT_MOST
from dosvotos.sources.providers.parsing import deduplicate, parse_number
from dosvotos.sources.raw_market import BAR_COLUMNS
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

KEY_VARIABLE: Final = "TWELVEDATA_API_KEY"
PAGE: Final = 5_000
"""Most rows of one answer."""
_PATH: Final = "/time_series"
_MINUTE: Final = 60.0
_NO_DATA: Final = "no data is available on the specified dates"
_FORMS: Final = {"1day": "%Y-%m-%d", "5min": "%Y-%m-%d %H:%M:%S"}
_STEPS: Final = {"1day": timedelta(days=1), "5min": BAR.to_pytimedelta()}


class _Meta(BaseModel):
    symbol: str
    interval: str
    type: str = ""
    currency: str = ""
    currency_base: str = ""
    currency_quote: str = ""
    exchange: str = ""


class _Reply(BaseModel):
    meta: _Meta
    values: list[dict[str, Any]]
    status: Literal["ok"]


class _Page(NamedTuple):
    description: str
    rows: pd.DataFrame
    """open, high, low, close, volume, label (naive), newest first."""


class _NoTradesError(SourceError):
    """The symbol is known, but the range has no row."""


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch daily closes in the quote currency; the series is Twelve Data's symbol, such as ``USD/MXN``.

    Nothing in the answer distinguishes the row of a day that is still open: the row of ``request.end`` is
    left out. Later rows are kept, for the caller to reject.
    """
    context = f"twelvedata {request.series}"
    start, end = (datetime.combine(day, time.min) for day in (request.start, request.end))
    pages = list(_pages(request.series, "1day", start, end, client))
    rows = pd.concat([page.rows for page in pages]) if pages else _rows([], "1day", context)
    closes = zip(rows["label"].dt.date, rows["close"], strict=True)
    observations = deduplicate([(day, close) for day, close in closes if day != request.end], context)
    if not observations:
        raise NotPublishedError(f"{context}: no value from {request.start} to {request.end}")
    return build_series(observations, pages[0].description)


def fetch_bars(symbol: str, start: pd.Timestamp, end: pd.Timestamp, client: ProviderClient) -> pd.DataFrame:
    """Fetch 5-minute bars of a symbol such as ``USD/COP``; volume is 0 where the answer has none.

    Pages of 5,000 bars are requested from the newest back, so that weekends cost no call. Timestamps carry no
    zone: UTC is requested, and a timestamp outside the range would show that the answer is in another.
    """
    context = f"twelvedata {symbol} 5min"
    first, finish = (moment.tz_convert("UTC").tz_localize(None) for moment in (start, end))
    last = finish.floor(BAR) - BAR
    pages = _pages(symbol, "5min", first.to_pydatetime(), last.to_pydatetime(), client)
    rows = pd.concat([_rows([], "5min", context), *(page.rows for page in pages)], ignore_index=True)
    opens = pd.DatetimeIndex(rows["label"])
    wrong = (opens < first) | (opens > last) | (opens != opens.floor(BAR))
    if wrong.any():
        raise SourceError(
            f"{context}: expected labels on the 5-minute grid from {first} to {last} UTC, found "
            f"{opens[wrong][0]}; is the answer in another time zone?"
        )
    if rows.empty and last - first > CLOSED_AT_MOST:
        raise SourceError(f"{context}: no bar from {start} to {end}; is the symbol still traded?")
    bars = rows.drop_duplicates().assign(timestamp=lambda kept: kept["label"].dt.tz_localize("UTC"))
    if (repeated := bars["timestamp"].duplicated()).any():
        first_repeated = bars["timestamp"][repeated].iloc[0]
        raise SourceError(f"{context}: {first_repeated} stands twice, with different prices")
    return bars.sort_values("timestamp", ignore_index=True)[list(BAR_COLUMNS)]


def _pages(
    symbol: str, interval: str, start: datetime, end: datetime, client: ProviderClient
) -> Iterator[_Page]:
    """Yield pages from the newest back to `start`; a page that is not full is the last."""
    headers = {"Authorization": f"apikey {client.require_key(KEY_VARIABLE)}"}
    zone = {} if interval == "1day" else {"timezone": "UTC"}
    parse = partial(_page, symbol, interval)
    while end >= start:
        params = {
            "symbol": symbol, "interval": interval, "outputsize": str(PAGE), "order": "DESC", **zone,
            "start_date": f"{start:{_FORMS['5min']}}", "end_date": f"{end:{_FORMS['5min']}}",
        }  # fmt: skip
        try:
            page = client.get(_PATH, parse, params, headers, partial(_refusal, symbol))
        except _NoTradesError:
            return
        yield page
        if len(page.rows) < PAGE:
            return
        oldest = page.rows["label"].min().to_pydatetime()
        if oldest > end:
            found = f"asked for rows up to {end}, found none before {oldest}"
            raise SourceError(f"twelvedata {symbol} {interval}: {found}")
        end = oldest - _STEPS[interval]


def _page(symbol: str, interval: str, response: Response) -> _Page:
    content = response.json()
    if (refusal := _refusal(symbol, content)) is not None:
        raise refusal
    context = f"twelvedata {symbol} {interval}"
    reply = parse_model(content, _Reply, context)
    if (reply.meta.symbol, reply.meta.interval) != (symbol, interval):
        raise SourceError(f"{context}: the answer is about {reply.meta.symbol} {reply.meta.interval}")
    description = "; ".join(f"{name} {value}" for name, value in reply.meta if value and name != "interval")
    return _Page(description, _rows(reply.values, interval, context))


def _refusal(symbol: str, content: Any) -> Exception | None:
    """The error that a body states, with status 200 or with its own code; None if it states none."""
    if not isinstance(content, dict) or content.get("status") != "error":
        return None
    code, message = content.get("code"), str(content.get("message", "no message"))
    if code == 400 and message.lower().startswith(_NO_DATA):
        return _NoTradesError(f"twelvedata {symbol}: {message}")
    if code == 429 and "for the day" not in message.lower():
        return RetryableError(f"the credits of the minute are used up: {message}", retry_after=_MINUTE)
    if isinstance(code, int) and code >= 500:
        return RetryableError(f"answered with code {code}: {message}")
    meaning = {
        401: f"the key was refused, check {KEY_VARIABLE}",
        403: f"not in this key's plan, see {KEY_VARIABLE}",
        404: "unknown symbol, or not in this key's plan",
        429: "the credits of the day are used up, run again tomorrow",
    }.get(code, f"code {code}")  # type: ignore[arg-type]
    return SourceError(f"twelvedata {symbol}: {meaning}: {message}")


def _rows(values: Sequence[Mapping[str, Any]], interval: str, context: str) -> pd.DataFrame:
    form = _FORMS[interval]
    try:
        labels = pd.to_datetime([str(row.get("datetime")) for row in values], format=form).as_unit("us")
    except ValueError as error:
        raise SourceError(f"{context}: expected a datetime like {form}: {error}") from error
    names = BAR_COLUMNS[1:]
    numbers = [[_number(row, name, context) for name in names] for row in values]
    return pd.DataFrame(numbers, columns=list(names), dtype=float).assign(label=labels)


def _number(row: Mapping[str, Any], name: str, context: str) -> float:
    if name == "volume" and name not in row:
        return 0.0
    where = f"{context} {row.get('datetime')} {name}"
    found = parse_number(row.get(name), (), where)
    if found is None or not np.isfinite(found):
        raise SourceError(f"{where}: expected a number, found {row.get(name)!r}")
    return found
