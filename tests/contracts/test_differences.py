import copy

import pytest

from dosvotos.contracts.differences import first_difference, record_link
from dosvotos.hashing import digest_json

TREE = {
    "name": "demo",
    "bars": 60,
    "whole": 1.0,
    "traded": True,
    "curve": [["2025-07-01", 0.1 + 0.2]],
    "none": None,
}


def changed(path: tuple[str | int, ...], value: object) -> dict:
    tree = copy.deepcopy(TREE)
    part = tree
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return tree


def test_equal_trees_give_the_hash_of_what_was_made_again():
    link = record_link("report", copy.deepcopy(TREE), TREE)
    assert (link.field, link.recorded, link.recomputed) == ("content", digest_json(TREE), digest_json(TREE))


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("curve", 0, 1), 0.3000001, "curve.0.1"),
        (("curve", 0, 0), "2025-07-02", "curve.0.0"),
        (("bars",), 60.0, "bars"),  # equal to Python, not the same record
        (("traded",), 1, "traded"),
        (("none",), "", "none"),
        (("more",), 1, "more"),
    ],
)
def test_the_first_difference_is_named_however_alike_the_rest_is(path, value, field):
    other = changed(path, value)
    link = record_link("report", TREE, other)
    assert link.field == field
    assert (link.field, link.recorded, link.recomputed) == tuple(first_difference(TREE, other))


def test_the_order_of_names_and_the_last_bits_of_a_float_are_no_difference():
    other = dict(reversed(changed(("curve", 0, 1), 0.3).items()))
    assert TREE["curve"][0][1] != 0.3
    link = record_link("report", TREE, other)
    assert (link.field, link.recorded) == ("content", digest_json(other))
