"""The pipeline of L0."""

from kedro.pipeline import Pipeline, node

from dosvotos.pipelines.data_acquisition.nodes import (
    fetch_market,
    judge_market,
    report_quality,
    seal_acquisition,
    store_market,
)
from dosvotos.pipelines.data_acquisition.summary import print_acquisition


def create_pipeline() -> Pipeline:
    """L0: source -> judged bars and observations -> database, and a page about their quality."""
    return Pipeline(
        [
            node(
                fetch_market,
                [
                    "params:data_acquisition",
                    "params:sample_market",
                    "params:macro_variables",
                    "stored_market",
                    "provider_keys",
                ],
                ["raw_bars", "raw_macro", "fetch_record"],
                name="fetch_market",
            ),
            node(
                judge_market,
                [
                    "raw_bars",
                    "raw_macro",
                    "fetch_record",
                    "params:macro_variables",
                    "params:quality_thresholds",
                    "stored_market",
                ],
                ["checked_bars", "checked_macro", "data_findings"],
                name="judge_market",
            ),
            node(
                store_market,
                ["checked_bars", "checked_macro", "data_findings", "fetch_record"],
                ["usdcop_m5_ohlcv", "macro_indicators", "data_quarantine"],
                name="store_market",
            ),
            node(
                report_quality,
                [
                    "fetch_record",
                    "usdcop_m5_ohlcv",
                    "macro_indicators",
                    "data_quarantine",
                    "params:macro_variables",
                ],
                ["data_quality_report", "data_quality_summary"],
                name="report_quality",
            ),
            node(
                seal_acquisition,
                [
                    "checked_bars",
                    "checked_macro",
                    "data_findings",
                    "fetch_record",
                    "usdcop_m5_ohlcv",
                    "macro_indicators",
                    "params:macro_variables",
                ],
                "acquisition_record",
                name="seal_acquisition",
            ),
            node(
                print_acquisition,
                ["acquisition_record", "data_findings"],
                None,
                name="print_acquisition",
            ),
        ],
        tags="L0",
    )
