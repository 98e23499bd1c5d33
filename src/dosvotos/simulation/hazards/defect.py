"""The record of one defect, as the simulator put it into the data."""

from datetime import date
from typing import NamedTuple

import pandas as pd

from dosvotos.contracts.parameters import Hazard


class Defect(NamedTuple):
    """One event of a hazard, in one macro variable or in the bars."""

    hazard: Hazard
    subject: str
    """``bars``, or the macro variable."""
    first: pd.Timestamp | date
    """First affected bar open (UTC, as labelled in the data) or observation date, missing ones included."""
    last: pd.Timestamp | date
    rows: int
    """Number of bars or observations changed, added or removed."""
    description: str
