"""Chart answers as Yahoo writes them, and what the provider makes of them."""

import datetime as dt
from zoneinfo import ZoneInfo

import pandas as pd

from dosvotos.sources.providers.yahoo import fetch, fetch_bars
from dosvotos.sources.series import SeriesRequest
from tests.sources.local_server import Reply, client_of

CHART = "/v8/finance/chart/"
LONDON, NEW_YORK = "Europe/London", "America/New_York"
UNKNOWN = {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def epoch(text: str, zone: str = "UTC") -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def session(start: str, end: str, zone: str) -> dict:
    """Yahoo's current trading period, with the blocks before and after."""
    times = {"start": epoch(start, zone), "end": epoch(end, zone), "timezone": "X", "gmtoffset": 0}
    return {name: dict(times) for name in ("pre", "regular", "post")}


def chart(rows: dict[int, float | None], symbol="COP=X", interval="5m", zone=LONDON, **meta) -> dict:
    """A chart answer with the closes at their epochs; open = close, high and low one away."""
    stated = {
        "currency": "COP",
        "symbol": symbol,
        "exchangeName": "CCY",
        "fullExchangeName": "CCY",
        "instrumentType": "CURRENCY",
        "regularMarketTime": max(rows, default=0),
        "exchangeTimezoneName": zone,
        "longName": "USD/COP",
        "dataGranularity": interval,
        "validRanges": ["1d", "5d"],
    }
    closes = list(rows.values())

    def away(distance: float) -> list[float | None]:
        return [None if close is None else close + distance for close in closes]

    quote = {
        "open": closes,
        "high": away(1.0),
        "low": away(-1.0),
        "close": closes,
        "volume": [0] * len(closes),
    }
    result = {
        "meta": {name: value for name, value in {**stated, **meta}.items() if value is not None},
        "indicators": {"quote": [quote if rows else {}], "adjclose": [{"adjclose": closes}]},
        **({"timestamp": list(rows)} if rows else {}),
    }
    return {"chart": {"result": [result], "error": None}}


def five_minutes(*labels: str, day: str = "2026-01-15", first: float = 3680.0) -> dict[int, float | None]:
    return {epoch(f"{day}T{label}"): first + i for i, label in enumerate(labels)}


def days(zone: str, **closes: float | None) -> dict[int, float | None]:
    """Closes by day of January 2026 (d14=..., or d15_1659=... for a live row), at the exchange's midnight."""
    found = {}
    for name, close in closes.items():
        day, _, clock = name[1:].partition("_")
        clock = clock or "0000"
        found[epoch(f"2026-01-{day}T{clock[:2]}:{clock[2:]}:{'07' if '_' in name else '00'}", zone)] = close
    return found


def bars_of(server, start="2026-01-15 13:00", end="2026-01-15 18:00", **changes) -> pd.DataFrame:
    with client_of("yahoo", server, **changes) as client:
        return fetch_bars("COP=X", utc(start), utc(end), client)


def closes_of(server, symbol="DX-Y.NYB", start="2026-01-05", end="2026-01-15", **changes):
    request = SeriesRequest(symbol, "daily", dt.date.fromisoformat(start), dt.date.fromisoformat(end))
    with client_of("yahoo", server, **changes) as client:
        return fetch(request, client)


def dollar_index(rows, **meta) -> Reply:
    stated = {"currency": "USD", "instrumentType": "INDEX", "longName": "US Dollar Index", **meta}
    return Reply(chart(rows, "DX-Y.NYB", "1d", NEW_YORK, **stated))


def by_day(series) -> dict[int, float]:
    frame = series.observations
    return {day.day: value for day, value in zip(frame["observation_date"], frame["value"], strict=True)}
