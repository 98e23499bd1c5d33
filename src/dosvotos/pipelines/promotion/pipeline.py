"""The pipeline of L4's vote."""

from kedro.pipeline import Pipeline, node

from dosvotos.pipelines.promotion.nodes import (
    announce,
    find_data_hashes,
    propose_promotion,
    submit_proposal,
    verify_chain,
    weigh_evidence,
    write_validation_pack,
)


def create_pipeline() -> Pipeline:
    """L4, second half: chain and evidence -> proposal -> the books."""
    return Pipeline(
        [
            node(
                find_data_hashes,
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
                name="find_data_hashes",
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
                weigh_evidence,
                [
                    "experiment_contract",
                    "dataset_record",
                    "training_record",
                    "backtest_record",
                    "backtest_results",
                    "oos_trials",
                ],
                "evidence",
                name="weigh_evidence",
            ),
            node(
                propose_promotion,
                [
                    "experiment_contract",
                    "dataset_record",
                    "training_record",
                    "backtest_record",
                    "backtest_results",
                    "comparison_report",
                    "evidence",
                    "chain_record",
                ],
                "promotion_proposal",
                name="propose_promotion",
            ),
            node(
                submit_proposal,
                [
                    "promotion_proposal",
                    "training_record",
                    "dataset_record",
                    "backtest_results",
                    "comparison_report",
                    "experiment_contract",
                    "layer_records",
                    "parameters",
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
                announce,
                ["promotion_proposal", "backtest_results", "promotion_proposals"],
                None,
                name="announce",
            ),
        ],
        tags="L4",
    )
