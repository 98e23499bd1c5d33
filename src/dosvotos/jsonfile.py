"""JSON that can be written and read in one way only."""

import json
from typing import Any


def write_json(value: Any) -> bytes:
    """Write a JSON-like value for people: indented, its keys sorted, so that equal content is equal bytes."""
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def read_json(content: bytes | str) -> Any:
    """Parse JSON; a repeated key, of which readers take one or the other, and NaN are refused.

    Raises
    ------
    ValueError
        Naming the key or the place.
    """
    try:
        return json.loads(content, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply to be read") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} stands twice in one object")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
