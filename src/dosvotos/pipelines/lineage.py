"""The picture for kedro-viz: the six pipelines, each folded, and the vote that no pipeline gives."""

from importlib import import_module
from typing import Any, Final, NoReturn

from kedro.pipeline import Pipeline

from dosvotos.errors import DecisionError
from dosvotos.pipelines.named import named_node

_FOLDED: Final = ("data_acquisition", "dataset", "training", "backtest", "promotion", "inference")
_AT_L4: Final = {"production_model": "production_model_at_l4"}
"""What L4 compares with is the model before the vote: without its own name the picture would be a circle."""


def second_vote(candidate_model: Any, promotion_proposals: Any) -> NoReturn:
    """Stand for a person in the picture; nothing that runs here can give their vote.

    Raises
    ------
    DecisionError
    """
    raise DecisionError(
        "second_vote: a model reaches production by a person's vote, which no pipeline gives; use 'make app' "
        "or 'dosvotos vote', and 'kedro run' without --pipelines lineage, which is a picture"
    )


def create_pipeline() -> Pipeline:
    """All layers in one picture, with the second vote between the candidate and production."""
    vote = named_node(
        second_vote, ["candidate_model", "promotion_proposals"], "production_model", tags="vote"
    )
    return sum((_folded(name) for name in _FOLDED), Pipeline([vote]))


def _folded(name: str) -> Pipeline:
    """Give a pipeline as one block that unfolds; its datasets keep their names."""
    layer = import_module(f"dosvotos.pipelines.{name}").create_pipeline()
    before = {
        old: new for old, new in _AT_L4.items() if name in ("backtest", "promotion") and old in layer.inputs()
    }
    return Pipeline(layer, inputs=before, namespace=name, prefix_datasets_with_namespace=False)
