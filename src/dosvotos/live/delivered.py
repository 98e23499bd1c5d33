"""A signal as its consumers get it."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

from dosvotos.contracts.parameters import SIMULATED_INSTRUMENT
from dosvotos.contracts.records import InferenceRecord
from dosvotos.market.calendar import BAR


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
        simulated=record.instrument == SIMULATED_INSTRUMENT,
        bar=record.timestamp,
        sequence=int(record.timestamp.timestamp()) // int(BAR.total_seconds()),
        inference_id=record.inference_id,
        target=record.signal,
        notional_usd=record.signal * notional_usd + 0.0,
        valid_until=record.valid_until,
        reason_code=record.reason_code,
        model_id=record.model_id,
        epoch=record.epoch,
    )
