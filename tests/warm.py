"""Compiles once the kernels that every worker of a test run would compile for itself."""

import numpy as np

from dosvotos.backtest.simulate import policy_targets
from dosvotos.market.accounting import Tape, run_account
from dosvotos.market.features import market_features
from dosvotos.market.features.inputs import NO_PUBLICATIONS, publication_arrays
from dosvotos.market.stream import FeatureStream
from tests.conftest import parameters_of


def main() -> None:
    """Compile what the tests run most."""
    _compile_features()
    _compile_backtest()
    _compile_training()


def _compile_features() -> None:
    from tests.market.conftest import simulated_history

    variables = parameters_of().macro_variables.variables
    history = simulated_history(variables)
    market_features(history, variables)
    stream, publications = FeatureStream(variables), publication_arrays(history.macro)
    for opened, close in history.bars["close"].iloc[:2].items():
        stream.add_bar(opened.to_pydatetime(), close, close, close, publications)
        publications = NO_PUBLICATIONS


def _compile_backtest() -> None:
    from tests.backtest.windows import split_rows
    from tests.policy.policies import random_policy

    rows = split_rows(1, 0, 0.0)
    targets = policy_targets(random_policy(0, (8,), 1.0), rows)
    writable = rows["close"].to_numpy(copy=True)
    read_only = writable.copy()
    read_only.flags.writeable = False
    for close in (writable, read_only):  # numba compiles for each kind of array
        run_account(Tape(rows.index, close, np.zeros(len(close))), targets, 1e-4, 1e5)


def _compile_training() -> None:
    from tests.training.fast_ppo_models import market, small

    small(market()).learn(512)


if __name__ == "__main__":
    main()
