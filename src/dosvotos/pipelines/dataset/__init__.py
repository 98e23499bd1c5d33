"""L2: one experiment's contract, features and splits."""

from dosvotos.pipelines.dataset.pipeline import create_pipeline

__all__ = ["create_pipeline"]
