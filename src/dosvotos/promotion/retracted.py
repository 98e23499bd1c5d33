"""Retracted data behind proposals and models: what was built on them cannot be approved, and is named."""

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, Row, select

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.database.connection import reading
from dosvotos.database.deliveries import any_retraction, retracted_after, sees_delivery
from dosvotos.database.registry import OPEN_STATES
from dosvotos.database.tables import experiment_contracts, model_registry, promotion_proposals
from dosvotos.errors import DecisionError
from dosvotos.promotion.reasons import Reason
from dosvotos.refusals import Language, Phrase, refusal

REASON: Final = "retracted_data"


class BuiltOnRetracted(NamedTuple):
    """A production model, or an open proposal, whose history holds rows of a delivery retracted since."""

    subject: Phrase
    """``model`` or ``proposal`` and its id."""
    experiment_name: str
    retraction: Row[Any]
    """Its row in `deliveries`; `retracts` is the delivery."""

    def __str__(self) -> str:
        return self.told("en")

    def told(self, language: Language) -> str:
        """Write it in a language."""
        gone = self.retraction
        figures = {
            "subject": self.subject,
            "delivery": gone.retracts,
            "source": gone.source,
            "origin": gone.origin,
            "at": f"{gone.fetched_at:%Y-%m-%d %H:%M}",
            "reason": gone.reason,
        }
        return refusal("built_on_retracted", figures, language)


def refuse_retracted_data(connection: Connection, proposal: Row[Any]) -> None:
    """Refuse a proposal whose contract sees, inside its history, rows of a delivery retracted since.

    Raises
    ------
    DecisionError
        Naming the delivery and what to do.
    """
    for found in _behind(connection, Phrase.of("audit_proposal", proposal=proposal.id), proposal):
        raise DecisionError.of("retracted_data", found=found, experiment=proposal.experiment_name)


def retracted_reasons(connection: Connection, proposal: Row[Any]) -> tuple[Reason, ...]:
    """Say, as a reader of a proposal must know, which deliveries behind it were retracted since."""
    found = _behind(connection, Phrase.of("audit_proposal", proposal=proposal.id), proposal)
    return tuple(
        Reason(
            code=REASON,
            figures={
                "delivery": one.retraction.retracts,
                "source": one.retraction.source,
                "date": f"{one.retraction.fetched_at:%Y-%m-%d}",
                "said": one.retraction.reason,
            },
        )
        for one in found
    )


def built_on_retracted(engine: Engine, production_only: bool = False) -> list[BuiltOnRetracted]:
    """Find the production models, and open proposals too, that are built on data retracted since."""
    with reading(engine) as connection:
        if not any_retraction(connection):
            return []
        models = select(model_registry).where(model_registry.c.stage == "production")
        subjects = [
            (Phrase.of("production_model", model=row.model_id), row) for row in connection.execute(models)
        ]
        if not production_only:
            is_open = promotion_proposals.c.status.in_(OPEN_STATES)
            proposals = select(promotion_proposals).where(is_open).order_by(promotion_proposals.c.id)
            subjects += [
                (Phrase.of("audit_proposal", proposal=row.id), row) for row in connection.execute(proposals)
            ]
        return [found for subject, row in subjects for found in _behind(connection, subject, row)]


def _behind(connection: Connection, subject: Phrase, row: Row[Any]) -> list[BuiltOnRetracted]:
    """List what is retracted behind a row of `promotion_proposals` or `model_registry`."""
    if not any_retraction(connection) or (contract := _contract_of(connection, row)) is None:
        return []
    import numpy as np

    from dosvotos.market.calendar import session_bar_times  # pandas, where there is anything to look for

    feed, as_of = contract.parameters.feed, contract.data_as_of
    session = session_bar_times(np.datetime64(contract.test_end), contract.parameters.calendar)
    until = session[-1].to_pydatetime()
    found = []
    for retraction in retracted_after(connection, row.instrument, feed, as_of):
        if sees_delivery(connection, row.instrument, feed, retraction.retracts, as_of, until):
            found.append(BuiltOnRetracted(subject, row.experiment_name, retraction))
    return found


def _contract_of(connection: Connection, row: Row[Any]) -> ExperimentContract | None:
    t = experiment_contracts
    same = (t.c.experiment_name == row.experiment_name) & (t.c.config_hash == row.lineage["config_hash"])
    stored = connection.execute(select(t).where(same).order_by(t.c.id).limit(1)).one_or_none()
    return (
        None
        if stored is None
        else ExperimentContract(**{name: value for name, value in stored._mapping.items() if name != "id"})
    )
