"""What a desk traded beside what the model assumed: position against its book, price against its fill."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Engine, Row

from dosvotos.database.connection import reading
from dosvotos.database.deliveries import END_OF_TIME
from dosvotos.database.fills import read_fill_rows, read_orders
from dosvotos.database.market_data import StoredMarket
from dosvotos.market.calendar import BAR


class FillsReport(NamedTuple):
    """An instrument's fills; amounts in USD, prices in COP."""

    fills: pd.DataFrame
    """time, side, quantity, price, assumed_price and slippage_bps; NaN before the model's first order.

    Slippage is against the fill the model assumed for the last order before: positive is worse than it.
    """
    held: pd.Series
    """The desk's position after each fill, flat before the first; index time."""
    book: pd.Series
    """The model's, target times notional, from each assumed fill on; index time."""

    @property
    def last_held(self) -> float:
        """The desk's position now, USD."""
        return float(self.held.iloc[-1])

    @property
    def last_book(self) -> float:
        """The model's position now, USD; flat before its first assumed fill."""
        return float(self.book.iloc[-1]) if len(self.book) else 0.0

    @property
    def difference(self) -> float:
        """How much more the desk holds than the model's book, USD."""
        return self.last_held - self.last_book

    @property
    def slippage_bps(self) -> float:
        """Mean slippage, weighted by quantity; NaN without a fill that can be compared."""
        known = self.fills.dropna(subset=["slippage_bps"])
        if known.empty:
            return float("nan")
        return float(np.average(known["slippage_bps"], weights=known["quantity"]))

    @property
    def slippage_cop(self) -> float:
        """What the slippage cost in all, COP; negative is a gain."""
        worse = self.fills["slippage_bps"] / 10_000 * self.fills["assumed_price"] * self.fills["quantity"]
        return float(worse.sum())


def read_fills_report(engine: Engine, instrument: str) -> FillsReport | None:
    """Compare an instrument's fills with its rows and bars, all that are stored; None without a fill.

    No clock of ours says which these are: a sample market's is ahead of it.
    """
    with reading(engine) as connection:
        fills, orders = read_fill_rows(connection, instrument), read_orders(connection, instrument)
    if not fills:
        return None
    first = min([fill.time for fill in fills] + [order.timestamp for order in orders])
    bars, _ = StoredMarket(engine, instrument, fills[-1].feed).tables
    rows = bars.rows(END_OF_TIME, after=first - timedelta(minutes=1))
    latest = rows.drop_duplicates("timestamp", keep="last").set_index("timestamp")
    return compare_fills(fills, orders, latest["close"].sort_index())


def compare_fills(
    fills: Sequence[Row[Any]], orders: Sequence[Row[Any, Any, Any]], closes: pd.Series
) -> FillsReport:
    """Compare fills with orders.

    Parameters
    ----------
    fills, orders : sequence of Row
        In time order.
    closes : Series of shape (n_bars,)
        Close by the bar's open (UTC), ascending; an order fills at the close of the next one there is.
    """
    at = _moments(order.timestamp for order in orders)
    following = closes.index.searchsorted(at, side="right")
    is_filled = following < len(closes)
    assumed = np.full(len(orders), np.nan)
    assumed[is_filled] = closes.to_numpy()[following[is_filled]]
    frame = pd.DataFrame(
        [(fill.time, fill.side, fill.quantity, fill.price) for fill in fills],
        columns=["time", "side", "quantity", "price"],
    )
    known = _moments(order.created_at for order in orders)
    last = known.searchsorted(pd.DatetimeIndex(frame["time"]), side="right") - 1
    frame["assumed_price"] = np.where(last >= 0, assumed[last], np.nan) if len(orders) else np.nan
    sign = np.where(frame["side"] == "BUY", 1.0, -1.0)
    frame["slippage_bps"] = sign * (frame["price"] / frame["assumed_price"] - 1) * 10_000
    held = pd.Series(np.cumsum(sign * frame["quantity"].to_numpy()), index=pd.DatetimeIndex(frame["time"]))
    targets = np.array([order.signal for order in orders], dtype=float)[is_filled]
    filled_at = pd.DatetimeIndex(closes.index[following[is_filled]]) + BAR
    return FillsReport(frame, held, pd.Series(targets * fills[-1].notional_usd, index=filled_at))


def _moments(times: Iterable[datetime]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(list(times), utc=True))
