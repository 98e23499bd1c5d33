"""A delivery after L0's quality check, for the tests of other layers."""

import pandas as pd

from dosvotos.sources.checks import CheckedMarket, check_market
from dosvotos.sources.raw_market import BAR_COLUMNS, MACRO_COLUMNS, RawMarket
from tests.conftest import AS_OF, parameters_of

NO_BARS = pd.DataFrame(columns=[*BAR_COLUMNS, "source"])
NO_MACRO = pd.DataFrame(columns=[*MACRO_COLUMNS, "vintage", "source"])


def check_delivery(
    bars: pd.DataFrame = NO_BARS, macro: pd.DataFrame = NO_MACRO, **thresholds: object
) -> CheckedMarket:
    """Check a delivery by the project's own thresholds; nothing was stored before."""
    parameters = parameters_of()
    limits = parameters.quality_thresholds
    if thresholds:
        limits = limits.model_copy(update={"bars": limits.bars.model_copy(update=thresholds)})
    variables = parameters.macro_variables.variables
    return check_market(RawMarket(bars, macro), variables, limits, pd.Timestamp(AS_OF), NO_MACRO)
