"""Whether the rows of a proposal and its model still name what people have signed for or against."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from dosvotos.audit.decision_text import parse_text
from dosvotos.database.registry import find_model, get_proposal
from dosvotos.database.tables import approval_audit_log
from dosvotos.errors import AlteredError, LineageError, SignatureError, UnknownProposalError
from dosvotos.refusals import Phrase

OF_PROPOSALS: Final = ("APPROVE", "REJECT", "REOPEN")
"""Decisions whose text names a proposal's dossier and its model's manifest."""


def check_rejections(connection: Connection, files_too: bool) -> None:
    """Refuse to approve anything while a row says that a REJECT was about another model than it was.

    Which policy a REJECT closed follows from rows; with them altered it would be open under another name.

    Parameters
    ----------
    connection : Connection
    files_too : bool
        Whether to read the dossiers too, which takes a few milliseconds each.

    Raises
    ------
    AlteredError
        Naming the log's row and the column.
    """
    for found in voted_differences(connection, ("REJECT",), files_too):
        raise AlteredError.of("voted_altered", found=found)


def voted_differences(
    connection: Connection, actions: Sequence[str] = OF_PROPOSALS, files_too: bool = True
) -> Iterator[Phrase]:
    """Name the rows of proposals and models that are not what a signed decision about them says.

    A dossier that is gone or damaged says nothing; `promotion` writes it again.
    """
    t = approval_audit_log
    votes = select(t).where(t.c.action.in_(actions), t.c.text.is_not(None)).order_by(t.c.id)
    for vote in connection.execute(votes).all():
        try:
            pairs = list(_pairs(connection, vote, files_too))
        except (SignatureError, UnknownProposalError) as error:
            yield Phrase.of("voted_unknown", row=vote.id, problem=error.finding)
            continue
        for column, found, signed in pairs:
            if found != signed:
                yield Phrase.of("voted_differs", row=vote.id, column=column, found=found, signed=signed)


def _pairs(connection: Connection, vote: Row[Any], files_too: bool) -> Iterator[tuple[str, Any, Any]]:
    """List what rows say, and what they must: by the signed text, by the dossier that it names."""
    text, proposal = parse_text(vote.text), get_proposal(connection, vote.proposal_id)
    model = find_model(connection, vote.model_id)
    lineage = proposal.lineage if isinstance(proposal.lineage, dict) else {}
    yield "promotion_proposals.dossier_hash", proposal.dossier_hash, text.dossier
    yield "promotion_proposals.model_id", proposal.model_id, vote.model_id
    yield "promotion_proposals.instrument", proposal.instrument, text.instrument
    yield "model_registry.instrument", model and model.instrument, text.instrument
    yield "model_registry.manifest_hash", model and model.manifest_hash, text.model
    yield "promotion_proposals.lineage.model_hash", lineage.get("model_hash"), model and model.model_hash
    if files_too and (recorded := _recorded_hash(proposal)) is not None:
        yield "model_registry.model_hash", model and model.model_hash, recorded


def _recorded_hash(proposal: Row[Any]) -> str | None:
    """Read from a proposal's dossier which policy it is about; None where the dossier cannot be read."""
    from dosvotos.contracts.records import TrainingRecord  # only here: a command that reads none starts fast
    from dosvotos.promotion.dossier import Dossier

    if proposal.dossier_hash is None:
        return None
    try:
        return Dossier.of(proposal).read(TrainingRecord).model_hash
    except LineageError:
        return None
