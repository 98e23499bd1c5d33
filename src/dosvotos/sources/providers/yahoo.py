"""Yahoo Finance through yfinance: daily closes, and 5-minute bars of the last 60 days; no key.

yfinance parses Yahoo's charts and knows their quirks: live rows, days that begin at 23:00. Its own transport
is replaced: it keeps pickled cookies and a cache in the user's home, requests a crumb that charts do not
need, answers consent forms, caches failed answers and takes any status for data. Here every request counts
against the client's limits, and every answer is checked before yfinance sees it.
"""

import ssl
import warnings
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Final, NamedTuple, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.market.calendar import BAR
from dosvotos.sources.http import MAX_BYTES, ProviderClient, Response, RetryableError, parse_model
from dosvotos.sources.providers.dates import CLOSED_AT_MOST
from dosvotos.sources.providers.parsing import deduplicate
from dosvotos.sources.raw_market import BAR_COLUMNS
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

MAX_AGE: Final = pd.Timedelta(days=59)
"""Yahoo refuses 5-minute bars older than 60 days by its own clock; one day is a margin."""
_PRICES: Final = ("Open", "High", "Low", "Close")
_DAY_STARTS_BEFORE: Final = pd.Timedelta(hours=2)
"""Around a daylight saving change Yahoo's days begin at 22:00 or 23:00; yfinance allows for it too."""
_BUSY: Final = frozenset({"Too Many Requests", "Internal Server Error", "Service Unavailable"})

_Epoch = Annotated[int, Field(ge=0, lt=2**32)]


class _Yahoo(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, strict=True)


class _Session(_Yahoo):
    start: _Epoch
    end: _Epoch


class _TradingPeriod(_Yahoo):
    regular: _Session


class _Meta(_Yahoo):
    symbol: str
    instrument_type: str
    currency: str | None
    exchange_timezone_name: str
    data_granularity: str
    full_exchange_name: str = ""
    long_name: str | None = None
    short_name: str | None = None
    regular_market_time: _Epoch | None = None
    current_trading_period: _TradingPeriod | None = None


class _Quote(_Yahoo):
    open: list[float | None]
    high: list[float | None]
    low: list[float | None]
    close: list[float | None]
    volume: list[float | None]


class _Indicators(_Yahoo):
    quote: list[dict[str, Any]] = Field(min_length=1, max_length=1)


class _Chart(_Yahoo):
    meta: _Meta
    timestamp: list[_Epoch] = []
    indicators: _Indicators


class _Charts(_Yahoo):
    result: list[_Chart] = Field(min_length=1, max_length=1)


class _Content(_Yahoo):
    chart: _Charts


class _NoRowsError(NotPublishedError):
    """The symbol is known, but the range has no row."""


class _ChartResponse(NamedTuple):
    """The part of a response that yfinance uses."""

    text: str
    content: dict[str, Any]

    def json(self) -> dict[str, Any]:
        return self.content


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch unadjusted daily closes, dated by the exchange's own day; the series is Yahoo's symbol.

    Yahoo also has a row for a day that is still open. A day counts as closed if it lies before
    ``request.end``, or if by Yahoo's own times the last trade was on a later day, the current regular session
    begins on a later day, or the last trade was at or after the end of the day's regular session. Days after
    the last trade are left out: yfinance moves a last trade at 22:00 to the next day.
    """
    begin = pd.Timestamp(request.start, tz="UTC") - pd.Timedelta(days=1)
    finish = pd.Timestamp(request.end, tz="UTC") + pd.Timedelta(days=1)
    frame, meta = _history(request.series, "1d", begin, finish, client)
    closes = frame["Close"].dropna()
    observations = [
        (day, close)
        for day, close in zip(pd.DatetimeIndex(closes.index).date, closes, strict=True)
        if request.start <= day <= request.end and _closed(day, request.end, meta)
    ]
    if not observations:
        raise NotPublishedError(f"yahoo {request.series}: no close from {request.start} to {request.end}")
    return build_series(observations, _describe(meta))


def fetch_bars(symbol: str, start: pd.Timestamp, end: pd.Timestamp, client: ProviderClient) -> pd.DataFrame:
    """Fetch 5-minute bars of at most the 59 days before `end`, such as those of symbol ``COP=X``.

    Bars without a price or off the 5-minute grid are left out, and so is the bar of the last trade, into
    which yfinance merges Yahoo's live row. An `end` so long ago that Yahoo has no 5-minute bars is an error.
    """
    begin, finish = max(start, end - MAX_AGE).tz_convert("UTC"), end.tz_convert("UTC")
    nothing = pd.DataFrame(columns=[*_PRICES, "Volume"], index=pd.DatetimeIndex([], tz="UTC"), dtype=float)
    if finish - begin < BAR:
        return _bars(nothing)
    try:
        frame, _ = _history(symbol, "5m", begin, finish, client)
    except _NoRowsError as error:
        if finish - begin > CLOSED_AT_MOST:
            raise SourceError(f"{error}; is the symbol still traded?") from error
        return _bars(nothing)
    bars = _bars(frame.dropna(subset=list(_PRICES)))
    opens = bars["timestamp"]
    wanted = (opens >= begin) & (opens + BAR <= finish) & (opens == opens.dt.floor(BAR))
    return cast(pd.DataFrame, bars[wanted].reset_index(drop=True))


def _history(
    symbol: str, interval: str, start: pd.Timestamp, end: pd.Timestamp, client: ProviderClient
) -> tuple[pd.DataFrame, _Meta]:
    """Unadjusted prices as yfinance parses them, without the bar of the last trade, and Yahoo's meta."""
    from yfinance.config import YfConfig
    from yfinance.exceptions import YFException
    from yfinance.scrapers.history import PriceHistory

    YfConfig.debug.hide_exceptions = False  # else an error is an empty table and a log line
    warnings.filterwarnings("ignore", module=r"yfinance\.")  # about pandas deprecations
    context = f"{symbol} {interval}"

    def attempt() -> tuple[pd.DataFrame, _Meta]:
        transport = _Transport(client, symbol, interval)
        history = PriceHistory(transport, symbol, tz="UTC", session=transport)
        try:
            unadjusted = {"prepost": True, "actions": False, "auto_adjust": False, "keepna": True}
            timeout = client.settings.timeout_seconds
            frame = history.history(interval=interval, start=start, end=end, timeout=timeout, **unadjusted)
        except (YFException, LookupError, TypeError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise SourceError(f"yahoo {context}: yfinance cannot read the answer: {problem}") from error
        live = history.get_history_metadata().get("lastTrade")
        if live is not None and interval == "5m":
            frame = frame[frame.index < live["Time"].tz_convert("UTC").floor(BAR)]
        return frame, transport.last_meta()

    return client.retry(context, attempt)


@dataclass
class _Transport:
    """Replacement of yfinance's transport: the client's base URL, one try a call, no cookies, no cache."""

    client: ProviderClient
    symbol: str
    interval: str
    meta: _Meta | None = None

    def get(self, url: str, params: dict[str, Any], timeout: float) -> _ChartResponse:
        from curl_cffi import CurlOpt, requests

        try:
            with requests.Session(
                impersonate="chrome",  # Yahoo turns away what does not look like a browser
                verify=ssl.get_default_verify_paths().cafile or True,  # it takes a path
                curl_options={CurlOpt.MAXFILESIZE_LARGE: MAX_BYTES},
                allow_redirects=False,  # Yahoo redirects to a consent form, which is the user's to answer
            ) as session:
                raw = session.get(self.client.base_url + urlsplit(url).path, params=params, timeout=timeout)
        except requests.exceptions.RequestException as error:
            raise RetryableError(f"{type(error).__name__}: {error}") from error
        response = Response(raw.content, (raw.headers.get("content-type") or "").lower())
        self.client.raise_for_status(self._what, response, raw.status_code, raw.headers, self._refusal)
        content = response.json()
        if (refusal := self._refusal(content)) is not None:
            raise refusal
        self.meta = _check(content, self.symbol, self.interval)
        return _ChartResponse("", content)

    cache_get = get

    def last_meta(self) -> _Meta:
        """Yahoo's meta data of the symbol, once `get` has been called."""
        assert self.meta is not None
        return self.meta

    @property
    def _what(self) -> str:
        return f"{self.symbol} {self.interval}"

    def _refusal(self, content: Any) -> Exception | None:
        """The error that a body states, with any status; None if it states none."""
        blocks = content.values() if isinstance(content, dict) else ()
        errors = [block["error"] for block in blocks if isinstance(block, dict) and block.get("error")]
        if not errors:
            return None
        code, description = (str(errors[0].get(name)) for name in ("code", "description"))
        if code in _BUSY:
            return RetryableError(f"{code}: {description}")
        return SourceError(f"yahoo {self._what}: {code}: {description}")


def _check(content: Any, symbol: str, interval: str) -> _Meta:
    """Check an answer for what yfinance would accept in silence, and return its meta data."""
    context = f"yahoo {symbol} {interval}"
    chart = parse_model(content, _Content, context).chart.result[0]
    meta = chart.meta
    if (meta.symbol, meta.data_granularity) != (symbol, interval):
        raise SourceError(f"{context}: the answer is about {meta.symbol} {meta.data_granularity}")
    try:
        zone = ZoneInfo(meta.exchange_timezone_name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SourceError(f"{context}: {meta.exchange_timezone_name!r} is no time zone") from error
    if not chart.timestamp:
        raise _NoRowsError(f"{context}: no row in the range asked")
    quote = parse_model(chart.indicators.quote[0], _Quote, context)
    for name, values in quote:
        if len(values) != len(chart.timestamp):
            raise SourceError(f"{context}: {len(chart.timestamp)} times, but {len(values)} values of {name}")
    opens = pd.to_datetime(chart.timestamp, unit="s", utc=True)
    if interval == "1d":
        opens = (opens.tz_convert(zone).tz_localize(None) + _DAY_STARTS_BEFORE).normalize()
    deduplicate(list(zip(opens, quote.close, strict=True))[:-1], context)  # the last may be a live row
    return meta


def _closed(day: date, end: date, meta: _Meta) -> bool:
    """Whether a day is closed, by the rule in `fetch`."""
    zone = ZoneInfo(meta.exchange_timezone_name)
    if meta.regular_market_time is None:
        return day < end
    traded = datetime.fromtimestamp(meta.regular_market_time, zone)
    if day > traded.date():
        return False
    if day < max(end, traded.date()):
        return True
    if (period := meta.current_trading_period) is None:
        return False
    session = period.regular
    begins, ends = (datetime.fromtimestamp(seconds, zone) for seconds in (session.start, session.end))
    return begins.date() > day or (begins.date() == day and traded >= ends)


def _describe(meta: _Meta) -> str:
    stated = {"symbol": meta.symbol, "type": meta.instrument_type, "currency": meta.currency}
    stated |= {"exchange": meta.full_exchange_name, "name": meta.long_name or meta.short_name}
    return "; ".join(f"{name} {value}" for name, value in stated.items() if value)


def _bars(frame: pd.DataFrame) -> pd.DataFrame:
    opens = pd.DatetimeIndex(frame.index).tz_convert("UTC").as_unit("us")
    columns = {name: frame[name.capitalize()].to_numpy(float) for name in BAR_COLUMNS[1:]}
    return pd.DataFrame({"timestamp": opens, **columns})
