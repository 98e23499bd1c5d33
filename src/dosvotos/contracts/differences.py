"""Compare records by value: what one says first that another does not."""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from dosvotos.contracts.records import LinkRecord, Record
from dosvotos.hashing import canonical_json, digest_bytes

_RELATIVE: Final = 1e-9
"""How far two floats may lie apart: another build of numpy sums in another order."""
_ABSENT: Final = "absent"


class Difference(NamedTuple):
    """A field of which two records say different things."""

    field: str
    """Its path, as ``metrics.sharpe_ratio``."""
    recorded: str
    recomputed: str


def first_difference(recorded: Any, recomputed: Any, path: str = "") -> Difference | None:
    """Find the first value in which two JSON trees differ; None if there is none.

    Integers, texts and truths must be the same, floats within 1e-9 of each other.
    """
    if isinstance(recorded, Mapping) and isinstance(recomputed, Mapping):
        pairs = dict.fromkeys([*recorded, *recomputed])
        for name in pairs:
            both = recorded.get(name, _ABSENT), recomputed.get(name, _ABSENT)
            if (found := first_difference(*both, f"{path}.{name}" if path else str(name))) is not None:
                return found
        return None
    if isinstance(recorded, list) and isinstance(recomputed, list):
        if len(recorded) != len(recomputed):
            return Difference(path, f"{len(recorded)} items", f"{len(recomputed)} items")
        for index, pair in enumerate(zip(recorded, recomputed, strict=True)):
            if (found := first_difference(*pair, f"{path}.{index}")) is not None:
                return found
        return None
    return None if _same(recorded, recomputed) else Difference(path, str(recorded), str(recomputed))


def record_link(name: str, recorded: Mapping[str, Any], recomputed: Mapping[str, Any]) -> LinkRecord:
    """Make the link of a whole record: the hash of its content, or the first field that differs."""
    source, content = f"the {name} made again", canonical_json(recomputed)
    is_equal = canonical_json(recorded) == content  # as nearly always: value by value takes 20 times as long
    if not is_equal and (found := first_difference(recorded, recomputed)) is not None:
        return LinkRecord(record=name, **found._asdict(), source=source)
    digest = digest_bytes(content.encode())
    return LinkRecord(record=name, field="content", recorded=digest, recomputed=digest, source=source)


def record_links(recorded: Mapping[str, Record], recomputed: Mapping[str, Record]) -> tuple[LinkRecord, ...]:
    """Make the links of whole records, the facts of their runs left out."""
    return tuple(record_link(name, one.content, recomputed[name].content) for name, one in recorded.items())


def _same(recorded: Any, recomputed: Any) -> bool:
    if isinstance(recorded, float) and isinstance(recomputed, int | float):
        return math.isclose(recorded, recomputed, rel_tol=_RELATIVE, abs_tol=1e-12)
    return type(recorded) is type(recomputed) and bool(recorded == recomputed)
