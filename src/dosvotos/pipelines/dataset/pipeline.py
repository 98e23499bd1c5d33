"""The pipeline of L2."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines.dataset import nodes
from dosvotos.pipelines.named import BESIDE_TRAINING, named_node


def create_pipeline() -> Pipeline:
    """L2: draft of the contract -> history as of the contract -> features -> splits and their record."""
    layer = [
        named_node(
            nodes.freeze_contract,
            ["experiment_parameters", "frozen_contracts", "usdcop_m5_ohlcv", "trial_ledger", "clock"],
            "experiment_contract",
        ),
        named_node(
            nodes.select_history,
            ["experiment_contract", "usdcop_m5_ohlcv", "macro_indicators"],
            ["session_bars", "known_macro"],
        ),
        named_node(
            nodes.compute_features, ["experiment_contract", "session_bars", "known_macro"], "features"
        ),
        named_node(
            nodes.split_dataset, ["experiment_contract", "features"], ["train", "val", "test", "norm_stats"]
        ),
        named_node(
            nodes.seal_dataset,
            ["experiment_contract", "session_bars", "known_macro", "train", "val", "test", "norm_stats"],
            "dataset_record",
        ),
        named_node(
            nodes.report_dataset,
            ["experiment_contract", "dataset_record", "train", "val", "norm_stats", "known_macro"],
            "dataset_report",
            tags=BESIDE_TRAINING,
        ),
    ]
    return Pipeline(layer, tags="L2")
