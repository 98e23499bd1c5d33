"""The first call of the code under test, in a process of its own, on a history that was cut."""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Final

import numpy as np
import pandas as pd
from numpy.random import Generator

from dosvotos import own_process
from dosvotos.errors import DataError
from dosvotos.leakage.perturbations import drop_events, events_after
from dosvotos.leakage.pipeline import FeaturePipeline, Features
from dosvotos.leakage.probe_log import ProbeLog
from dosvotos.leakage.report import format_change, format_time
from dosvotos.market.calendar import BAR
from dosvotos.market.features import MarketHistory

_START: Final = "spawn" if sys.platform == "win32" else "forkserver"
_PRELOADED: Final = ["dosvotos.market.features.compute", "dosvotos.leakage.fresh_process"]
"""What the server that processes come from has imported; it has called none of it."""
_EARLIEST: Final = 0.4
"""Share of the history before which it is not cut: a scaler needs something to be fitted on."""


class FirstCall:
    """The code under test as it is before its first call here, ready for a first call elsewhere.

    Parameters
    ----------
    pipeline : FeaturePipeline
        Not called in this process yet. A function of a module is imported anew there; another one is sent
        with what it refers to.
    """

    def __init__(self, pipeline: FeaturePipeline) -> None:
        self._pipeline = pipeline
        self.problem = ""
        """Why it cannot be sent; empty if it can."""
        try:
            self._code = own_process.pack(pipeline.features)
        except Exception as error:  # whatever the code refers to may refuse to be pickled, in any way
            self.problem = f"{type(error).__name__}: {error}"

    def compute(self, history: MarketHistory, names: tuple[str, ...]) -> Features:
        """As `FeaturePipeline.compute`, in a fresh process."""
        return replace(self._pipeline, features=self._call).compute(history, names)

    def _call(self, bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
        context = get_context(_START)
        if _START == "forkserver":
            context.set_forkserver_preload(_PRELOADED)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            answer: pd.DataFrame = own_process.unpack(pool.submit(_call, self._code, bars, macro).result())
        return answer


def call_first_on_cut_history(
    log: ProbeLog, first_call: FirstCall, history: MarketHistory, features: Features, rng: Generator
) -> None:
    """Cut a history at a bar's close and make the first call of a fresh process on it.

    No row up to the bar may differ from the whole history's, which was this process's first call: what was
    fitted or computed once, on the first history seen, differs.
    """
    n_bars = len(history.bars)
    bar = int(rng.integers(int(_EARLIEST * n_bars), n_bars - 1))
    close = features.times[bar] + BAR
    if first_call.problem:
        log.add_note(f"no first call in a fresh process: the code cannot be sent: {first_call.problem}")
        return
    cut = drop_events(history, events_after(history, close))
    try:
        fresh = first_call.compute(cut, log.names).values[: bar + 1]
    except DataError as error:
        log.add_note(f"no first call in a fresh process on bars up to {format_time(close - BAR)}: {error}")
        return
    log.probes["fresh process"] += 1
    past = features.values[: bar + 1]
    moved = log.differs(fresh, past)
    log.record_comparison(past)
    for name, row, column in log.new_violations(moved, "kept", at=-1):
        time, share = features.times[row], moved[:, column].sum() / max(1, np.isfinite(past[:, column]).sum())
        detail = (
            f"{name} at {format_time(time)} {format_change(fresh[row, column], past[row, column])} between a "
            f"first call on what was known at {format_time(close)}, in a fresh process, and one on the whole "
            "history"
        )
        fitted = "a mean, spread or scaler fitted once, on the first history seen"
        hint = fitted if share > 0.5 else "a table computed once, or any value kept between calls"
        log.add_finding(name, "kept", time, detail, hint)


def _call(code: bytes, bars: pd.DataFrame, macro: pd.DataFrame) -> bytes:
    """Call the code; its answer is pickled by value, since classes of it may be unknown to the caller."""
    answer: bytes = own_process.pack(own_process.unpack(code)(bars, macro))
    return answer
