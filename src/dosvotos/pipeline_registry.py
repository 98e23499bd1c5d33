"""The six pipelines, singly, ``__default__``: L0 to the promotion proposal, and ``refit``."""

from collections import UserDict
from importlib import import_module
from typing import Any

from kedro.pipeline import Pipeline

from dosvotos.pipelines import PIPELINES, REFIT, TO_THE_PROPOSAL


class LazyPipelines(UserDict[str, Any]):
    """Pipelines that are imported when they are asked for: a tick does without what training needs."""

    def __getitem__(self, name: str) -> Pipeline:
        """Sum a pipeline's parts the first time it is asked for, and keep it."""
        made = self.data[name]
        if not isinstance(made, Pipeline):
            modules = [import_module(f"dosvotos.pipelines.{part}") for part in made]
            made = self.data[name] = sum((module.create_pipeline() for module in modules), Pipeline([]))
        return made


def register_pipelines() -> LazyPipelines:
    """Name the pipelines; ``lineage`` is a picture of the six for kedro-viz and cannot be run."""
    singly = {name: (name,) for name in (*PIPELINES, REFIT)}
    return LazyPipelines({**singly, "__default__": TO_THE_PROPOSAL, "lineage": ("lineage",)})
