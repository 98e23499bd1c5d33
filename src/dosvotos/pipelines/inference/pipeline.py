"""The pipeline of L1 and L5."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines.inference import nodes
from dosvotos.pipelines.named import named_node


def create_pipeline() -> Pipeline:
    """L1 and L5: the latest bar's features -> the approved model -> one row."""
    layer = [
        named_node(
            nodes.compute_live_features,
            ["experiment_parameters", "usdcop_m5_ohlcv", "macro_indicators", "last_feature_state"],
            ["live_features", "feature_state"],
            tags="L1",
        ),
        named_node(
            nodes.infer_signal,
            ["live_features", "production_model", "signal_book", "experiment_parameters"],
            ["trading_signals", "inference_record"],
            tags="L5",
        ),
        named_node(nodes.report_signal, ["inference_record", "trading_signals"], None, tags="L5"),
    ]
    return Pipeline(layer)
