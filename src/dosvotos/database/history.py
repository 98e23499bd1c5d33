"""Bars and observations as features need them, as known at a moment."""

from datetime import date, datetime, timedelta
from typing import TypeVar

import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.hashing import combine, digest_frame
from dosvotos.market.calendar import BAR, BOGOTA
from dosvotos.market.dataset import select_bars, select_macro
from dosvotos.market.features import MarketHistory

Table = TypeVar("Table", BarTable, MacroTables)


def stored_history(
    parameters: Parameters, bars: BarTable, macro: MacroTables, moment: datetime, last: date
) -> MarketHistory:
    """Read session bars up to a session and the observations published by its end, as known at a moment.

    They are those of the parameters' own market, whatever market the tables are bound to: the project's
    sample market may have moved on since a contract was frozen. Bars are read from the first one stored: the
    indicators run from it, and the dataset's acquisition_hash is of them all.

    Raises
    ------
    DataError
        If a variable behind a feature has no observation at all.
    """
    bars, macro = _of_feed(bars, parameters.feed), _of_feed(macro, parameters.feed)
    midnight = pd.Timestamp(last + timedelta(days=1), tz=BOGOTA)
    known = select_bars(bars.as_of(moment, before=midnight), last, parameters.calendar)
    closed = None if known.empty else known.index.max() + BAR
    return MarketHistory(
        known, select_macro(macro.as_of(moment, until=closed), known, parameters.macro_variables)
    )


def _of_feed(table: Table, feed: str) -> Table:
    return table if table.feed == feed else type(table)(table.engine, table.instrument, feed)


def history_hash(history: MarketHistory, schema: int) -> str:
    """Hash bars and observations: the dataset's acquisition_hash.

    The same values fetched at another time give the same hash; values, `published_at` and vintages count.

    Parameters
    ----------
    history : MarketHistory
    schema : int
        The contract's; under 1 when the observations were fetched counts too.
    """
    macro = history.macro if schema == 1 else history.macro.drop(columns="fetched_at")
    return combine([digest_frame(history.bars), digest_frame(macro)])
