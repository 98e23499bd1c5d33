"""The pipeline of L4's vote."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines.named import named_node
from dosvotos.pipelines.promotion import nodes


def create_pipeline() -> Pipeline:
    """L4, second half: chain and evidence -> proposal -> registry."""
    layer = [
        named_node(
            nodes.recompute_data_hashes,
            [
                "experiment_contract",
                "experiment_contracts",
                "usdcop_m5_ohlcv",
                "macro_indicators",
                "train",
                "val",
                "test",
                "backtest_record",
            ],
            "data_hashes",
        ),
        named_node(
            nodes.verify_chain,
            [
                "experiment_contract",
                "dataset_record",
                "training_record",
                "backtest_record",
                "backtest_results",
                "candidate_model",
                "test",
                "data_hashes",
            ],
            ["chain_record", "layer_records"],
        ),
        named_node(nodes.assess_evidence, ["layer_records", "backtest_results", "oos_trials"], "evidence"),
        named_node(
            nodes.propose_promotion,
            ["layer_records", "backtest_results", "comparison_report", "evidence", "oos_trials"],
            "promotion_proposal",
        ),
        named_node(
            nodes.submit_proposal,
            [
                "promotion_proposal",
                "layer_records",
                "backtest_results",
                "comparison_report",
                "experiment_parameters",
            ],
            "promotion_proposals",
        ),
        named_node(nodes.write_validation_pack, ["promotion_proposal", "promotion_proposals"], None),
        named_node(
            nodes.print_summary, ["promotion_proposal", "backtest_results", "promotion_proposals"], None
        ),
    ]
    return Pipeline(layer, tags="L4")
