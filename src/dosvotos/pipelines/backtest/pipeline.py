"""The pipeline of L4's backtest."""

from kedro.pipeline import Pipeline, node

from dosvotos.pipelines.backtest.nodes import (
    backtest_candidate,
    backtest_production,
    compare_with_production,
    open_test,
    seal_backtest,
)

_RECORDS = ("experiment_contract", "dataset_record", "training_record")


def create_pipeline() -> Pipeline:
    """L4, first half: the look is written down, then test is opened, run and compared."""
    return Pipeline(
        [
            node(
                open_test,
                [
                    *_RECORDS,
                    "candidate_model",
                    "test",
                    "trial_ledger",
                    "experiment_contracts",
                    "experiment_parameters",
                ],
                "opened_test",
                name="open_test",
            ),
            node(
                backtest_candidate,
                [*_RECORDS, "candidate_model", "opened_test", "trial_ledger"],
                "backtest_results",
                name="backtest_candidate",
            ),
            node(
                backtest_production,
                [*_RECORDS, "production_model", "opened_test"],
                "production_backtest",
                name="backtest_production",
            ),
            node(
                compare_with_production,
                ["experiment_contract", "backtest_results", "production_backtest"],
                "comparison_report",
                name="compare_with_production",
            ),
            node(
                seal_backtest,
                [*_RECORDS, "backtest_results", "comparison_report"],
                ["backtest_record", "oos_trials"],
                name="seal_backtest",
            ),
        ],
        tags="L4",
    )
