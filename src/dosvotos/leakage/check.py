"""The whole check: probes spread over a history, where leaks like to hide."""

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.errors import DataError
from dosvotos.leakage import probes
from dosvotos.leakage.history import closes_of, part_of, stressed
from dosvotos.leakage.pipeline import BARS, CLOCK, Computed, Pipeline, compute
from dosvotos.leakage.probes import Book
from dosvotos.leakage.report import LeakReport
from dosvotos.leakage.rows import check_later_rows, check_splits
from dosvotos.market.calendar import BAR, session_dates
from dosvotos.market.features import MarketHistory

DEFAULT_PROBES: Final = 200
SESSIONS: Final = 30
"""Bars of a part, in sessions; doubled until every feature that has values over all has them in a part."""
LISTENING: Final = 2
"""Parts in which each input is changed to see what it moves."""
_SCHEDULE: Final = (
    "replay", "late replay", "publication", "late replay", "expiry", "rewrite",
    "late replay", "publication", "relabel", "expiry", "replay", "late rewrite",
)  # fmt: skip
_LATE: Final = "; on your data with publications delayed, revised and missing"
_FIRST_BARS: Final = 60
_DAY = pd.Timedelta(days=1)


class Scene(NamedTuple):
    """A part of the history and its batch, which probes compare with."""

    history: MarketHistory
    base: Computed
    where: str
    """Added to every sentence about it."""


def check_leaks(
    pipeline: Pipeline,
    history: MarketHistory,
    variables: Mapping[str, MacroVariable],
    n_probes: int = DEFAULT_PROBES,
    seed: int = 0,
    on_probe: Callable[[], None] = lambda: None,
) -> LeakReport:
    """Put code under test on a history.

    Parameters
    ----------
    pipeline : Pipeline
    history : MarketHistory
        Session bars and observations, as the code's user has them.
    variables : mapping of MacroVariable by name
        Their age limits.
    n_probes : int
        Probes of features, after those of inputs and splits.
    seed : int
    on_probe : callable, optional
        Told after each of the `n_probes`.

    Returns
    -------
    LeakReport

    Raises
    ------
    DataError
        If the code fails on the whole history, or there are too few bars to probe.
    """
    if len(np.unique(session_dates(pd.DatetimeIndex(history.bars.index)))) < 3:
        raise DataError(f"leakcheck: needs at least 3 sessions of bars, found {len(history.bars)} bars")
    rng = np.random.default_rng(seed)
    base = compute(pipeline, history)
    scale = pd.DataFrame(base.values).std().fillna(0.0).to_numpy()
    book = Book(pipeline, base.names, scale)
    probes.check_rows(book, base)
    probes.check_repeats(book, base, book.run(history))
    dataset = None if pipeline.dataset is None else pipeline.dataset(base.frame())
    borders = [] if dataset is None else [rows.index.max() for rows in dataset.rows.values()]
    stage = _Stage(book, history, base, variables, borders, rng)
    stage.listen()
    for number in range(n_probes):
        stage.probe(number)
        on_probe()
    if dataset is not None:
        check_splits(book, dataset)
        check_later_rows(book, history, base, dataset, rng)
    return LeakReport(
        pipeline=pipeline.name,
        seed=seed,
        bars=len(history.bars),
        first_bar=history.bars.index[0],
        last_bar=history.bars.index[-1],
        probes=dict(book.probes),
        features=book.report(),
        dataset=tuple(f for f in book.findings.values() if f.subject not in book.names),
        notes=tuple(book.notes),
    )


class _Stage:
    """Sets the scenes one after the other and runs the probes on them in turn."""

    def __init__(
        self,
        book: Book,
        history: MarketHistory,
        base: Computed,
        variables: Mapping[str, MacroVariable],
        borders: list[pd.Timestamp],
        rng: np.random.Generator,
    ) -> None:
        self._book, self._history, self._base = book, history, base
        self._variables, self._borders, self._rng = variables, borders, rng
        times = pd.DatetimeIndex(history.bars.index)
        self._starts = np.append(
            np.flatnonzero(np.append(True, np.diff(session_dates(times)) > np.timedelta64(0, "D"))),
            len(times),
        )
        self._sessions = min(SESSIONS, len(self._starts) - 1)
        self._lengthen()
        self._strata = cycle(_STRATA)
        self._turns: dict[str, list[str]] = {}

    def listen(self) -> None:
        """Find out what moves what, in parts where most features have values."""
        complete = np.isfinite(self._base.values).sum(axis=1)
        last = len(self._starts) - 1 - self._sessions
        starts = range(0, last + 1, max(1, self._sessions // 3))
        fullness = [complete[slice(*self._bounds(s))].mean() for s in starts]
        best = [starts[i] for i in np.argsort(fullness, kind="stable")[::-1][:LISTENING]]
        observed = dict.fromkeys(self._book.names, False)
        for start in best:
            part = self._part(start)
            base = self._book.run(part)
            probes.listen(self._book, part, base, int(self._rng.integers(2**31)))
            for name, seen in zip(self._book.names, np.isfinite(base.values).any(axis=0), strict=True):
                observed[name] |= bool(seen)
            if all(observed.values()):
                break
        probes.check_inputs(self._book, observed)

    def probe(self, number: int) -> None:
        """Run the next probe of the schedule."""
        turn = number % len(_SCHEDULE)
        if turn == 0:
            self._set_scene(number // len(_SCHEDULE))
        kind, book, rng = _SCHEDULE[turn], self._book, self._rng
        scene = self._late if kind.startswith("late") or kind == "relabel" else self._plain
        if kind.endswith("replay"):
            probes.replay(book, scene.history, scene.base, self._place(scene), scene.where)
        elif kind.endswith("rewrite"):
            seed = int(rng.integers(2**31))
            probes.rewrite(book, scene.history, scene.base, self._place(scene), seed, scene.where)
        elif kind == "relabel":
            probes.relabel(book, scene.history, rng, scene.where)
        elif kind == "publication":
            self._with_variable(
                kind, lambda name: probes.publication(book, scene.history, name, rng, scene.where)
            )
        else:
            self._with_variable(
                kind,
                lambda name: probes.expiry(
                    book, scene.history, name, self._variables[name].ffill_max_days, rng, scene.where
                ),
            )

    def _with_variable(self, kind: str, probe: Callable[[str], bool]) -> None:
        """Give the turn to the next variable that some feature uses and that fits."""
        used = {name for inputs in self._book.inputs.values() for name in inputs}
        used |= {name for inputs in self._book.pipeline.inputs.values() for name in inputs}
        queue = self._turns.setdefault(kind, [])
        waiting = [name for name in sorted(used) if name in self._variables]
        queue += list(self._rng.permutation([name for name in waiting if name not in queue]))
        for name in list(queue):
            queue.remove(name)
            queue.append(name)
            if probe(str(name)):
                return

    def _lengthen(self) -> None:
        """Double the parts until each feature has values in one at least half as often as over all."""
        everything = len(self._starts) - 1
        while self._sessions < everything:
            start = everything - self._sessions
            whole = np.isfinite(self._base.values[slice(*self._bounds(start))]).sum(axis=0)
            alone = np.isfinite(self._book.run(self._part(start)).values).sum(axis=0)
            if (alone * 2 >= whole).all():
                return
            self._sessions = min(2 * self._sessions, everything)

    def _bounds(self, start: int) -> tuple[int, int]:
        return int(self._starts[start]), int(self._starts[start + self._sessions])

    def _part(self, start: int) -> MarketHistory:
        return part_of(self._history, *self._bounds(start))

    def _set_scene(self, number: int) -> None:
        """The splits' ends first, then the history's beginning, then anywhere."""
        last = max(0, len(self._starts) - 1 - self._sessions)
        if number < len(self._borders):
            place = self._history.bars.index.searchsorted(self._borders[number])
            session = int(np.searchsorted(self._starts, place, side="right")) - 1
            start = min(max(0, session - self._sessions // 2), last)
        elif number == len(self._borders):
            start = 0
        else:
            start = int(self._rng.integers(last + 1))
        part = self._part(start)
        self._plain = Scene(part, self._book.run(part), "")
        hard = stressed(part, self._variables, self._rng)
        self._late = Scene(hard, self._book.run(hard), _LATE)

    def _place(self, scene: Scene) -> int:
        """A bar of the next stratum that this scene has."""
        heard = sorted({n for names in self._book.inputs.values() for n in names} - {BARS, CLOCK})
        limits = {name: self._variables[name].ffill_max_days for name in heard if name in self._variables}
        around = _Around(scene.history, limits, self._borders)
        last = len(scene.history.bars) - 1
        for _ in _STRATA:
            places = next(self._strata)(around, self._rng)
            places = places[(places >= 0) & (places < last)]
            if len(places):
                return int(self._rng.choice(places))
        return int(self._rng.integers(last))


class _Around(NamedTuple):
    """What strata look at."""

    history: MarketHistory
    limits: Mapping[str, int]
    """Age limit in days of each variable that some feature uses."""
    borders: list[pd.Timestamp]

    def published(self, name: str) -> pd.DatetimeIndex:
        """A variable's publications in order."""
        own = self.history.macro["variable"] == name
        return pd.DatetimeIndex(self.history.macro.loc[own, "published_at"]).sort_values()


# ---- strata: where leaks like to hide, as places of bars


def _before_publications(around: _Around, rng: np.random.Generator) -> np.ndarray:
    """The last bars that close before a publication of one variable."""
    if not around.limits:
        return np.zeros(0, int)
    name = list(around.limits)[int(rng.integers(len(around.limits)))]
    return np.searchsorted(closes_of(around.history.bars), around.published(name)) - 1


def _session_ends(around: _Around, rng: np.random.Generator) -> np.ndarray:
    """The last bar of a session and the first of the next."""
    return _both_sides(_new_session(around) > 0)


def _gaps(around: _Around, rng: np.random.Generator) -> np.ndarray:
    """Bars on both sides of missing ones, or of a holiday."""
    missing = np.diff(pd.DatetimeIndex(around.history.bars.index)) > BAR
    days = _new_session(around)
    return _both_sides((missing & (days == 0)) | (days > 3))


def _warm_up(around: _Around, rng: np.random.Generator) -> np.ndarray:
    """The first bars, where features have no history yet."""
    return np.arange(min(_FIRST_BARS, len(around.history.bars)))


def _expired(around: _Around, rng: np.random.Generator) -> np.ndarray:
    """Bars at which some variable has been silent for longer than its limit."""
    closes = closes_of(around.history.bars)
    aged = np.zeros(len(closes), bool)
    for name, limit in around.limits.items():
        published = around.published(name)
        last = np.searchsorted(published, closes, side="right") - 1
        known = last >= 0
        aged[known] |= np.asarray(closes[known] - published[last[known]] > limit * _DAY)
    return np.flatnonzero(aged)


def _at_borders(around: _Around, rng: np.random.Generator) -> np.ndarray:
    """The last bar of a split."""
    return np.flatnonzero(around.history.bars.index.isin(around.borders))


def _anywhere(around: _Around, rng: np.random.Generator) -> np.ndarray:
    return np.arange(len(around.history.bars))


def _new_session(around: _Around) -> np.ndarray:
    """Days between the sessions of neighbouring bars, shape (n_bars - 1,)."""
    return np.diff(session_dates(pd.DatetimeIndex(around.history.bars.index))).astype(int)


def _both_sides(steps: np.ndarray) -> np.ndarray:
    places = np.flatnonzero(steps)
    return np.concatenate([places, places + 1])


_STRATA: Final = (
    _before_publications,
    _anywhere,
    _before_publications,
    _session_ends,
    _before_publications,
    _warm_up,
    _expired,
    _before_publications,
    _gaps,
    _at_borders,
)
