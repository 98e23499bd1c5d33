"""L4, second half: criteria, evidence and the promotion proposal, the first vote."""

from dosvotos.pipelines.promotion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
