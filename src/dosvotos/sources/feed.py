"""Names one market among those an instrument's tables may hold."""

from dosvotos.contracts.parameters import SampleMarketParams
from dosvotos.sources.base import REAL_FEED
from dosvotos.sources.sample import feed_id


def feed_of(source: str, sample: SampleMarketParams) -> str:
    """``market`` for real data, the simulator's id for a sample: two simulators never share rows."""
    return feed_id(sample) if source == "sample" else REAL_FEED
