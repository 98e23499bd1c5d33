"""The pipeline of L2."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines.dataset.nodes import (
    compute_features,
    freeze_contract,
    register_contract,
    report_dataset,
    seal_dataset,
    select_history,
    split_dataset,
)
from dosvotos.pipelines.named import named_node


def create_pipeline() -> Pipeline:
    """L2: contract -> history as of the contract -> features -> splits and their record."""
    return Pipeline(
        [
            named_node(
                freeze_contract,
                ["experiment_parameters", "frozen_contracts", "usdcop_m5_ohlcv"],
                "experiment_contract",
            ),
            named_node(
                select_history,
                ["experiment_contract", "usdcop_m5_ohlcv", "macro_indicators"],
                ["session_bars", "known_macro"],
            ),
            named_node(compute_features, ["experiment_contract", "session_bars", "known_macro"], "features"),
            named_node(
                split_dataset, ["experiment_contract", "features"], ["train", "val", "test", "norm_stats"]
            ),
            named_node(
                seal_dataset,
                ["experiment_contract", "session_bars", "known_macro", "train", "val", "test", "norm_stats"],
                "dataset_record",
            ),
            named_node(
                report_dataset,
                ["experiment_contract", "dataset_record", "train", "val", "norm_stats", "known_macro"],
                ["dataset_report", "feature_drift"],
            ),
            named_node(register_contract, ["experiment_contract", "dataset_record"], "experiment_contracts"),
        ],
        tags="L2",
    )
