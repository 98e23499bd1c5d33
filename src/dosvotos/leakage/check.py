"""The leak check: all probes, on excerpts spread over a history."""

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Final

import numpy as np
import pandas as pd
from numpy.random import Generator

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.errors import DataError
from dosvotos.leakage import dataset_probes, future_probes, input_probes, publication_probes
from dosvotos.leakage.fresh_process import FirstCall, call_first_on_cut_history
from dosvotos.leakage.perturbations import slice_history, stress_history
from dosvotos.leakage.pipeline import BARS, CLOCK, FeaturePipeline, Features
from dosvotos.leakage.probe_bars import BAR_CHOICES, ProbeContext
from dosvotos.leakage.probe_log import Excerpt, ProbeLog
from dosvotos.leakage.report import LeakReport
from dosvotos.market.calendar import session_dates
from dosvotos.market.features import MarketHistory

DEFAULT_PROBES: Final = 200
EXCERPT_SESSIONS: Final = 30
"""Length of an excerpt; doubled until every feature with values over all has some in an excerpt."""
_INPUT_EXCERPTS: Final = 2
"""Excerpts in which each input is changed to see what it moves."""
_SCHEDULE: Final = (
    ("replay", ""), ("replay", "stressed"), ("publication", ""), ("replay", "stressed"), ("expiry", ""),
    ("rewrite", ""), ("replay", "stressed"), ("publication", ""), ("label", "stressed"), ("expiry", ""),
    ("replay", ""), ("rewrite", "stressed"),
)  # fmt: skip
"""Kinds of probes in the order of their turns, and whether on the stressed excerpt."""
_STRESSED_SUFFIX: Final = "; on your data with publications delayed, revised and missing"


def check_leaks(
    pipeline: FeaturePipeline,
    history: MarketHistory,
    variables: Mapping[str, MacroVariable],
    n_probes: int = DEFAULT_PROBES,
    seed: int = 0,
    on_probe: Callable[[], None] = lambda: None,
) -> LeakReport:
    """Probe the code under test on a history and report what sees the future.

    Parameters
    ----------
    pipeline : FeaturePipeline
        Not called in this process before, or what it kept from then is not noticed.
    history : MarketHistory
        Session bars and observations, as the user of the code has them.
    variables : mapping of MacroVariable by name
        Their age limits.
    n_probes : int
        Probes of features, after those of inputs and before those of splits.
    seed : int
    on_probe : callable, optional
        Called after each of the `n_probes`.

    Returns
    -------
    LeakReport

    Raises
    ------
    DataError
        If the code fails on the whole history, or there are too few bars to probe.
    """
    if len(np.unique(session_dates(pd.DatetimeIndex(history.bars.index)))) < 3:
        raise DataError(
            f"leakcheck: needs at least 3 sessions of bars, found {len(history.bars)} bars; run 'kedro "
            "run --pipelines data_acquisition' first"
        )
    rng = np.random.default_rng(seed)
    first_call = None if pipeline.stateless else FirstCall(pipeline)
    features = pipeline.compute(history)
    log = ProbeLog(pipeline, features.names, pd.DataFrame(features.values).std().fillna(0.0).to_numpy())
    input_probes.check_extra_rows(log, features)
    input_probes.check_repeatability(log, features, log.compute(history))
    if first_call is not None:
        call_first_on_cut_history(log, first_call, history, features, np.random.default_rng(seed))
    dataset = None if pipeline.dataset is None else pipeline.dataset(features.frame())
    split_ends = [] if dataset is None else [rows.index.max() for rows in dataset.rows.values()]
    runner = _ProbeRunner(log, history, features, variables, split_ends, rng)
    runner.probe_inputs()
    for number in range(n_probes):
        runner.probe(number)
        on_probe()
    if dataset is not None:
        dataset_probes.check_splits(log, dataset)
        dataset_probes.change_later_rows(log, history, dataset, rng)
    return _report(log, history, seed)


def _report(log: ProbeLog, history: MarketHistory, seed: int) -> LeakReport:
    return LeakReport(
        pipeline=log.pipeline.name,
        seed=seed,
        bars=len(history.bars),
        first_bar=history.bars.index[0],
        last_bar=history.bars.index[-1],
        probes=dict(log.probes),
        features=log.feature_reports(),
        dataset=tuple(f for f in log.findings.values() if f.subject not in log.names),
        notes=tuple(log.notes),
    )


class _ProbeRunner:
    """Runs the probes in turn, on one excerpt of the history after the other."""

    def __init__(
        self,
        log: ProbeLog,
        history: MarketHistory,
        features: Features,
        variables: Mapping[str, MacroVariable],
        split_ends: list[pd.Timestamp],
        rng: Generator,
    ) -> None:
        self._log, self._history, self._features = log, history, features
        self._variables, self._split_ends, self._rng = variables, split_ends, rng
        days = session_dates(pd.DatetimeIndex(history.bars.index))
        is_first = np.append(True, np.diff(days) > np.timedelta64(0, "D"))
        self._session_starts = np.append(np.flatnonzero(is_first), len(days))
        self._n_sessions = len(self._session_starts) - 1
        self._excerpt_sessions = min(EXCERPT_SESSIONS, self._n_sessions)
        self._lengthen_excerpts()
        self._bar_choices = cycle(BAR_CHOICES)
        self._turns: dict[str, list[str]] = {}

    def probe_inputs(self) -> None:
        """Record what moves each feature, in excerpts where most features have values."""
        n_values = np.isfinite(self._features.values).sum(axis=1)
        starts = range(0, self._last_start + 1, max(1, self._excerpt_sessions // 3))
        fullness = [n_values[slice(*self._bounds(start))].mean() for start in starts]
        fullest = [starts[i] for i in np.argsort(fullness, kind="stable")[::-1][:_INPUT_EXCERPTS]]
        has_values = np.zeros(len(self._log.names), bool)
        for start in fullest:
            excerpt = self._excerpt(self._slice(start))
            input_probes.change_inputs(self._log, excerpt, int(self._rng.integers(2**31)))
            has_values |= np.isfinite(excerpt.baseline.values).any(axis=0)
            if has_values.all():
                break
        input_probes.check_inputs(self._log, dict(zip(self._log.names, has_values.tolist(), strict=True)))

    def probe(self, number: int) -> None:
        """Run the next probe of the schedule; each round of the schedule has its own excerpt."""
        turn = number % len(_SCHEDULE)
        if turn == 0:
            self._choose_excerpt(number // len(_SCHEDULE))
        log, rng = self._log, self._rng
        kind, stress = _SCHEDULE[turn]
        excerpt = self._stressed if stress else self._plain
        if kind == "replay":
            future_probes.replay(log, excerpt, self._choose_bar(excerpt))
        elif kind == "rewrite":
            seed = int(rng.integers(2**31))
            future_probes.rewrite_future(log, excerpt, self._choose_bar(excerpt), seed)
        elif kind == "label":
            input_probes.move_bar_time(log, excerpt, rng)
        elif kind == "publication":
            self._try_variables(kind, lambda v: publication_probes.move_publication(log, excerpt, v, rng))
        else:
            variables, expire = self._variables, publication_probes.expire_value
            self._try_variables(kind, lambda v: expire(log, excerpt, v, variables[v].ffill_max_days, rng))

    def _try_variables(self, kind: str, probe: Callable[[str], bool]) -> None:
        """Probe the next variable that some feature uses and that fits; each kind has its own queue."""
        log = self._log
        used = {name for inputs in (*log.inputs.values(), *log.pipeline.inputs.values()) for name in inputs}
        queue = self._turns.setdefault(kind, [])
        new = [name for name in sorted(used) if name in self._variables and name not in queue]
        queue += list(self._rng.permutation(new))
        for name in list(queue):
            queue.remove(name)
            queue.append(name)
            if probe(str(name)):
                return

    @property
    def _last_start(self) -> int:
        """The last session that an excerpt can begin with."""
        return max(0, self._n_sessions - self._excerpt_sessions)

    def _lengthen_excerpts(self) -> None:
        """Double the excerpts until each feature has at least half the values of a run over everything."""
        while self._excerpt_sessions < self._n_sessions:
            start = self._last_start
            in_whole = np.isfinite(self._features.values[slice(*self._bounds(start))]).sum(axis=0)
            in_excerpt = np.isfinite(self._log.compute(self._slice(start)).values).sum(axis=0)
            if (in_excerpt * 2 >= in_whole).all():
                return
            self._excerpt_sessions = min(2 * self._excerpt_sessions, self._n_sessions)

    def _bounds(self, start: int) -> tuple[int, int]:
        starts = self._session_starts
        return int(starts[start]), int(starts[start + self._excerpt_sessions])

    def _slice(self, start: int) -> MarketHistory:
        return slice_history(self._history, *self._bounds(start))

    def _excerpt(self, history: MarketHistory, suffix: str = "") -> Excerpt:
        return Excerpt(history, self._log.compute(history), suffix)

    def _choose_excerpt(self, number: int) -> None:
        """Choose an excerpt around the splits' ends first, then at the beginning, then anywhere."""
        start = 0
        if number < len(self._split_ends):
            bar = self._history.bars.index.searchsorted(self._split_ends[number])
            session = int(np.searchsorted(self._session_starts, bar, side="right")) - 1
            start = min(max(0, session - self._excerpt_sessions // 2), self._last_start)
        elif number > len(self._split_ends):
            start = int(self._rng.integers(self._last_start + 1))
        history = self._slice(start)
        self._plain = self._excerpt(history)
        stressed = stress_history(history, self._variables, self._rng)
        self._stressed = self._excerpt(stressed, _STRESSED_SUFFIX)

    def _choose_bar(self, excerpt: Excerpt) -> int:
        """Choose a bar of the next kind of bars that the excerpt has."""
        used = sorted({name for inputs in self._log.inputs.values() for name in inputs} - {BARS, CLOCK})
        limits = {name: self._variables[name].ffill_max_days for name in used if name in self._variables}
        context = ProbeContext(excerpt.history, limits, self._split_ends)
        last = len(excerpt.history.bars) - 1
        for _ in BAR_CHOICES:
            bars = next(self._bar_choices)(context, self._rng)
            bars = bars[(bars >= 0) & (bars < last)]
            if len(bars):
                return int(self._rng.choice(bars))
        return int(self._rng.integers(last))
