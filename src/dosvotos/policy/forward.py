"""Inference of a trained policy in float64 NumPy: backtest (L4) and live (L5) call the same functions."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dosvotos.errors import BundleError
from dosvotos.hashing import digest_arrays
from dosvotos.market.normalization import NormStats
from dosvotos.numerics import tanh_in_place

TARGETS = (-1, 0, 1)
"""Target position of each action, in the order of the policy's outputs."""
MAX_SIGMA = 1000.0
"""A feature so many standard deviations from train's mean is a defect: six real years reach 60."""


@dataclass(frozen=True)
class ServedPolicy:
    """A tanh network, or without hidden layers a linear map, from 15 features to three logits."""

    tensors: dict[str, np.ndarray] = field(repr=False)  # thousands of numbers in a notebook
    """float32: ``hidden.{i}.weight`` (out, in), ``hidden.{i}.bias`` (out,), ``action.weight`` (3, in) and
    ``action.bias`` (3,), as stored in the bundle."""
    norm_stats: NormStats

    @property
    def model_hash(self) -> str:
        """Hash of the tensors: sorted names, dtypes, shapes and little-endian bytes."""
        return digest_arrays(self.tensors)

    def usable(self, features: np.ndarray) -> np.ndarray:
        """Mask the rows of market features (n, 13) that may be decided on: finite, within MAX_SIGMA."""
        with np.errstate(invalid="ignore"):
            mask: np.ndarray = (np.abs(self.norm_stats.distances(features)) <= MAX_SIGMA).all(axis=1)
        return mask

    def observe(self, features: np.ndarray, positions: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Build observations (n, 15) of market features (n, 13), positions (n,) and time_normalized (n,)."""
        observations = np.empty((len(features), features.shape[1] + 2))
        observations[:, :-2], observations[:, -2], observations[:, -1] = (
            self.norm_stats.apply(features), positions, times,
        )  # fmt: skip
        return observations

    def logits(self, observations: np.ndarray) -> np.ndarray:
        """Compute the logits of the three targets, shape (n, 3).

        Raises
        ------
        BundleError
            If an observation is not finite.
        """
        if not np.isfinite(observations).all():
            raise BundleError(
                "policy: observations must be finite, found NaN or infinity; run 'dosvotos audit "
                "verify', since served rows are complete"
            )
        activations = observations
        *hidden, action = self.layers
        for weight, bias in hidden:
            activations = activations @ weight.T
            activations += bias
            tanh_in_place(activations)
        logits: np.ndarray = activations @ action[0].T
        logits += action[1]
        return logits

    def probabilities(self, observations: np.ndarray) -> np.ndarray:
        """Compute the probabilities of the three targets, shape (n, 3)."""
        logits = self.logits(observations)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
        return probabilities

    @cached_property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights and biases in float64, the action's last."""
        n_hidden = sum(name.startswith("hidden.") for name in self.tensors) // 2
        names = [*(f"hidden.{layer}" for layer in range(n_hidden)), "action"]
        return [
            (
                self.tensors[f"{name}.weight"].astype(np.float64),
                self.tensors[f"{name}.bias"].astype(np.float64),
            )
            for name in names
        ]
