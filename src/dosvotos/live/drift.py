"""Whether what production is served has left what its model was trained on."""

from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine, select

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.records import FeatureDrift
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.registry import production_rows
from dosvotos.database.tables import inference_features_5m
from dosvotos.lineage.recompute import fold_rows
from dosvotos.market.calendar import BAR, session_bar_times
from dosvotos.market.dataset import feature_rows
from dosvotos.market.drift import DriftAlarms, has_alarms, session_means
from dosvotos.market.splits import splits_of

_KEPT: Final = 8
"""Models whose alarms stay in memory: making them again takes a second or two."""


class LiveDrift(NamedTuple):
    """The drift of production's live sessions from its model's train."""

    model_id: str
    sessions: int
    """That are over, from the first one after the approval on."""
    features: tuple[FeatureDrift, ...] | None
    """None where train is too short for alarms, or its contract is not stored here."""

    @property
    def alarms(self) -> tuple[FeatureDrift, ...]:
        """Those features that have left what train held."""
        return tuple(found for found in self.features or () if found.first_alarm is not None)


def live_drift(engine: Engine, instrument: str, now: datetime) -> LiveDrift | None:
    """Judge the sessions that production was served since its approval; None without a model.

    Raises
    ------
    DataError
        If the stored bars no longer hold the model's train.
    """
    with reading(engine) as connection:
        model, _, vote, approval, proposal = production_rows(connection, instrument)
        if model is None or vote is None or approval is None or proposal is None:
            return None
        served = _served_since(connection, instrument, vote.created_at)
    alarms = _alarms(engine, instrument, proposal.experiment_name, proposal.lineage["config_hash"])
    means = whole_sessions(served, vote.created_at, now)
    return LiveDrift(model.model_id, len(means), alarms.judge(means) if alarms else None)


def whole_sessions(served: pd.DataFrame, since: datetime, now: datetime) -> pd.DataFrame:
    """Average the features of each session that began after `since` and is over at `now`.

    Parameters
    ----------
    served : DataFrame
        Index bar open (UTC); raw MARKET_FEATURES, NaN where missing.
    since, now : datetime, timezone-aware

    Returns
    -------
    DataFrame
        As `session_means` gives it.
    """
    means = session_means(served)
    bars = [session_bar_times(day) for day in means.index.to_numpy().astype("datetime64[D]")]
    is_whole = [since <= times[0] and times[-1] + BAR <= now for times in bars]
    return means[np.array(is_whole, dtype=bool)]


def _served_since(connection: Connection, instrument: str, since: datetime) -> pd.DataFrame:
    t = inference_features_5m
    query = (
        select(t.c.timestamp, *(t.c[name] for name in MARKET_FEATURES))
        .where(t.c.instrument == instrument, t.c.timestamp >= since)
        .order_by(t.c.timestamp)
    )
    rows = connection.execute(query).all()
    times = pd.DatetimeIndex([row.timestamp for row in rows], tz="UTC")
    values = [row[1:] for row in rows]
    return pd.DataFrame(values, index=times, columns=list(MARKET_FEATURES), dtype=float)


@lru_cache(maxsize=_KEPT)
def _alarms(engine: Engine, instrument: str, experiment_name: str, config_hash: str) -> DriftAlarms | None:
    """Make a model's alarms from its train, as its contract's ``data_as_of`` knew it: they never change."""
    contract = ContractRegistry(engine).of_hash(experiment_name, config_hash)
    if contract is None:
        return None
    means = session_means(_train(engine, instrument, contract))
    return DriftAlarms.fit_means(means) if has_alarms(means) else None


def _train(engine: Engine, instrument: str, contract: ExperimentContract) -> pd.DataFrame:
    """Make train again from the stored rows as they were known: a line's is its last fold's."""
    parameters = contract.parameters
    tables = StoredMarket(engine, instrument, parameters.feed).tables
    rows = feature_rows(
        stored_history(parameters, *tables, contract.data_as_of, contract.test_end), parameters
    )
    if parameters.splits.is_line:
        return fold_rows(contract, rows)[-1]["train"]
    return splits_of(parameters)["train"].select(rows)
