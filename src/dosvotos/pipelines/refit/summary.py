"""The end of a refit's run, as a person reads it."""

from typing import Any

from sqlalchemy import Row

from dosvotos.console import open_console
from dosvotos.pipelines.headline import headline


def print_proposal(proposal: Row[Any], allowed: bool) -> None:
    """Print a registered refit and the next step; `allowed` is whether the house's policy lets it run."""
    console = open_console()
    console.print()
    console.print(headline(proposal, ", a refit"))
    console.print(f"status: {proposal.status}")
    console.print(f"next: {_next_step(proposal, allowed)}\n", style="bold", markup=False)


def _next_step(proposal: Row[Any], allowed: bool) -> str:
    if proposal.status != "PENDING_APPROVAL" or proposal.recommendation == "REJECT":
        return "make app shows why"
    vote = f"make app, or 'dosvotos vote {proposal.id} approve --shadow --reason ...'"
    return vote if allowed else f"an admin sets refit_to_shadow with 'dosvotos policy set', then {vote}"
