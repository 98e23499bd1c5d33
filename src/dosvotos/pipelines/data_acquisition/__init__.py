"""L0: bars and macro values, checked and stored with the moment each became known."""

from dosvotos.pipelines.data_acquisition.pipeline import create_pipeline

__all__ = ["create_pipeline"]
