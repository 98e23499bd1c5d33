"""The pipeline of L3."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines.named import named_node
from dosvotos.pipelines.training import nodes


def create_pipeline() -> Pipeline:
    """L3: verified dataset -> frozen contract -> candidate model, its record and a report."""
    layer = [
        named_node(
            nodes.verify_dataset,
            ["experiment_contract", "dataset_record", "train", "val", "norm_stats", "features"],
            "verified_splits",
        ),
        named_node(
            nodes.register_contract,
            [
                "experiment_contract",
                "verified_splits",
                "frozen_contracts",
                "usdcop_m5_ohlcv",
                "trial_ledger",
                "experiment_parameters",
                "clock",
            ],
            "experiment_contracts",
        ),
        named_node(
            nodes.train_policy,
            [
                "experiment_contract",
                "dataset_record",
                "verified_splits",
                "norm_stats",
                "training_checkpoints",
                "experiment_contracts",
                "trial_ledger",
                "clock",
            ],
            ["candidate_model", "training_metrics"],
        ),
        named_node(
            nodes.seal_training,
            [
                "experiment_contract",
                "dataset_record",
                "candidate_model",
                "training_metrics",
                "verified_splits",
            ],
            "training_record",
        ),
        named_node(nodes.delete_checkpoints, ["training_record", "training_checkpoints"], None),
        named_node(
            nodes.report_training,
            ["experiment_contract", "training_record", "training_metrics"],
            "training_report",
        ),
    ]
    return Pipeline(layer, tags="L3")
