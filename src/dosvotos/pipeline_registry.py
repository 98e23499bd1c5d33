"""The six pipelines, singly, and ``__default__``: L0 to the promotion proposal."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from kedro.pipeline import Pipeline

TO_THE_PROPOSAL = ("data_acquisition", "dataset", "training", "backtest", "promotion")
LAYERS = (*TO_THE_PROPOSAL, "inference")


class PipelinesByName(Mapping[str, Pipeline]):
    """Pipelines that are imported when they are asked for: a tick does without what training needs."""

    def __init__(self, parts: Mapping[str, tuple[str, ...]]) -> None:
        self._parts = parts
        self._made: dict[str, Pipeline] = {}

    def __getitem__(self, name: str) -> Pipeline:
        """The pipeline, or the sum of its parts."""
        if name not in self._made:
            modules = [import_module(f"dosvotos.pipelines.{part}") for part in self._parts[name]]
            self._made[name] = sum((module.create_pipeline() for module in modules), Pipeline([]))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        """The names, as users type them."""
        return iter(self._parts)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._parts)


def register_pipelines() -> PipelinesByName:
    """Name the pipelines; ``lineage`` is all six in one picture, for kedro-viz."""
    singly = {name: (name,) for name in LAYERS}
    return PipelinesByName({**singly, "__default__": TO_THE_PROPOSAL, "lineage": LAYERS})
