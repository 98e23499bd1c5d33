"""The pipeline of L4's vote."""

from kedro.pipeline import Pipeline, node

from dosvotos.pipelines.promotion.nodes import (
    announce,
    propose_promotion,
    submit_proposal,
    weigh_evidence,
)


def create_pipeline() -> Pipeline:
    """L4, second half: evidence -> proposal -> the books."""
    return Pipeline(
        [
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
                    "parameters",
                ],
                "promotion_proposals",
                name="submit_proposal",
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
