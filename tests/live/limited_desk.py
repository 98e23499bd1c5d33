"""Models that always want the same, or the opposite of what they hold, and a house with other limits."""

import numpy as np
import pytest
from sqlalchemy import Engine

from dosvotos.contracts.features import FEATURE_ORDER
from dosvotos.database.connection import reading
from dosvotos.policy.forward import ServedPolicy
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.house_acts import SetPolicy
from dosvotos.promotion.transaction import carry_out
from tests.proposal_fixtures import tiny_policy
from tests.team import WHY, now

ON_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
"""For tests whose SQL others ask of both databases."""


def policy_of_position(short: float, flat: float, long: float, flips: bool = False) -> ServedPolicy:
    """A policy with fixed logits; with `flips` it leaves whatever it holds for the other side."""
    weight = np.zeros((3, len(FEATURE_ORDER)), dtype=np.float32)
    weight[:, FEATURE_ORDER.index("position")] = (9.0, 0.0, -9.0) if flips else 0.0
    hidden = np.eye(len(FEATURE_ORDER), dtype=np.float32)
    tensors = {
        "hidden.0.weight": hidden, "hidden.0.bias": np.zeros(len(FEATURE_ORDER), dtype=np.float32),
        "action.weight": weight, "action.bias": np.array([short, flat, long], dtype=np.float32),
    }  # fmt: skip
    return ServedPolicy(tensors, tiny_policy(1).norm_stats)


LONG = policy_of_position(0.0, 0.0, 5.0)
FLIPPING = policy_of_position(0.0, -99.0, 1.0, flips=True)


SHORT = policy_of_position(5.0, 0.0, 0.0)


def set_limits(engine: Engine, **limits: float) -> None:
    """Let the house set a policy with other limits."""
    with reading(engine) as connection:
        current = current_policy(connection)
    changed = current.live_limits.model_copy(update=limits)
    carry_out(engine, SetPolicy(WHY, current.model_copy(update={"live_limits": changed})), "bob", now())
