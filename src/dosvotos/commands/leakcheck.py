"""``dosvotos leakcheck``: no feature sees the future, shown on the user's own data and experiment."""

import importlib
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import FINANCING_SOURCES, MACRO_SOURCES, TECHNICAL_FEATURES
from dosvotos.errors import ParameterError
from dosvotos.leakage.pipeline import BARS, CLOCK, Dataset, Pipeline, own_pipeline
from dosvotos.market.features import MarketHistory
from dosvotos.market.dataset import SPLITS
from dosvotos.pipelines.dataset.nodes import (
    compute_features,
    freeze_contract,
    select_history,
    split_dataset,
)

_MACRO_INPUTS: Final = {
    "dxy_z": ("dxy",),
    "dxy_change_1d": ("dxy",),
    "vix_z": ("vix",),
    "embi_z": ("embi",),
    "brent_change_1d": ("brent",),
    "rate_spread": ("col10y", "ust10y"),
    "usdmxn_change_1d": ("usdmxn",),
}
HOUSE_INPUTS: Final = {
    **dict.fromkeys((*TECHNICAL_FEATURES, "close"), (BARS,)),
    **{name: tuple(MACRO_SOURCES[short] for short in inputs) for name, inputs in _MACRO_INPUTS.items()},
    "time_normalized": (CLOCK,),
    "policy_rate_difference": tuple(FINANCING_SOURCES.values()),
}
"""What each column of L2's features is made of, and nothing else."""


class Stored(NamedTuple):
    """An experiment's contract and the history it works on."""

    contract: ExperimentContract
    history: MarketHistory


def house_pipeline(contract: ExperimentContract) -> Pipeline:
    """L2's own nodes under test."""

    def features(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
        return compute_features(contract, bars, macro)

    def dataset(frame: pd.DataFrame) -> Dataset:
        *parts, norm_stats = split_dataset(contract, frame)
        rows = dict(zip(SPLITS, parts, strict=True))
        names = list(norm_stats.features)
        scaled = {
            name: pd.DataFrame(norm_stats.apply(part[names].to_numpy()), part.index, names)
            for name, part in rows.items()
        }
        stats = pd.DataFrame({"mean": norm_stats.mean, "std": norm_stats.std}, index=names)
        return Dataset(rows, scaled, stats)

    embargo = contract.parameters.splits.embargo_sessions
    return Pipeline(f"of {contract.contract_id}", features, dataset, embargo, HOUSE_INPUTS)
