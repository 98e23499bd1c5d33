"""What a table of bars or of macro values is: the one statement, for the reader and for the catalog.

Import it where it is used: pandera takes a fifth of a second.
"""

import datetime as dt
from typing import Final

import pandas as pd
import pandera.pandas as pa

_INSTANT: Final = pd.DatetimeTZDtype("us", "UTC")
_IS_NUMBER: Final = pa.Check(pd.api.types.is_numeric_dtype, name="number", error="must hold numbers")
_IS_DAY: Final = pa.Check(
    lambda days: days.map(type).eq(dt.date).all(), name="day", error="must hold datetime.date"
)
_PRICES: Final = ("open", "high", "low", "close")

BAR_ROWS: Final = pa.DataFrameSchema(
    {
        **{name: pa.Column(float, nullable=False) for name in _PRICES},
        "volume": pa.Column(checks=[_IS_NUMBER, pa.Check.ge(0, error="not_negative")], nullable=True),
    }
)
"""What the cells of a bar may be: prices are numbers, a volume is none or not negative."""

RAW_BARS: Final = BAR_ROWS.add_columns(
    {"timestamp": pa.Column(_INSTANT, nullable=False), "source": pa.Column(nullable=False)}
)
"""Bars as their source gives them: readable, and not yet judged."""

MACRO_ROWS: Final = pa.DataFrameSchema(
    {
        "variable": pa.Column(nullable=False),
        "observation_date": pa.Column(object, checks=_IS_DAY, nullable=False),
        "value": pa.Column(float, nullable=True),
    }
)
"""What the cells of an observation may be: a table's empty cell is no value, and the rules judge it."""

RAW_MACRO: Final = MACRO_ROWS.add_columns(
    {"vintage": pa.Column(nullable=False), "source": pa.Column(nullable=False)}
)
"""Observations as their source gives them."""
