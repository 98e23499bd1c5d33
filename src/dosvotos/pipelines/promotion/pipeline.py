"""The pipeline of L4's vote."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines.named import BESIDE_TRAINING, named_node
from dosvotos.pipelines.promotion import nodes


def create_pipeline() -> Pipeline:
    """L4, second half: chain and evidence -> proposal -> registry."""
    layer = [
        named_node(
            nodes.recompute_dataset,
            ["experiment_contract", "experiment_contracts", "usdcop_m5_ohlcv", "macro_indicators"],
            ["recomputed_dataset", "recomputed_rows"],
            tags=BESIDE_TRAINING,
        ),
        named_node(
            nodes.recompute_records,
            [
                "experiment_contract",
                "experiment_contracts",
                "recomputed_dataset",
                "recomputed_rows",
                "judged_record",
                "judged_model",
                "production_model",
                "oos_trials",
            ],
            "recomputed_records",
        ),
        named_node(
            nodes.collect_records,
            [
                "dataset_record",
                "judged_record",
                "backtest_record",
                "backtest_results",
                "comparison_report",
                "train",
                "val",
                "test",
            ],
            ["pipeline_records", "split_file_hashes"],
        ),
        named_node(
            nodes.verify_chain,
            [
                "experiment_contract",
                "pipeline_records",
                "recomputed_records",
                "judged_model",
                "split_file_hashes",
            ],
            ["chain_record", "layer_records"],
        ),
        named_node(
            nodes.assess_evidence,
            ["layer_records", "recomputed_records", "oos_trials", "gate_policies"],
            "evidence",
        ),
        named_node(
            nodes.propose_promotion,
            ["layer_records", "recomputed_records", "evidence", "gate_policies"],
            "promotion_proposal",
        ),
        named_node(
            nodes.submit_proposal,
            ["promotion_proposal", "layer_records", "recomputed_records", "experiment_parameters"],
            "promotion_proposals",
        ),
        named_node(nodes.write_dossiers_again, ["promotion_proposal", "promotion_proposals"], None),
        named_node(nodes.write_validation_pack, ["promotion_proposal", "promotion_proposals"], None),
        named_node(
            nodes.print_summary, ["promotion_proposal", "recomputed_records", "promotion_proposals"], None
        ),
    ]
    return Pipeline(layer, tags="L4")
