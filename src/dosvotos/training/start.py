"""The policy network before the first step: random or trading as the linear rival, flat overnight or not.

Both are written into units of the hidden layers, so that the network keeps its shape: engines, checkpoints,
bundle and served policy know nothing of it, and every weight is trained.
"""

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Final

import numpy as np
import pandas as pd
import torch
from stable_baselines3 import PPO
from torch import nn

from dosvotos.backtest.metrics import daily_returns, sharpe_ratio
from dosvotos.backtest.run import trade
from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.contracts.parameters import Parameters
from dosvotos.market.calendar import LAST_SLOT
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import TARGETS, ServedPolicy
from dosvotos.training.episodes import validation_window
from dosvotos.training.fast_ppo import linear_layers
from dosvotos.training.linear import ENTRY_THRESHOLDS, RIDGE_PENALTIES, ridge_weights, training_set

_POSITION, _CLOCK = FEATURE_ORDER.index("position"), FEATURE_ORDER.index("time_normalized")
_FORECAST_UNIT: Final = 0
_FORECAST_SCALE: Final = 0.5
"""Weight on the forecast in standard deviations."""
_FORECAST_LOGIT: Final = 100.0
"""So large that, but for forecasts near the threshold, a day's 58 draws are all the likeliest action."""
_EXIT_UNIT: Final = -1
_EXIT_STEEPNESS, _EXIT_PASSED, _EXIT_LOGIT = 5000.0, 100.0, 400.0
"""Weights on time_normalized, from layer to layer and on the logits.

So large that the unit is saturated at every bar, and that the optimiser's steps do not move it.
"""


def set_start(
    model: PPO,
    parameters: Parameters,
    train_rows: pd.DataFrame,
    val_rows: pd.DataFrame,
    norm_stats: NormStats,
) -> None:
    """Set an untrained model's policy network as `training.start` and `training.flat_overnight` say.

    Parameters
    ----------
    model : PPO
        Its weights change in place; the value network's stay as drawn.
    parameters : Parameters
    train_rows, val_rows : DataFrame
        Splits of L2, as `train` takes them.
    norm_stats : NormStats

    Notes
    -----
    Of the starts as a linear rival, one a penalty and threshold, it is the one with the highest net Sharpe
    ratio on val, traded as the network trades it: flat overnight where the experiment says so.
    """
    settings = parameters.training
    if settings.start == "random":
        if settings.flat_overnight:
            _add_exit_unit(model)
        return
    tape, sessions = validation_window(val_rows, parameters.calendar)
    best: dict[str, torch.Tensor] = {}
    highest = -np.inf
    for weights in _linear_starts(model, parameters, train_rows, norm_stats):
        account = trade(tape, policy_targets(served_policy(model, norm_stats), val_rows), parameters)
        sharpe = sharpe_ratio(daily_returns(account.equity, tape.times, sessions))
        if not best or (sharpe is not None and sharpe > highest):
            best, highest = weights, highest if sharpe is None else sharpe
    model.policy.load_state_dict(best)


def served_policy(model: PPO, norm_stats: NormStats) -> ServedPolicy:
    """Extract the policy network from SB3's model: float32 tensors under the served policy's names."""
    hidden = linear_layers(model.policy.mlp_extractor.policy_net)
    layers = {f"hidden.{i}": layer for i, layer in enumerate(hidden)} | {"action": model.policy.action_net}
    tensors = {
        f"{name}.{part}": tensor.cpu().numpy().copy()
        for name, layer in layers.items()
        for part, tensor in layer.state_dict().items()
    }
    return ServedPolicy(tensors, norm_stats)


def _linear_starts(
    model: PPO, parameters: Parameters, train_rows: pd.DataFrame, norm_stats: NormStats
) -> Iterator[dict[str, torch.Tensor]]:
    """Set the model to each linear start in turn, and give its weights."""
    features, earned = training_set(train_rows, norm_stats)
    drawn = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    for penalty, threshold in product(RIDGE_PENALTIES, ENTRY_THRESHOLDS):
        weights = ridge_weights(features, earned, penalty)
        model.policy.load_state_dict(drawn)
        _add_forecast_unit(model, weights / (float((features @ weights).std()) or 1.0), threshold)
        if parameters.training.flat_overnight:
            _add_exit_unit(model)
        yield {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}


@torch.no_grad()
def _add_forecast_unit(model: PPO, weights: np.ndarray, threshold: float) -> None:
    """Make each hidden layer's first unit a forecast, by which alone the network trades with a band.

    With the forecast f in standard deviations, the position p and the threshold h, the last layer's unit is
    an increasing odd function T of ``f + h p``; the logits of short, flat and long are ``-c T``, ``c T(h)``
    and ``c T``: the decisions of `linear_policy`.
    """
    hidden, action = linear_layers(model.policy.mlp_extractor.policy_net), model.policy.action_net
    inputs = torch.zeros(len(FEATURE_ORDER))
    inputs[: len(MARKET_FEATURES)] = torch.from_numpy(_FORECAST_SCALE * weights)
    inputs[_POSITION] = _FORECAST_SCALE * threshold
    _set_unit(hidden, _FORECAST_UNIT, inputs, 0.0, 1.0)
    at_threshold = _FORECAST_SCALE * threshold
    for _ in hidden:
        at_threshold = float(np.tanh(at_threshold))
    action.weight[:] = 0.0
    action.weight[:, _FORECAST_UNIT] = _FORECAST_LOGIT * torch.tensor(TARGETS)
    action.bias[TARGETS.index(0)] = _FORECAST_LOGIT * at_threshold


@torch.no_grad()
def _add_exit_unit(model: PPO) -> None:
    """Make each hidden layer's last unit one that leaves the market at a session's last close.

    It is 1 at the session's last two bars, whose decisions fill at the last close and after it, where it
    lifts the logit of flat by four times `_EXIT_LOGIT` above the others; before it is -1 and changes nothing.
    """
    hidden, action = linear_layers(model.policy.mlp_extractor.policy_net), model.policy.action_net
    inputs = torch.zeros(len(FEATURE_ORDER))
    inputs[_CLOCK] = _EXIT_STEEPNESS
    _set_unit(hidden, _EXIT_UNIT, inputs, -_EXIT_STEEPNESS * (LAST_SLOT - 1.5) / LAST_SLOT, _EXIT_PASSED)
    lifted = _EXIT_LOGIT * torch.tensor([1.0 if target == 0 else -1.0 for target in TARGETS])
    action.weight[:, _EXIT_UNIT] = lifted
    action.bias += lifted


def _set_unit(hidden: list[nn.Linear], unit: int, inputs: torch.Tensor, bias: float, passed: float) -> None:
    """Set a unit of each hidden layer that takes the inputs, then itself alone, and that no other takes."""
    hidden[0].weight[unit], hidden[0].bias[unit] = inputs, bias
    for below, layer in pairwise(hidden):
        layer.weight[:, unit % below.out_features] = 0.0
        layer.weight[unit], layer.bias[unit] = 0.0, 0.0
        layer.weight[unit, unit % below.out_features] = passed
