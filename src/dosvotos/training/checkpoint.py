"""Checkpoints: a training's whole state between two rollouts, in one file a seed.

A resumed training equals an uninterrupted one to the last bit. The file is safetensors with JSON in its
header, so that nothing is unpickled. It is replaced atomically, and restored only if its `key`, a hash of all
that the training depends on, is the same.
"""

import json
import logging
from collections import deque
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors
from stable_baselines3 import PPO

import dosvotos
from dosvotos.contracts.parameters import Parameters
from dosvotos.files import write_file
from dosvotos.hashing import canonical_json, combine, digest_arrays, digest_frame, digest_json
from dosvotos.market.normalization import NormStats
from dosvotos.training.environment import MarketVecEnv
from dosvotos.training.fast_ppo import FastPPO

logger = logging.getLogger(__name__)
_FORMAT = 2
"""Of a state; one of another format is not restored."""
_LIBRARIES = ("numpy", "numba", "torch", "stable-baselines3")


class TrainingState(NamedTuple):
    """The state of a training: arrays by name, and JSON values."""

    tensors: dict[str, np.ndarray]
    values: dict[str, Any]

    @property
    def content_hash(self) -> str:
        """Hash of arrays and values."""
        return combine([digest_arrays(self.tensors), digest_json(self.values)])


@dataclass(frozen=True)
class CheckpointFile:
    """The checkpoint file of one seed."""

    path: Path
    key: str
    """Hash of all that the training depends on; a state with another key is not restored."""

    @classmethod
    def for_seed(
        cls,
        folder: Path,
        parameters: Parameters,
        seed: int,
        rows: tuple[pd.DataFrame, pd.DataFrame],
        norm_stats: NormStats,
    ) -> Self:
        """Return the checkpoint file of one seed, given the rows of train and val."""
        sections = {"reward", "curriculum", "trading", "training"}
        settings = parameters.model_dump(mode="json", include=sections)
        settings["training"]["seeds"] = [seed]
        code = {"dosvotos": dosvotos.__version__, **{name: version(name) for name in _LIBRARIES}}
        data = [*map(digest_frame, rows), norm_stats.digest]
        of_settings = digest_json([_FORMAT, settings, code])
        return cls(folder / f"seed_{seed}.safetensors", combine([of_settings, *data]))

    def save(self, state: TrainingState) -> None:
        """Write the state, replacing the file atomically."""
        header = {"key": self.key, "digest": state.content_hash, "rest": canonical_json(state.values)}
        write_file(self.path, save_tensors(state.tensors, metadata=header))

    def load(self) -> TrainingState | None:
        """Read the state; None, and a reason in the log, if this training cannot resume from it."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="np") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state = TrainingState(tensors, json.loads(header["rest"]))
        except (SafetensorError, KeyError, ValueError) as error:
            logger.warning("%s cannot be read (%s): this seed begins anew", self.path, error)
            return None
        if header.get("key") != self.key:
            logger.info("%s is of another contract, dataset or version: this seed begins anew", self.path)
            return None
        if header.get("digest") != state.content_hash:
            logger.warning("%s was altered: this seed begins anew", self.path)
            return None
        return state


def capture_state(model: PPO, env: MarketVecEnv) -> TrainingState:
    """Capture all that the next rollouts and updates depend on; to be called between two rollouts."""
    # SB3 permutes its minibatches with NumPy's global generator
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002
    tensors = {
        **{f"policy.{name}": tensor.numpy().copy() for name, tensor in model.policy.state_dict().items()},
        **{name: tensor.numpy().copy() for name, tensor in _optimizer_tensors(model).items()},
        "episode_starts": np.asarray(model._last_episode_starts),
        "draws.torch": torch.get_rng_state().numpy().copy(),
        "draws.numpy": numpy_state["state"]["key"],
    }
    values = {
        "timesteps": model.num_timesteps,
        "updates": model._n_updates,
        "episodes": env.episodes.state(),
        "ended_episodes": [dict(episode) for episode in model.ep_info_buffer or ()],
        "numpy_place": [numpy_state["state"]["pos"], numpy_state["has_gauss"], numpy_state["gauss"]],
        "fast_draws": model.generator.bit_generator.state if isinstance(model, FastPPO) else None,
    }
    return TrainingState(tensors, values)


def restore_state(model: PPO, env: MarketVecEnv, state: TrainingState) -> None:
    """Restore a captured state into a new model and its environment."""
    tensors, values = state
    model.policy.load_state_dict(
        {name: torch.from_numpy(tensors[f"policy.{name}"]) for name in model.policy.state_dict()}
    )
    if isinstance(model, FastPPO):
        model.generator.bit_generator.state = values["fast_draws"]
    for name, tensor in _optimizer_tensors(model).items():
        tensor.copy_(torch.from_numpy(tensors[name]))
    env.episodes.restore(values["episodes"])
    model._last_obs, model._last_episode_starts = env.episodes.observe(), tensors["episode_starts"].copy()
    model.num_timesteps, model._n_updates = values["timesteps"], values["updates"]
    model.ep_info_buffer = deque(values["ended_episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)  # the market's episodes have none
    torch.set_rng_state(torch.from_numpy(tensors["draws.torch"].copy()))
    pos, has_gauss, gauss = values["numpy_place"]
    key = {"key": tensors["draws.numpy"], "pos": pos}
    np.random.set_state(  # noqa: NPY002
        {"bit_generator": "MT19937", "state": key, "has_gauss": has_gauss, "gauss": gauss}
    )


def _optimizer_tensors(model: PPO) -> dict[str, torch.Tensor]:
    """Return Adam's own tensors by name, not copies; before the first step create them as zeros."""
    optimizer = model.policy.optimizer
    tensors: dict[str, torch.Tensor] = {}
    if isinstance(model, FastPPO):
        model.bind_moments()
    for index, parameter in enumerate(optimizer.param_groups[0]["params"]):
        state = optimizer.state[parameter]
        if not state:
            zeros = torch.zeros_like(parameter.data)
            state.update(step=torch.tensor(0.0), exp_avg=zeros, exp_avg_sq=zeros.clone())
        tensors |= {f"adam.{index}.{name}": tensor for name, tensor in state.items()}
    return tensors
