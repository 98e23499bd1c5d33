"""What follows from a candidate that is no model: it is judged, can be rejected, and cannot be served."""

from typing import Any, Literal

from sqlalchemy import Row

from dosvotos.errors import DecisionError, RequestError
from dosvotos.promotion.reasons import Reason

Kind = Literal["model", "own_strategy", "line", "refit"]
"""What a proposal is about: a trained model, a strategy of one's own, a walk-forward line as a method, or an
approved model's contract on later data."""


def kind_of(row: Row[Any]) -> Kind:
    """Tell what a proposal, or a registered model, is by its lineage."""
    lineage = row.lineage if isinstance(row.lineage, dict) else {}
    if lineage.get("targets"):
        return "own_strategy"
    if lineage.get("refit_of"):
        return "refit"
    return "line" if lineage.get("folds") else "model"


def own_targets(proposal: Row[Any]) -> str | None:
    """Give the ``candidate.targets`` of a proposal about an own strategy; None of a model's."""
    return proposal.lineage.get("targets") if isinstance(proposal.lineage, dict) else None


def refuse_unserved(proposal: Row[Any]) -> None:
    """Refuse to approve what cannot be served.

    Raises
    ------
    DecisionError
    """
    if targets := own_targets(proposal):
        raise DecisionError.of("own_strategy", proposal=proposal.id, targets=targets)


def refuse_extra_backtest(proposal: Row[Any]) -> None:
    """Refuse an extra backtest of an own strategy: no server and no worker runs a user's code.

    Raises
    ------
    RequestError
    """
    if targets := own_targets(proposal):
        raise RequestError.of("own_strategy_backtest", proposal=proposal.id, targets=targets)


def kind_notices(proposal: Row[Any]) -> tuple[Reason, ...]:
    """Say what kind of candidate a proposal is about, where it is not one trained model."""
    kind = kind_of(proposal)
    if kind == "own_strategy":
        return (Reason(code="cannot_be_served", figures={"targets": proposal.lineage["targets"]}),)
    if kind == "line":
        return (Reason(code="about_the_method", figures={"folds": proposal.lineage["folds"]}),)
    return ()
