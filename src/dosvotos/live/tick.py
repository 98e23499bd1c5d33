"""One tick: from a bar's features the approved model makes a signal, or NO_SIGNAL with its reason."""

import time
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import Row

from dosvotos.contracts.features import FEATURE_ORDER, FEATURE_ORDER_HASH, MARKET_FEATURES
from dosvotos.contracts.records import InferenceRecord
from dosvotos.hashing import digest_arrays, digest_json
from dosvotos.live.controls import ACTIVE, Control
from dosvotos.live.limits import Approval
from dosvotos.live.reasons import HALTING, Reason
from dosvotos.live.schedule import ScheduledBar
from dosvotos.policy.forward import MAX_SIGMA, TARGETS, ServedPolicy

SILENT_BARS: Final = 3
"""From so many NO_SIGNAL rows in a row on, a target of 0 is advised."""
_HASHES: Final = ("model_id", "model_hash", "manifest_hash", "norm_stats_hash")
_DECIDED_BY: Final = (
    "instrument", "timestamp", "status", "reason_code", "model_id", "model_hash", "manifest_hash",
    "norm_stats_hash", "epoch", "feature_hash", "signal", "confidence", "position", "advised_target",
    "valid_until", "macro_late",
)  # fmt: skip


class LiveFeatures(NamedTuple):
    """L1's output: the features of one bar."""

    timestamp: datetime
    """Bar open, UTC."""
    market: np.ndarray
    """Raw MARKET_FEATURES, shape (13,); NaN where missing."""
    time_normalized: float
    macro_late: tuple[str, ...] = ()
    """Variables behind features that are older than their rules promise."""
    rate_difference: float | None = None
    """Percent a year, fed funds minus TPM as known at the bar's close; None while one is missing."""


class Silence(NamedTuple):
    """Why a production model gives no signal, though nothing was altered."""

    code: Reason
    why: str


class ServedModel(NamedTuple):
    """The production model and the epoch in which it became that."""

    model_id: str
    manifest_hash: str
    epoch: int
    policy: ServedPolicy
    model_hash: str
    norm_stats_hash: str
    silence: Silence | None = None
    """Why it may give no signal."""
    checkpoint: str | None = None
    """The log of decisions as it was when the model was opened; its rows carry it."""
    approval: Approval | None = None
    """By which its limits are judged; a replay has none."""

    def hashes(self) -> dict[str, str]:
        """What a row says of it."""
        return {name: getattr(self, name) for name in _HASHES}


def served_model(
    model_id: str,
    manifest_hash: str,
    epoch: int,
    policy: ServedPolicy,
    silence: Silence | None = None,
    checkpoint: str | None = None,
    approval: Approval | None = None,
) -> ServedModel:
    """Make a served model; its hashes are computed once."""
    hashes = policy.model_hash, policy.norm_stats.digest
    return ServedModel(model_id, manifest_hash, epoch, policy, *hashes, silence, checkpoint, approval)


class BookState(NamedTuple):
    """What the rows before a bar say."""

    position: float = 0.0
    """The model's own: the last target signalled, -1, 0 or 1."""
    flat_by_halt: bool = False
    """Whether that signal is the flat row of a halt."""
    silent_bars: int = 0
    """NO_SIGNAL rows in a row just before, up to SILENT_BARS - 1."""


def book_after(book: BookState, record: InferenceRecord) -> BookState:
    """Say what the rows say once a further one is written."""
    if record.signal is None:
        return book._replace(silent_bars=min(book.silent_bars + 1, SILENT_BARS - 1))
    return BookState(record.signal, record.reason_code in HALTING)


class Decision(NamedTuple):
    """What a bar's row says of the target."""

    signal: float | None
    confidence: float | None = None
    reason: Reason | None = None
    detail: str | None = None


def decide(
    features: LiveFeatures, served: ServedModel, position: float, control: Control = ACTIVE
) -> Decision:
    """Let the approved policy decide on one bar.

    Parameters
    ----------
    features : LiveFeatures
    served : ServedModel
    position : float
        The model's own position: -1, 0 or 1.
    control : Control
        REDUCING takes back what the policy wants more than is held.

    Returns
    -------
    Decision
        ``signal`` is the target and ``confidence`` the policy's probability of it, the likeliest; or no
        signal, with the reason, which leaves the target unchanged.
    """
    if served.silence is not None:
        return Decision(None, None, served.silence.code, served.silence.why)
    if (refused := _refused(features, served.policy, position)) is not None:
        return refused
    observation = served.policy.observe(
        features.market[None, :], np.array([position]), np.array([features.time_normalized])
    )
    probabilities = served.policy.probabilities(observation)[0]
    action = int(probabilities.argmax())
    target, confidence = float(TARGETS[action]), float(probabilities[action])
    return reduced(target, position, control) or Decision(target, confidence)


def reduced(target: float, position: float, control: Control) -> Decision | None:
    """Go flat instead of where the policy wants more than may be held; None where it may."""
    if control.state != "REDUCING" or target in (0.0, position):
        return None
    return Decision(0.0, None, Reason.REDUCING, f"{control.reason}; the policy wants {target:+.0f}")


def halted(book: BookState, control: Control) -> Decision:
    """Go flat once; after that there is no signal."""
    return Decision(None if book.flat_by_halt else 0.0, None, control.code, str(control.reason))


def make_record(
    bar: ScheduledBar,
    instrument: str,
    book: BookState,
    decision: Decision,
    served: ServedModel | None = None,
    features: LiveFeatures | None = None,
    epoch: int = 0,
    started: float | None = None,
) -> InferenceRecord:
    """Write a bar's row.

    Parameters
    ----------
    served : ServedModel, optional
        None where no model had a part in it; `epoch` is then the last one known.
    features : LiveFeatures, optional
        None where there was nothing to compute them from.
    started : float, optional
        ``time.perf_counter()`` when the bar was at hand.
    """
    vector = None if features is None else feature_vector(features, book.position)
    hashes = served.hashes() if served else {"model_id": None, "model_hash": None}
    record = InferenceRecord(
        inference_id=f"inf_{bar.close:%Y%m%d_%H%M%S}",
        instrument=instrument,
        timestamp=bar.opened,
        status="NO_SIGNAL" if decision.signal is None else "SIGNAL",
        reason_code=decision.reason,
        detail=decision.detail,
        **hashes,
        epoch=served.epoch if served else epoch,
        feature_hash=None if vector is None else digest_arrays({"features": vector}),
        signal=decision.signal,
        confidence=decision.confidence,
        position=book.position if np.isfinite(book.position) else 0.0,
        advised_target=_advised(decision.signal, book),
        valid_until=bar.deadline,
        macro_late=() if features is None else features.macro_late,
        checkpoint=served.checkpoint if served else None,
        latency_ms=0.0 if started is None else round((time.perf_counter() - started) * 1000, 4),
    )
    return _sealed(record)


def row_in_words(row: InferenceRecord | Row[Any]) -> str:
    """Say in one line what a bar's row says, as it stands in the table or before it goes there."""
    what = f"target {row.signal:+.0f}" if row.status == "SIGNAL" else "NO_SIGNAL"
    by = f"with confidence {row.confidence:.0%}" if row.confidence is not None else f"({row.reason_code})"
    model = f", by {row.model_id}" if row.model_id is not None else ""
    detail = f": {' '.join(row.detail.split())}" if row.detail else ""
    return f"{row.instrument} {row.timestamp:%Y-%m-%d %H:%M} UTC: {what} {by}{model}{detail}"


def withdrawn(record: InferenceRecord, book: BookState, decision: Decision) -> InferenceRecord:
    """Put another decision in a row's place; model and features stay as they were."""
    change = {
        "status": "NO_SIGNAL" if decision.signal is None else "SIGNAL",
        "reason_code": decision.reason,
        "detail": decision.detail,
        "signal": decision.signal,
        "confidence": decision.confidence,
        "advised_target": _advised(decision.signal, book),
    }
    return _sealed(record.model_copy(update=change))


def after_rows(record: InferenceRecord, book: BookState) -> InferenceRecord:
    """Put what the rows before a bar say now into its row without features."""
    position = book.position if np.isfinite(book.position) else 0.0
    change = {"position": position, "advised_target": _advised(record.signal, book)}
    return _sealed(record.model_copy(update=change))


def feature_vector(features: LiveFeatures, position: float) -> np.ndarray:
    """Return the 15 raw features in FEATURE_ORDER."""
    return np.concatenate([features.market, [position, features.time_normalized]])


def feature_row(features: LiveFeatures, record: InferenceRecord) -> dict[str, Any]:
    """Return the row of inference_features_5m; a feature that is missing or infinite is NULL."""
    values = feature_vector(features, record.position)
    return {
        **{n: float(v) if np.isfinite(v) else None for n, v in zip(FEATURE_ORDER, values, strict=True)},
        "instrument": record.instrument,
        "timestamp": record.timestamp,
        "feature_order_hash": FEATURE_ORDER_HASH,
        "feature_hash": record.feature_hash,
    }


def inference_hash(record: InferenceRecord) -> str:
    """Hash what decided and what was decided."""
    return digest_json(record.model_dump(mode="json", include=set(_DECIDED_BY)))


def _sealed(record: InferenceRecord) -> InferenceRecord:
    return record.model_copy(update={"inference_hash": inference_hash(record)})


def _advised(signal: float | None, book: BookState) -> float:
    if signal is not None:
        return signal
    known = book.position in TARGETS and book.silent_bars < SILENT_BARS - 1
    return book.position if known else 0.0


def _refused(features: LiveFeatures, policy: ServedPolicy, position: float) -> Decision | None:
    if position not in TARGETS:
        return Decision(None, None, Reason.POSITION_OUT_OF_RANGE, f"position is {position}, must be -1, 0, 1")
    if not 0.0 <= features.time_normalized <= 1.0:
        found = f"time_normalized is {features.time_normalized}, must lie in [0, 1]"
        return Decision(None, None, Reason.TIME_OUT_OF_RANGE, found)
    if bool(policy.usable(features.market[None, :])[0]):
        return None
    missing = np.isnan(features.market)
    if missing.any():
        return Decision(None, None, Reason.FEATURE_MISSING, f"missing: {_names(missing)}")
    absurd = ~(np.abs(policy.norm_stats.distances(features.market)) <= MAX_SIGMA)
    found = f"more than {MAX_SIGMA:g} standard deviations off: {_names(absurd)}"
    return Decision(None, None, Reason.FEATURE_OUT_OF_RANGE, found)


def _names(mask: np.ndarray) -> str:
    return ", ".join(np.array(MARKET_FEATURES)[mask])
