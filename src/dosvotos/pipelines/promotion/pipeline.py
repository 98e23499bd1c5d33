"""The pipeline of L4's vote."""

from kedro.pipeline import Pipeline, node

from dosvotos.pipelines.promotion.nodes import (
    assess_evidence,
    print_summary,
    propose_promotion,
    recompute_data_hashes,
    submit_proposal,
    verify_chain,
    write_validation_pack,
)


def create_pipeline() -> Pipeline:
    """L4, second half: chain and evidence -> proposal -> registry."""
    return Pipeline(
        [
            node(
                recompute_data_hashes,
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
                name="recompute_data_hashes",
            ),
            node(
                verify_chain,
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
                name="verify_chain",
            ),
            node(
                assess_evidence,
                ["layer_records", "backtest_results", "oos_trials"],
                "evidence",
                name="assess_evidence",
            ),
            node(
                propose_promotion,
                ["layer_records", "backtest_results", "comparison_report", "evidence"],
                "promotion_proposal",
                name="propose_promotion",
            ),
            node(
                submit_proposal,
                [
                    "promotion_proposal",
                    "layer_records",
                    "backtest_results",
                    "comparison_report",
                    "experiment_parameters",
                ],
                "promotion_proposals",
                name="submit_proposal",
            ),
            node(
                write_validation_pack,
                ["promotion_proposal", "promotion_proposals"],
                None,
                name="write_validation_pack",
            ),
            node(
                print_summary,
                ["promotion_proposal", "backtest_results", "promotion_proposals"],
                None,
                name="print_summary",
            ),
        ],
        tags="L4",
    )
