"""Bars and observations as features need them, as known at a moment."""

from datetime import date, datetime, timedelta

import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import ContractError
from dosvotos.hashing import combine, digest_frame
from dosvotos.market.calendar import BOGOTA
from dosvotos.market.dataset import select_bars, select_macro
from dosvotos.market.features import MarketHistory


def stored_history(
    parameters: Parameters, bars: BarTable, macro: MacroTables, moment: datetime, last: date
) -> MarketHistory:
    """Read session bars up to a session and the observations published by its end, as known at a moment.

    Raises
    ------
    DataError
        If a variable behind a feature has no observation at all.
    ContractError
        If the tables are those of another market than the parameters'.
    """
    if bars.feed != parameters.feed:
        raise ContractError(f"data: of feed {bars.feed}, but the contract's is {parameters.feed}")
    midnight = pd.Timestamp(last + timedelta(days=1), tz=BOGOTA)
    known = select_bars(bars.as_of(moment, before=midnight), last)
    return MarketHistory(known, select_macro(macro.as_of(moment), known, parameters.macro_variables))


def history_hash(history: MarketHistory) -> str:
    """Hash bars and observations: the dataset's acquisition_hash."""
    return combine([digest_frame(history.bars), digest_frame(history.macro)])
