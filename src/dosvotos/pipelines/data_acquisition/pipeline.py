"""The pipeline of L0."""

from kedro.pipeline import Pipeline

from dosvotos.pipelines.data_acquisition import nodes
from dosvotos.pipelines.data_acquisition.summary import print_acquisition
from dosvotos.pipelines.named import BESIDE_TRAINING, named_node


def create_pipeline() -> Pipeline:
    """L0: source -> judged bars and observations -> database, and a page about their quality."""
    layer = [
        named_node(
            nodes.fetch_market,
            [
                "params:data_acquisition",
                "params:sample_market",
                "params:macro_variables",
                "stored_market",
                "provider_keys",
                "params:calendar",
            ],
            ["raw_bars", "raw_macro", "fetch_record", "unreadable_rows"],
        ),
        named_node(
            nodes.judge_market,
            [
                "raw_bars",
                "raw_macro",
                "unreadable_rows",
                "fetch_record",
                "stored_market",
                "experiment_parameters",
            ],
            ["checked_bars", "checked_macro", "data_findings"],
        ),
        named_node(
            nodes.store_market,
            [
                "checked_bars",
                "checked_macro",
                "data_findings",
                "fetch_record",
                "params:data_acquisition",
                "stored_market",
            ],
            ["usdcop_m5_ohlcv", "macro_indicators", "data_quarantine"],
        ),
        named_node(
            nodes.report_quality,
            [
                "fetch_record",
                "usdcop_m5_ohlcv",
                "macro_indicators",
                "data_quarantine",
                "params:macro_variables",
                "params:calendar",
            ],
            ["data_quality_report", "data_quality_summary"],
            tags=BESIDE_TRAINING,
        ),
        named_node(
            nodes.seal_acquisition,
            [
                "checked_bars",
                "checked_macro",
                "data_findings",
                "fetch_record",
                "usdcop_m5_ohlcv",
                "macro_indicators",
                "params:macro_variables",
                "params:calendar",
            ],
            "acquisition_record",
        ),
        named_node(print_acquisition, ["acquisition_record", "data_findings"], None),
    ]
    return Pipeline(layer, tags="L0")
