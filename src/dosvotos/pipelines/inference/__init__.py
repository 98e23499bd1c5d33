"""L1 and L5: one tick, from the latest bar to one signal."""

from dosvotos.pipelines.inference.pipeline import create_pipeline

__all__ = ["create_pipeline"]
