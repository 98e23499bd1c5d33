"""Split timestamps into blocks: the sessions as delivered, whatever clock their labels follow."""

from typing import NamedTuple

import numpy as np

from dosvotos.market.microseconds import US_PER_MINUTE

_MIN_GAP_US = 8 * 60 * US_PER_MINUTE
"""Nights between sessions last 19 hours, 14 where the labels change between Bogota and UTC."""
_MIN_SHARE = 0.1
_MANY = 3
"""From so many blocks on, a single one is an exception."""


class Blocks(NamedTuple):
    """Runs of distinct labels without a gap of eight hours; all in microseconds of one clock."""

    labels: np.ndarray
    """Sorted and distinct, int64 of shape (n_labels,)."""
    block: np.ndarray
    """Index of each label's block, shape (n_labels,)."""
    first: np.ndarray
    """First label of each block, shape (n_blocks,)."""
    last: np.ndarray

    @property
    def steps(self) -> np.ndarray:
        """Distance of each label but a block's first to the one before, shape (n_labels - n_blocks,)."""
        steps: np.ndarray = np.diff(self.labels)[self._continues]
        return steps

    @property
    def step_block(self) -> np.ndarray:
        """Block of each of the steps."""
        blocks: np.ndarray = self.block[1:][self._continues]
        return blocks

    @property
    def _continues(self) -> np.ndarray:
        continues: np.ndarray = np.diff(self.block) == 0
        return continues


def split_blocks(labels: np.ndarray) -> Blocks:
    """Split labels, int64 microseconds in any order, into blocks."""
    ordered = np.sort(labels, kind="stable")  # at once if they are in order, where np.unique makes hashes
    distinct = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    starts_block = np.diff(distinct, prepend=distinct[:1] - 2 * _MIN_GAP_US) > _MIN_GAP_US
    ends_block = np.append(starts_block[1:], True)[: len(distinct)]
    return Blocks(distinct, np.cumsum(starts_block) - 1, distinct[starts_block], distinct[ends_block])


def is_systematic(n_found: int, n_all: int) -> bool:
    """Tell whether so many of all blocks are a property of the delivery, not exceptions in it."""
    is_exception = n_found == 1 and n_all >= _MANY
    return n_found >= max(1, _MIN_SHARE * n_all) and not is_exception
