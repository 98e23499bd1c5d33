"""A training between two rollouts in one file, from which it goes on as if it had never stopped.

The file is safetensors with a JSON text in its header: nothing in it is unpickled. It is written whole or not
at all, and read only by the training it was written by: `key` names everything that training depends on.
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
_LIBRARIES = ("numpy", "numba", "torch", "stable-baselines3")


class State(NamedTuple):
    """Arrays by name, and the rest, JSON-like."""

    tensors: dict[str, np.ndarray]
    rest: dict[str, Any]

    @property
    def digest(self) -> str:
        """Hash of both."""
        return combine([digest_arrays(self.tensors), digest_json(self.rest)])


@dataclass(frozen=True)
class Checkpoint:
    """The place of one seed's state.

    Attributes
    ----------
    path : Path
    key : str
        A state under another key belongs to another training and is not taken up.
    """

    path: Path
    key: str

    @classmethod
    def of(
        cls,
        folder: Path,
        parameters: Parameters,
        seed: int,
        rows: tuple[pd.DataFrame, pd.DataFrame],
        norm_stats: NormStats,
    ) -> Self:
        """The checkpoint of one seed on the rows of train and val."""
        sections = {"reward", "curriculum", "trading", "training"}
        settings = parameters.model_dump(mode="json", include=sections)
        settings["training"]["seeds"] = [seed]
        code = {"dosvotos": dosvotos.__version__, **{name: version(name) for name in _LIBRARIES}}
        data = [*map(digest_frame, rows), norm_stats.digest]
        return cls(folder / f"seed_{seed}.safetensors", combine([digest_json([settings, code]), *data]))

    def save(self, state: State) -> None:
        """Replace the state."""
        header = {"key": self.key, "digest": state.digest, "rest": canonical_json(state.rest)}
        write_file(self.path, save_tensors(state.tensors, metadata=header))

    def load(self) -> State | None:
        """The state; None when there is none that this training can go on with, which the log explains."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="np") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state = State(tensors, json.loads(header["rest"]))
        except (SafetensorError, KeyError, ValueError) as error:
            logger.warning("%s cannot be read (%s): this seed begins anew", self.path, error)
            return None
        if header.get("key") != self.key:
            logger.info("%s is of another contract, dataset or version: this seed begins anew", self.path)
            return None
        if header.get("digest") != state.digest:
            logger.warning("%s was altered: this seed begins anew", self.path)
            return None
        return state


def state_of(model: PPO, env: MarketVecEnv) -> State:
    """All that the next rollouts and updates of a model depend on, taken between two rollouts."""
    # SB3 draws its minibatches from NumPy's global generator
    numpy_draws = np.random.get_state(legacy=False)  # noqa: NPY002
    tensors = {
        **{f"policy.{name}": tensor.numpy().copy() for name, tensor in model.policy.state_dict().items()},
        **{name: tensor.numpy().copy() for name, tensor in _moments(model).items()},
        "episode_starts": np.asarray(model._last_episode_starts),
        "draws.torch": torch.get_rng_state().numpy().copy(),
        "draws.numpy": numpy_draws["state"]["key"],
    }
    rest = {
        "timesteps": model.num_timesteps,
        "updates": model._n_updates,
        "episodes": env.episodes.state(),
        "ended_episodes": [dict(episode) for episode in model.ep_info_buffer or ()],
        "numpy_place": [numpy_draws["state"]["pos"], numpy_draws["has_gauss"], numpy_draws["gauss"]],
        "fast_draws": model.draws if isinstance(model, FastPPO) else None,
    }
    return State(tensors, rest)


def restore(model: PPO, env: MarketVecEnv, state: State) -> None:
    """Put a new model and its environment where `state` was taken."""
    tensors, rest = state
    model.policy.load_state_dict(
        {name: torch.from_numpy(tensors[f"policy.{name}"]) for name in model.policy.state_dict()}
    )
    if isinstance(model, FastPPO):
        model.draws = rest["fast_draws"]
    for name, tensor in _moments(model).items():
        tensor.copy_(torch.from_numpy(tensors[name]))
    env.episodes.restore(rest["episodes"])
    model._last_obs, model._last_episode_starts = env.episodes.observe(), tensors["episode_starts"].copy()
    model.num_timesteps, model._n_updates = rest["timesteps"], rest["updates"]
    model.ep_info_buffer = deque(rest["ended_episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)  # the market's episodes have none
    torch.set_rng_state(torch.from_numpy(tensors["draws.torch"].copy()))
    place, has_gauss, gauss = rest["numpy_place"]
    key = {"key": tensors["draws.numpy"], "pos": place}
    np.random.set_state(  # noqa: NPY002
        {"bit_generator": "MT19937", "state": key, "has_gauss": has_gauss, "gauss": gauss}
    )


def _moments(model: PPO) -> dict[str, torch.Tensor]:
    """Adam's own tensors by name; before its first step they are made, as zeros."""
    optimizer = model.policy.optimizer
    moments: dict[str, torch.Tensor] = {}
    if isinstance(model, FastPPO):
        model.adopt_moments()
    for place, parameter in enumerate(optimizer.param_groups[0]["params"]):
        state = optimizer.state[parameter]
        if not state:
            nothing = torch.zeros_like(parameter.data)
            state.update(step=torch.tensor(0.0), exp_avg=nothing, exp_avg_sq=nothing.clone())
        moments |= {f"adam.{place}.{name}": tensor for name, tensor in state.items()}
    return moments
