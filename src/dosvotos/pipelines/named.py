"""Nodes that bear their function's name."""

from collections.abc import Callable
from typing import Any, Final

from kedro.pipeline import Node, node

BESIDE_TRAINING: Final = "beside_training"
"""Tag of nodes that need nothing of a training, and of which no node before a training needs anything."""


def named_node(
    func: Callable[..., Any], inputs: list[str], outputs: str | list[str] | None, tags: str | None = None
) -> Node:
    """Make a node named after its function, so that the name is written once."""
    return node(func, inputs, outputs, name=func.__name__, tags=tags)
