"""What every part of the parameter tree is made of."""

from datetime import date, datetime, time
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

Item = TypeVar("Item")


def _from_iso(kind: type[date] | type[time]) -> BeforeValidator:
    def parse(value: Any) -> Any:
        return kind.fromisoformat(value) if isinstance(value, str) else value

    return BeforeValidator(parse)


Day = Annotated[date, _from_iso(date)]
Instant = Annotated[AwareDatetime, _from_iso(datetime)]
ClockTime = Annotated[time, _from_iso(time)]
Items = Annotated[tuple[Item, ...], Field(strict=False)]
"""A YAML list; its items are as strict as any other value."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]


class Section(BaseModel):
    """A part of the parameter tree: immutable, no unknown key, no other type, no NaN, no infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
