"""The pipeline of L4's backtest."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines.backtest import nodes
from dosvotos.pipelines.named import named_node

_RECORDS = ("experiment_contract", "dataset_record", "judged_record")


def create_pipeline() -> Pipeline:
    """L4, first half: candidate entered, look written down; then test is opened, run and compared."""
    layer = [
        named_node(
            nodes.enter_candidate,
            [
                "experiment_contract",
                "dataset_record",
                "training_record",
                "candidate_model",
                "val",
                "models_folder",
                "experiment_contracts",
                "usdcop_m5_ohlcv",
                "macro_indicators",
                "trial_ledger",
                "experiment_parameters",
                "clock",
            ],
            ["judged_model", "judged_record"],
        ),
        named_node(
            nodes.open_test,
            [
                *_RECORDS,
                "judged_model",
                "norm_stats",
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
            [*_RECORDS, "judged_model", "opened_test", "trial_ledger", "gate_policies"],
            "backtest_results",
        ),
        named_node(
            nodes.backtest_production,
            ["experiment_contract", "dataset_record", "judged_model", "production_model", "opened_test"],
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
