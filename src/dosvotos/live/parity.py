"""What was served, done again with what was known then: every feature and every decision, bit for bit."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import Engine, Row, select

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.connection import reading
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.registry import find_model
from dosvotos.database.signals import last_signal_before
from dosvotos.database.tables import inference_features_5m
from dosvotos.errors import AlteredError
from dosvotos.live.market import LiveMarket
from dosvotos.live.schedule import BarSchedule
from dosvotos.live.tick import LiveFeatures, ServedModel, decide, served_model
from dosvotos.policy.bundle import open_bundle

_HELD_BACK: Final = "no features"


class Difference(NamedTuple):
    """A value of a row that is not what comes out again."""

    timestamp: datetime
    field: str
    recorded: Any
    recomputed: Any

    def __str__(self) -> str:
        return (
            f"bar {self.timestamp:%Y-%m-%d %H:%M} UTC: {self.field} was {self.recorded}, by what was known "
            f"then it is {self.recomputed}"
        )


class ParityReport(NamedTuple):
    """What a check found."""

    rows: int
    """With features."""
    differences: tuple[Difference, ...]


class _Served(NamedTuple):
    signal: Row[Any]
    features: Row[Any] | None


def check_served(engine: Engine, parameters: Parameters, first: datetime, last: datetime) -> ParityReport:
    """Compute the rows of bars again, each from what was stored when it was written.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
        As the loop served by; `inference.clock` decides from when a macro value counts.
    first, last : datetime, timezone-aware
        Opens of the first and the last bar.

    Raises
    ------
    LineageError, BundleError
        If a model that signalled is not registered, or its files are not those that were voted on.
    """
    instrument = parameters.experiment.instrument
    market = LiveMarket(parameters, *StoredMarket(engine, instrument, parameters.feed).tables)
    schedule, models = BarSchedule(parameters.calendar), _Models(engine)
    rows, found, position = _rows(engine, instrument, first, last), [], _position(engine, instrument, first)
    for row in rows:
        bar = schedule.at(row.signal.timestamp)
        if row.features is not None:
            live = market.features_at(bar, row.signal.created_at)
            found += list(_compare(row, live, position, models))
        position = position if row.signal.signal is None else row.signal.signal
    return ParityReport(sum(row.features is not None for row in rows), tuple(found))


class _Models:
    """The models that signalled, each opened once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._opened: dict[str, ServedModel] = {}

    def __call__(self, signal: Row[Any]) -> ServedModel:
        if signal.model_id not in self._opened:
            with reading(self._engine) as connection:
                row = find_model(connection, signal.model_id)
            if row is None:
                raise AlteredError(f"{signal.model_id}: signalled, but is not in model_registry")
            bundle = open_bundle(Path(row.model_path), signal.manifest_hash)
            self._opened[signal.model_id] = served_model(
                row.model_id, bundle.manifest_hash, signal.epoch, bundle.policy
            )
        return self._opened[signal.model_id]


def _compare(
    row: _Served, live: LiveFeatures | None, position: float, models: _Models
) -> Iterator[Difference]:
    signal, features = row
    if signal.position != position:
        yield Difference(signal.timestamp, "position", signal.position, position)
    if live is None:
        yield Difference(signal.timestamp, "features", signal.feature_hash, _HELD_BACK)
        return
    for name, value in zip(MARKET_FEATURES, live.market, strict=True):
        recomputed = float(value) if np.isfinite(value) else None
        if (recorded := features._mapping[name]) != recomputed:  # type: ignore[union-attr]
            yield Difference(signal.timestamp, name, recorded, recomputed)
    if signal.reason_code is None:
        decision = decide(live, models(signal), signal.position)
        for name in ("signal", "confidence"):
            if getattr(signal, name) != getattr(decision, name):
                yield Difference(signal.timestamp, name, getattr(signal, name), getattr(decision, name))


def _rows(engine: Engine, instrument: str, first: datetime, last: datetime) -> list[_Served]:
    s, f = trading_signals, inference_features_5m
    inside = (s.c.instrument == instrument) & s.c.timestamp.between(first, last)
    of_features = (f.c.instrument == instrument) & f.c.timestamp.between(first, last)
    with reading(engine) as connection:
        signals = connection.execute(select(s).where(inside).order_by(s.c.timestamp)).all()
        features = {row.timestamp: row for row in connection.execute(select(f).where(of_features))}
    return [_Served(row, features.get(row.timestamp)) for row in signals]


def _position(engine: Engine, instrument: str, first: datetime) -> float:
    with reading(engine) as connection:
        row = last_signal_before(connection, instrument, first)
    return 0.0 if row is None else float(row.signal)
