"""The pipeline of L0."""

from kedro.pipeline import Pipeline, node

from dosvotos.pipelines.data_acquisition.nodes import (
    batch_for_storage,
    check_market,
    fetch_market,
    seal_acquisition,
)


def create_pipeline() -> Pipeline:
    """L0: source -> checked bars and observations -> database."""
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
                check_market,
                ["raw_bars", "raw_macro", "fetch_record", "params:macro_variables"],
                ["checked_bars", "checked_macro", "refused_subjects"],
                name="check_market",
            ),
            node(
                batch_for_storage,
                ["checked_bars", "checked_macro", "fetch_record"],
                ["usdcop_m5_ohlcv", "macro_indicators"],
                name="store_market",
            ),
            node(
                seal_acquisition,
                [
                    "checked_bars",
                    "checked_macro",
                    "refused_subjects",
                    "fetch_record",
                    "usdcop_m5_ohlcv",
                    "macro_indicators",
                    "params:macro_variables",
                ],
                "acquisition_record",
                name="seal_acquisition",
            ),
        ],
        tags="L0",
    )
