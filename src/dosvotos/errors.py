"""Every error a user can cause, each one line to read.

A message names the thing, the rule, the value found, and what to do next. Where that is the same for all
errors of a kind, the kind states it once, as `next_step`.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import ValidationError

from dosvotos.refusals import Language, refusal


class DosVotosError(Exception):
    """Base class: anything the console shows as a message instead of a traceback."""

    code: str | None = None
    """Of a refusal that is told in several languages (refusals.yml)."""
    figures: Mapping[str, object] = {}
    """What its sentence is written with."""
    next_step: str = ""
    """What to do about every error of this kind; it ends the message."""

    def __str__(self) -> str:
        """Write the message, with what to do next."""
        return f"{self.finding}; {self.next_step}" if self.next_step else self.finding

    @property
    def finding(self) -> str:
        """The message without what its kind says to do, for a list that ends with it."""
        return super().__str__()

    @classmethod
    def of(cls, code: str, **figures: object) -> Self:
        """Make the error of a refusal, its message in English."""
        error = cls(refusal(code, figures))
        error.code, error.figures = code, figures
        return error

    def told(self, language: Language) -> str:
        """Write the message in a language; one without a code is in English only."""
        return str(self) if self.code is None else refusal(self.code, self.figures, language)


class ProjectError(DosVotosError):
    """The working folder is in no project."""


class SelectionError(DosVotosError):
    """A run asks for a pipeline, node, tag or runner that is not there."""


class ParameterError(DosVotosError):
    """A parameter is unknown, missing or breaks a rule."""


class DataError(DosVotosError):
    """Market or macro data break the documented format."""


class RefusedBarsError(DataError):
    """A delivery's bars are not what is stated of them."""

    def __init__(self, subject: str, found: str, remedy: str) -> None:
        super().__init__(f"{subject}: {found}; {remedy}")
        self.found = f"{subject}: {found}"
        """The message without what to do, for sources of which nothing can be stated."""


class LateDataError(DataError):
    """A bar or value came after later ones were taken."""


class ContractError(DosVotosError):
    """An experiment differs from its frozen contract."""


class LineageError(DosVotosError):
    """A file or record is not the one its hash names."""


class AlteredError(LineageError):
    """A stored row or file is not what Dos Votos wrote."""

    next_step = (
        "a backup brings it back (docs/housekeeping.md), and 'dosvotos audit verify' lists all that does "
        "not agree"
    )


class TrainingError(DosVotosError):
    """A seed's training ended before it was over."""


class StrategyError(DosVotosError):
    """A strategy of one's own cannot be found, fails, gives no targets, or sees the future."""


class InSampleError(DosVotosError):
    """A model would be judged on data it was trained or chosen on."""


class FileError(DosVotosError):
    """A file cannot be read: missing, too large, or no regular file."""


class BundleError(DosVotosError):
    """A model bundle is incomplete, altered or not of this version."""


class BrokenBundleError(BundleError):
    """A bundle's files are not those that were sealed."""

    next_step = (
        "run 'kedro run --pipelines training' again, or bring the folder back from a backup "
        "(docs/housekeeping.md)"
    )


class NotificationError(DosVotosError):
    """A recipient of notifications cannot be understood."""


class DecisionError(DosVotosError):
    """A vote breaks a rule of the second vote."""


class DecisionConflictError(DecisionError):
    """A vote came too late: the proposal or the production model has changed."""


class NotAllowedError(DecisionError):
    """A person's role, or the model they trained, does not let them decide this."""


class SignatureError(DecisionError):
    """A key or signature is missing, malformed, or not the one it has to be."""


class KeyFileError(SignatureError):
    """A file or line holds no key that counts."""

    next_step = "make one with 'ssh-keygen -t ed25519' and give its .pub file"


class PasskeyError(SignatureError):
    """A passkey's answer is not the one it was asked for."""

    next_step = (
        "open the page again and use your passkey of this desk; if that fails, "
        "ask an admin for a new invitation"
    )


class CredentialError(DosVotosError):
    """A credential is none, has expired or was revoked."""


class HomeError(DosVotosError):
    """The home in which trust stands is missing, or says otherwise than the log."""


class BrokenHomeError(HomeError):
    """A file of the home is not what Dos Votos wrote."""

    next_step = (
        "it was altered; bring the home back from its last 'dosvotos home export' with 'dosvotos home import'"
    )


class UnknownProposalError(DecisionError):
    """A proposal id that does not exist."""


class UnknownRequestError(DosVotosError):
    """The id of an extra backtest that does not exist."""


class RequestError(DosVotosError):
    """An extra backtest that cannot be made as it was asked for."""


class DatabaseError(DosVotosError):
    """The database is missing, unreachable or has another schema version."""


class RunLockedError(DosVotosError):
    """Another process works on the same run."""


class SourceError(DataError):
    """A source did not answer, or not with what was asked."""


class DeliveryError(DosVotosError):
    """A consumer did not take a signal."""


class NotPublishedError(SourceError):
    """A source does not have what was asked: it may come later."""


class StaleDataError(DataError):
    """A variable that features need is older than its limit."""


def stored_otherwise(error: ValidationError) -> str:
    """Say which field of a stored record is not as this version writes it."""
    first = error.errors(include_input=False)[0]
    field = ".".join(map(str, first["loc"])) or "the whole"
    return (
        f"{error.title}: {field}: {first['msg']}; a stored row or file was edited or comes from another "
        "version of Dos Votos; 'dosvotos audit verify' and a run of the layer that makes it tell which"
    )
