"""CTR-FEAT-001 computed: six technical features from bars and seven from macro values as they were known.

One definition serves L1 and L2: `definition` says what the features are, `inputs` turns frames into arrays,
`kernel` takes bars and publications one after the other in time with O(1) state, and `compute` runs it over a
whole history or from bar to bar. Smoothing is Wilder's, as TA-Lib does it. Features are raw: normalisation
happens at the model's door.
"""

from dosvotos.market.features.compute import market_features, technical_features, update_features
from dosvotos.market.features.definition import COLUMNS, TIME_NORMALIZED, VARIABLES
from dosvotos.market.features.inputs import (
    NO_PUBLICATIONS,
    MarketHistory,
    PublicationArrays,
    bar_arrays,
    max_ages,
    publication_arrays,
)
from dosvotos.market.features.kernel import empty_state

__all__ = [
    "COLUMNS",
    "NO_PUBLICATIONS",
    "TIME_NORMALIZED",
    "VARIABLES",
    "MarketHistory",
    "PublicationArrays",
    "bar_arrays",
    "empty_state",
    "market_features",
    "max_ages",
    "publication_arrays",
    "technical_features",
    "update_features",
]
