"""The pipeline of L4's backtest."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines.backtest import nodes
from dosvotos.pipelines.named import named_node

_RECORDS = ("experiment_contract", "dataset_record", "training_record")


def create_pipeline() -> Pipeline:
    """L4, first half: the look is written down, then test is opened, run and compared."""
    layer = [
        named_node(
            nodes.open_test,
            [
                *_RECORDS,
                "candidate_model",
                "test",
                "trial_ledger",
                "experiment_contracts",
                "experiment_parameters",
                "clock",
            ],
            "opened_test",
        ),
        named_node(
            nodes.backtest_candidate,
            [*_RECORDS, "candidate_model", "opened_test", "trial_ledger", "gate_policies"],
            "backtest_results",
        ),
        named_node(
            nodes.backtest_production,
            ["experiment_contract", "dataset_record", "candidate_model", "production_model", "opened_test"],
            "production_backtest",
        ),
        named_node(
            nodes.compare_with_production,
            ["experiment_contract", "backtest_results", "production_backtest", "gate_policies"],
            "comparison_report",
        ),
        named_node(
            nodes.seal_backtest,
            [*_RECORDS, "backtest_results", "comparison_report"],
            ["backtest_record", "oos_trials"],
        ),
    ]
    return Pipeline(layer, tags="L4")
