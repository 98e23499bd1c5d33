"""How a contract's test window came to be: chosen by the calendar, or by a person."""

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

WindowStatus = Literal["calendar", "chosen_window", "stale_window"]


class WindowFacts(BaseModel):
    """What the window was judged by; dates are Bogota sessions in ISO format."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_session: str
    """Of test, as the contract has it."""
    last_session: str
    calendar_first: str
    """The first scheduled session after val."""
    calendar_last: str
    """The last complete session stored by the clock, or a later one that a look has seen."""
    stored_last: str
    """The last complete session stored by the clock."""
    clock: str
    """The last session that had ended."""
    sessions_behind: int
    """Scheduled sessions after `stored_last` that had ended."""
    edited_sessions: Annotated[tuple[str, ...], Field(exclude_if=lambda days: not days)] = ()
    """Sessions of test whose stored bars an exception of the calendar or a retraction took out or let in."""


class JudgedWindow(NamedTuple):
    """A window's status and what it was judged by."""

    status: WindowStatus
    facts: WindowFacts
