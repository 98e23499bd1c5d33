"""What every source returns, before it is checked: bars and macro observations."""

from typing import NamedTuple

import pandas as pd

from dosvotos.quality.findings import no_findings

BAR_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
MACRO_COLUMNS = ("variable", "observation_date", "value")


class RawMarket(NamedTuple):
    """Bars and macro observations as their source gives them, unchecked; either may be empty."""

    bars: pd.DataFrame
    """timestamp (bar open, timezone-aware), open, high, low, close, volume (NaN: none), source."""
    macro: pd.DataFrame
    """variable, observation_date (datetime.date), value, vintage, source."""
    unreadable: pd.DataFrame = no_findings()
    """Findings, as in `quality.findings`: rows of a file that could not be read."""
    origin: str = "bars"
    """Where the bars are from, as an error names them: their file."""
    macro_origin: str = "macro"
    """The same of the observations."""
