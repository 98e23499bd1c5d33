"""The picture for kedro-viz: the six layers, each folded, and the vote that no pipeline gives."""

from importlib import import_module
from typing import Any, Final, NoReturn

from kedro.pipeline import Pipeline

from dosvotos.errors import DecisionError
from dosvotos.pipelines import PIPELINES
from dosvotos.pipelines.named import named_node

_LAYERS: Final = {
    "L0": "L0_data_acquisition", "L1": "L1_features", "L2": "L2_dataset", "L3": "L3_training",
    "L4": "L4_backtest_promotion", "L5": "L5_inference",
}  # fmt: skip
"""Blocks by the tag of their nodes, named as the catalog names the layers."""
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
    modules = (import_module(f"dosvotos.pipelines.{name}") for name in PIPELINES)
    whole = sum((module.create_pipeline() for module in modules), Pipeline([]))
    vote = named_node(
        second_vote, ["candidate_model", "promotion_proposals"], "production_model", tags="vote"
    )
    return sum((_folded(whole, tag) for tag in _LAYERS), Pipeline([vote]))


def _folded(whole: Pipeline, tag: str) -> Pipeline:
    """Give a layer as one block that unfolds; its datasets keep their names."""
    layer = whole.only_nodes_with_tags(tag)
    before = _AT_L4 if tag == "L4" else {}
    return Pipeline(layer, inputs=before, namespace=_LAYERS[tag], prefix_datasets_with_namespace=False)
