"""What every part of the parameter tree is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]


class Section(BaseModel):
    """A part of the parameter tree: immutable, no unknown key, no NaN, no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
