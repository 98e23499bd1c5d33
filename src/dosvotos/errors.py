"""Every error a user can cause, each one line to read.

A message names the thing, the rule, the value found, and what to do next. Where that is the same for all
errors of a kind, the kind states it once, as `next_step`.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import ValidationError

from dosvotos.refusals import Language, Phrase, refusal


class DosVotosError(Exception):
    """Base class: anything the console shows as a message instead of a traceback."""

    code: str | None = None
    """Of a refusal that is told in several languages (refusals*.yml)."""
    figures: Mapping[str, object] = {}
    """What its sentence is written with."""
    next_step: str | None = None
    """The code of what to do about every error of this kind; it ends the message."""

    def __str__(self) -> str:
        """Write the message, with what to do next."""
        return self.told("en")

    @classmethod
    def of(cls, code: str, **figures: object) -> Self:
        """Make the error of a refusal, its message in English."""
        error = cls(refusal(code, figures))
        error.code, error.figures = code, figures
        return error

    @classmethod
    def like(cls, other: "DosVotosError") -> Self:
        """Make the error that says what another says."""
        error = cls(str(other.finding))
        error.code, error.figures = other.code, other.figures
        return error

    @property
    def finding(self) -> Phrase:
        """The message without what its kind says to do, for a list that ends with it.

        One without a code is in English only.
        """
        if self.code is None:
            return Phrase.of("said", said=super().__str__())
        return Phrase.of(self.code, **self.figures)

    @property
    def phrase(self) -> Phrase:
        """The message as a text that is told in any language."""
        if self.next_step is None:
            return self.finding
        return Phrase.of("with_next_step", finding=self.finding, next_step=Phrase.of(self.next_step))

    def told(self, language: Language) -> str:
        """Write the message in a language; one without a code is in English only."""
        said = super().__str__() if self.code is None else refusal(self.code, self.figures, language)
        return said if self.next_step is None else f"{said}; {refusal(self.next_step, {}, language)}"


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

    next_step = "next_altered"


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

    next_step = "next_bundle"


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

    next_step = "next_key"


class PasskeyError(SignatureError):
    """A passkey's answer is not the one it was asked for."""

    next_step = "next_passkey"


class CredentialError(DosVotosError):
    """A credential is none, has expired or was revoked."""


class HomeError(DosVotosError):
    """The home in which trust stands is missing, or says otherwise than the log."""


class BrokenHomeError(HomeError):
    """A file of the home is not what Dos Votos wrote."""

    next_step = "next_home"


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


def stored_otherwise(error: ValidationError) -> Phrase:
    """Say which field of a stored record is not as this version writes it."""
    return Phrase.of("stored_otherwise", title=error.title, problem=error)
