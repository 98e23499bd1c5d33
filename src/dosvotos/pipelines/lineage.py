"""The picture for kedro-viz: the six layers, each folded, and the vote that no pipeline gives."""

from importlib import import_module
from typing import Any, Final, NoReturn

from kedro.pipeline import Pipeline, node

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
_BETWEEN: Final = {"candidate_model", "promotion_proposals", "production_model"}
"""What the vote reads and makes stands outside the blocks."""


def draw_only(*_: Any) -> NoReturn:
    """Stand in the picture for what no node makes or reads, so that its datasets fold into their block.

    Raises
    ------
    DecisionError
    """
    raise DecisionError(
        "lineage: is a picture and cannot be run, nothing makes what it shows; use 'kedro run' without it"
    )


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
    drawn = Pipeline(layer, inputs=before) + _ends_of(layer, whole, before, tag)
    return Pipeline(drawn, namespace=_LAYERS[tag], prefix_datasets_with_namespace=False)


def _ends_of(layer: Pipeline, whole: Pipeline, before: dict[str, str], tag: str) -> Pipeline:
    """Give a layer's own ends: what only it reads and nothing makes, and what it writes for people."""
    shared = (whole - layer).datasets() | _BETWEEN
    read = {before.get(name, name) for name in layer.inputs() - (shared - before.keys())}
    given = sorted(name for name in read if not name.startswith("params:"))
    kept = sorted(layer.outputs() - shared)
    ends = [node(draw_only, None, given, name="from_outside", tags=tag)] if given else []
    ends += [node(draw_only, kept, None, name="to_people", tags=tag)] if kept else []
    return Pipeline(ends)
