"""A registered proposal's frame in the terminal, of the backtest's and of a refit."""

from typing import Any, Final

from rich.panel import Panel
from sqlalchemy import Row

_COLOURS: Final = {"PROMOTE": "green", "REVIEW": "yellow", "REJECT": "red"}


def headline(proposal: Row[Any], kind: str = "") -> Panel:
    """Frame a registered proposal's recommendation and reason; `kind` ends its title."""
    colour = _COLOURS[proposal.recommendation]
    return Panel(
        f"[bold {colour}]{proposal.recommendation}[/]  {proposal.reason}",
        title=f"promotion proposal {proposal.id}: {proposal.experiment_name}{kind}",
        subtitle=proposal.model_id,
        expand=False,
    )
