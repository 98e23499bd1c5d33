"""L4, first half: the out-of-sample backtest and the comparison with production."""

from dosvotos.pipelines.backtest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
