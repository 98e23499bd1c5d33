"""The pipeline of L3."""

from kedro.pipeline import Pipeline, node

from dosvotos.pipelines.training.nodes import seal_training, train_policy, verify_dataset


def create_pipeline() -> Pipeline:
    """L3: verified dataset -> candidate model and its record."""
    return Pipeline(
        [
            node(
                verify_dataset,
                [
                    "experiment_contract",
                    "dataset_record",
                    "train",
                    "val",
                    "norm_stats",
                    "frozen_contracts",
                    "parameters",
                ],
                "verified_splits",
                name="verify_dataset",
            ),
            node(
                train_policy,
                ["experiment_contract", "verified_splits", "norm_stats"],
                ["candidate_model", "training_metrics"],
                name="train_policy",
            ),
            node(
                seal_training,
                ["experiment_contract", "dataset_record", "candidate_model", "training_metrics"],
                "training_record",
                name="seal_training",
            ),
        ],
        tags="L3",
    )
