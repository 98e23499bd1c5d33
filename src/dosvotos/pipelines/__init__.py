"""The six pipelines, and the short way of a refit: thin nodes over the domain, meeting in the catalog."""

from typing import Final

TO_THE_PROPOSAL: Final = ("data_acquisition", "dataset", "training", "backtest", "promotion")
PIPELINES: Final = (*TO_THE_PROPOSAL, "inference")
REFIT: Final = "refit"
"""In place of backtest and promotion, where an approved contract was trained on later data."""
