"""The six pipelines: thin nodes over the domain, meeting in the catalog."""

from typing import Final

TO_THE_PROPOSAL: Final = ("data_acquisition", "dataset", "training", "backtest", "promotion")
PIPELINES: Final = (*TO_THE_PROPOSAL, "inference")
