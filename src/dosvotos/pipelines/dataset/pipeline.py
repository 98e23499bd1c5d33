"""The pipeline of L2."""

from kedro.pipeline import Pipeline, node

from dosvotos.pipelines.dataset.nodes import (
    compute_features,
    freeze_contract,
    register_contract,
    report_dataset,
    seal_dataset,
    select_history,
    split_dataset,
)


def create_pipeline() -> Pipeline:
    """L2: contract -> history as of the contract -> features -> splits and their record."""
    return Pipeline(
        [
            node(
                freeze_contract,
                ["experiment_parameters", "frozen_contracts", "usdcop_m5_ohlcv"],
                "experiment_contract",
                name="freeze_contract",
            ),
            node(
                select_history,
                ["experiment_contract", "usdcop_m5_ohlcv", "macro_indicators"],
                ["session_bars", "known_macro"],
                name="select_history",
            ),
            node(
                compute_features,
                ["experiment_contract", "session_bars", "known_macro"],
                "features",
                name="compute_features",
            ),
            node(
                split_dataset,
                ["experiment_contract", "features"],
                ["train", "val", "test", "norm_stats"],
                name="split_dataset",
            ),
            node(
                seal_dataset,
                ["experiment_contract", "session_bars", "known_macro", "train", "val", "test", "norm_stats"],
                "dataset_record",
                name="seal_dataset",
            ),
            node(
                report_dataset,
                ["experiment_contract", "dataset_record", "train", "val", "norm_stats", "known_macro"],
                ["dataset_report", "feature_drift"],
                name="report_dataset",
            ),
            node(
                register_contract,
                ["experiment_contract", "dataset_record"],
                "experiment_contracts",
                name="register_contract",
            ),
        ],
        tags="L2",
    )
