"""Blocks of labels: the distinct ones in order, however they come."""

import numpy as np
import pytest

from dosvotos.timestamps.blocks import split_blocks

HOUR = 3_600_000_000


@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled"])
def test_labels_are_distinct_and_ordered_as_numpys_unique_gives_them(order):
    rng = np.random.default_rng(1)
    labels = np.sort(rng.integers(-50, 50, 300)) * HOUR
    labels = {"sorted": labels, "reversed": labels[::-1], "shuffled": rng.permutation(labels)}[order]
    blocks = split_blocks(labels)
    np.testing.assert_array_equal(blocks.labels, np.unique(labels))
    gaps = np.diff(np.unique(labels)) > 8 * HOUR
    np.testing.assert_array_equal(blocks.block, np.concatenate([[0], np.cumsum(gaps)]))


def test_no_labels_make_no_block():
    blocks = split_blocks(np.array([], dtype=np.int64))
    assert [len(part) for part in blocks] == [0, 0, 0, 0]
