"""CTR-FEAT-001 computed: six technical features from bars and seven from macro values as they were known.

One definition serves L1 and L2: `definition` says what the features are, `inputs` turns frames into arrays,
`kernel` takes bars and publications one after the other in time with O(1) state, and `compute` runs it over a
whole history or from bar to bar. Smoothing is Wilder's, as TA-Lib does it. Features are raw: normalisation
happens where rows enter the model.
"""

from dosvotos.market.features.compute import market_features
from dosvotos.market.features.inputs import MarketHistory

__all__ = ["MarketHistory", "market_features"]
