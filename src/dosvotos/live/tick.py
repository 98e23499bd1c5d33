"""One tick: from a bar's features the approved model makes a signal, or NO_SIGNAL with its reason."""

import time
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.features import FEATURE_ORDER, FEATURE_ORDER_HASH, MARKET_FEATURES
from dosvotos.contracts.parameters import InferenceParams, Parameters
from dosvotos.contracts.records import InferenceRecord
from dosvotos.errors import DataError
from dosvotos.hashing import digest_arrays
from dosvotos.market.calendar import BAR
from dosvotos.market.features.definition import TIME_NORMALIZED
from dosvotos.market.microseconds import to_timestamp
from dosvotos.market.stream import FeatureStream
from dosvotos.policy.forward import TARGETS, ServedPolicy

HALTED: Final = "HALTED"


class LiveFeatures(NamedTuple):
    """L1's output: the features of the latest bar."""

    timestamp: datetime
    """Bar open, UTC."""
    now: datetime
    """What the bar's age is counted from."""
    market: np.ndarray
    """Raw MARKET_FEATURES, shape (13,); NaN where missing."""
    time_normalized: float


class ServedModel(NamedTuple):
    """The production model and the epoch in which it became that."""

    model_id: str
    model_hash: str
    epoch: int
    policy: ServedPolicy
    silence: str | None = None
    """Reason code of a model that may give no signal."""
    checkpoint: str | None = None
    """Of the log of decisions, as its rows carry it."""


def live_features(parameters: Parameters, stream: FeatureStream, as_of: datetime) -> LiveFeatures:
    """Take the latest session bar's features from a stream that `catch_up` returned.

    Under ``clock: wall`` `as_of` counts as now, under ``clock: market`` that bar's close.

    Raises
    ------
    DataError
        If no session bar is stored.
    """
    if not np.isfinite(stream.last_close_time):
        raise DataError(
            f"bars: none stored for {parameters.experiment.instrument}; "
            "run 'kedro run --pipelines data_acquisition' first"
        )
    last_close = to_timestamp(stream.last_close_time)
    now = last_close if parameters.inference.clock == "market" else pd.Timestamp(as_of)
    return LiveFeatures(
        timestamp=(last_close - BAR).to_pydatetime(),
        now=now.to_pydatetime(),
        market=stream.row[: len(MARKET_FEATURES)].copy(),
        time_normalized=float(stream.row[TIME_NORMALIZED]),
    )


def decide_tick(
    features: LiveFeatures, served: ServedModel, position: float, settings: InferenceParams, instrument: str
) -> InferenceRecord:
    """Let the approved policy decide on one bar.

    Parameters
    ----------
    features : LiveFeatures
    served : ServedModel
    position : float
        The model's own position: the last target signalled, -1, 0 or 1.
    settings : InferenceParams
    instrument : str

    Returns
    -------
    InferenceRecord
        ``signal`` is the target position and ``confidence`` the policy's probability of it; or NO_SIGNAL
        with its reason, which leaves the target unchanged. HALTED writes target 0 once and NO_SIGNAL from
        then on.
    """
    started = time.perf_counter()
    reason = served.silence or _no_signal_reason(features, settings)
    signal = confidence = None
    if reason == HALTED and position != 0:
        reason, signal = None, 0.0
    elif reason is None:
        observation = served.policy.observe(
            features.market[None, :], np.array([position]), np.array([features.time_normalized])
        )
        probabilities = served.policy.probabilities(observation)[0]
        action = int(probabilities.argmax())
        signal, confidence = float(TARGETS[action]), float(probabilities[action])
    return InferenceRecord(
        inference_id=f"inf_{features.timestamp:%Y%m%d_%H%M%S}",
        instrument=instrument,
        timestamp=features.timestamp,
        status="SIGNAL" if reason is None else "NO_SIGNAL",
        reason_code=reason,
        model_id=served.model_id,
        model_hash=served.model_hash,
        epoch=served.epoch,
        feature_hash=digest_arrays({"features": feature_vector(features, position)}),
        signal=signal,
        confidence=confidence,
        position=position,
        checkpoint=served.checkpoint,
        latency_ms=round((time.perf_counter() - started) * 1000, 4),
    )


def feature_vector(features: LiveFeatures, position: float) -> np.ndarray:
    """Return the 15 raw features in FEATURE_ORDER."""
    return np.concatenate([features.market, [position, features.time_normalized]])


def feature_row(features: LiveFeatures, record: InferenceRecord) -> dict[str, Any]:
    """Return the row of inference_features_5m; a missing feature is NULL."""
    values = feature_vector(features, record.position)
    return {
        **{n: None if np.isnan(v) else float(v) for n, v in zip(FEATURE_ORDER, values, strict=True)},
        "instrument": record.instrument,
        "timestamp": record.timestamp,
        "feature_order_hash": FEATURE_ORDER_HASH,
        "feature_hash": record.feature_hash,
    }


def _no_signal_reason(features: LiveFeatures, settings: InferenceParams) -> str | None:
    age = features.now - (features.timestamp + BAR.to_pytimedelta())
    if age.total_seconds() > settings.max_bar_age_minutes * 60:
        return "STALE_BAR"
    return None if np.isfinite(features.market).all() else "FEATURE_MISSING"
