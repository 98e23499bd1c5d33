"""Where signals are delivered and how a delivered signal reads; outside the experiment's hash."""

from datetime import timedelta
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, PositiveFloat

from dosvotos.contracts.records import InferenceRecord
from dosvotos.contracts.section import Section

_BAR: Final = timedelta(minutes=5)
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def _safe_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError(f"must be https, or http on this machine, was {parts.scheme or 'no'} address")
    if parts.username or parts.password or parts.query:
        raise ValueError("must hold no name, password or query; what is secret stands in the environment")
    return url


class DeliveryParams(Section):
    """Who is told of each signal."""

    notional_usd: PositiveFloat = 100_000.0
    """USD that a target of 1 stands for."""
    webhook: Annotated[str, AfterValidator(_safe_address)] | None = None
    """Address that each signal is posted to, signed with DOSVOTOS_WEBHOOK_SECRET."""
    jsonl: str | None = None
    """File that each signal is appended to, from the project's root."""
    timeout_seconds: PositiveFloat = 5.0
    """How long the webhook may take to answer."""


class DeliveredSignal(BaseModel):
    """What a consumer gets of a signal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instrument: str
    simulated: bool
    """Whether the instrument is the sample market's: no order may follow."""
    bar: AwareDatetime
    """Open of the bar that was decided on, UTC."""
    sequence: int
    """Number of the bar, in five minutes since 1970: it rises with each signal, and has gaps."""
    inference_id: str
    target: float
    """Position in [-1, 1] to hold from the close of the next bar on."""
    notional_usd: float
    """`target` times `delivery.notional_usd`; negative is short."""
    valid_until: AwareDatetime
    """After it the signal is none."""
    reason_code: str | None
    """Why the target is not the policy's own, such as HALTED; None where it is."""
    model_id: str | None
    epoch: int


def delivered(record: InferenceRecord, notional_usd: float) -> DeliveredSignal:
    """Write what a consumer gets of a row with a signal."""
    assert record.signal is not None and record.valid_until is not None
    return DeliveredSignal(
        instrument=record.instrument,
        simulated=record.instrument.endswith(".SIM"),
        bar=record.timestamp,
        sequence=int(record.timestamp.timestamp()) // int(_BAR.total_seconds()),
        inference_id=record.inference_id,
        target=record.signal,
        notional_usd=record.signal * notional_usd + 0.0,
        valid_until=record.valid_until,
        reason_code=record.reason_code,
        model_id=record.model_id,
        epoch=record.epoch,
    )
