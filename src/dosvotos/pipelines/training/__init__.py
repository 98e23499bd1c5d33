"""L3: PPO on the market, to a candidate model."""

from dosvotos.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
