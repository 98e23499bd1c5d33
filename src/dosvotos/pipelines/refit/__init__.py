"""The second road: a refit of an approved contract is proposed for shadow, and its test stays closed."""

from dosvotos.pipelines.refit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
