"""The pipeline of a refit, in place of L4's two."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines.named import named_node
from dosvotos.pipelines.refit import nodes


def create_pipeline() -> Pipeline:
    """Chain up to L3 -> proposal for shadow -> registry; no look is written and test stays closed."""
    layer = [
        named_node(
            nodes.recompute_refit,
            [
                "experiment_contract",
                "experiment_contracts",
                "usdcop_m5_ohlcv",
                "macro_indicators",
                "training_record",
                "candidate_model",
            ],
            "recomputed_training",
        ),
        named_node(
            nodes.verify_refit,
            [
                "experiment_contract",
                "dataset_record",
                "training_record",
                "recomputed_training",
                "candidate_model",
                "train",
                "val",
                "test",
            ],
            "layer_records",
        ),
        named_node(nodes.propose_refit, ["layer_records", "experiment_contracts"], "promotion_proposal"),
        named_node(
            nodes.submit_refit,
            ["promotion_proposal", "layer_records", "experiment_parameters"],
            "promotion_proposals",
        ),
        named_node(nodes.print_refit, ["promotion_proposal", "promotion_proposals", "gate_policies"], None),
    ]
    return Pipeline(layer, tags="L4")
