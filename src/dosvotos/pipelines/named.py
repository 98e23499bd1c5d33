"""Nodes that bear their function's name."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, node


def named_node(
    func: Callable[..., Any], inputs: list[str], outputs: str | list[str] | None, tags: str | None = None
) -> Node:
    """Make a node named after its function, so that the name is written once."""
    return node(func, inputs, outputs, name=func.__name__, tags=tags)
