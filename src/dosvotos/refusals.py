"""What a person or program is told when something is refused, in each language, from refusals*.yml.

Errors keep a code and its figures, and the English sentence beside them; whoever reads in another language
has the sentence written from the same.
"""

import errno
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self, get_args, runtime_checkable

from pydantic import ValidationError

Language = Literal["en", "es"]


def refusal(code: str, figures: Mapping[str, object], language: Language = "en") -> str:
    """Write the sentence of a code; an unknown code, or a figure that is missing, is a KeyError.

    A figure that can be told in several languages is told in this one.
    """
    told = {name: in_language(figure, language) for name, figure in figures.items()}
    return refusal_texts()[code][language].format(**told)


@runtime_checkable
class Told(Protocol):
    """What is written in any language: an error, the first vote."""

    def told(self, language: Language) -> str:
        """Write it in a language."""
        ...


class Phrase(str):
    """A text in English that is told in any language, as an error's message is."""

    code: str
    figures: Mapping[str, object]

    @classmethod
    def of(cls, code: str, **figures: object) -> Self:
        """Write the text of a code; raises as `refusal`."""
        phrase = cls(refusal(code, figures))
        phrase.code, phrase.figures = code, figures
        return phrase

    def told(self, language: Language) -> str:
        """Write it in a language."""
        return refusal(self.code, self.figures, language)


class StoredText(str):
    """A text in English as a row stores it, told in the languages that are stored beside it."""

    by_language: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def of(cls, text: Told, change: Callable[[str], str] = str) -> Self:
        """Write a text in every language, to store it; each is changed, as where secrets are hidden."""
        told = {language: change(text.told(language)) for language in get_args(Language)}
        return cls.read(told["en"], told)

    @classmethod
    def read(cls, text: str, by_language: Mapping[str, str] | None) -> Self:
        """Take both from a row; older rows have the text alone, which is told as what the program said."""
        stored = cls(text)
        stored.by_language = by_language or {}
        return stored

    def told(self, language: Language) -> str:
        """Give it in a language."""
        return self.by_language.get(language) or Phrase.of("said", said=str(self)).told(language)


def in_language(figure: object, language: Language) -> object:
    """Tell a figure in a language if it can be; what a library says is in English, elsewhere its kind."""
    if isinstance(figure, Told):
        return figure.told(language)
    if isinstance(figure, ValidationError):
        return first_problem(figure, language)
    if isinstance(figure, OSError) and figure.errno is not None:
        known = refusal_texts().get(f"errno_{errno.errorcode.get(figure.errno, '')}")
        return figure.strerror if language == "en" or known is None else known[language]
    if isinstance(figure, Exception) and language != "en":
        return type(figure).__name__
    return figure


def first_problem(error: ValidationError, language: Language = "en") -> str:
    """Say which field breaks which of pydantic's rules first, without repeating its value."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {broken_rule(first, language)}" if where else broken_rule(first, language)


def broken_rule(problem: Mapping[str, Any], language: Language = "en") -> str:
    """Write the rule that one of pydantic's errors names, in a language."""
    if language == "en":
        return str(problem["msg"]).removeprefix("Value error, ")
    context = problem.get("ctx", {})
    own = getattr(context.get("error"), "args", ())
    if own and isinstance(own[0], Told):
        return own[0].told(language)
    code = f"pydantic_{problem['type']}"
    if code in refusal_texts():
        return refusal(code, context, language)
    return refusal("pydantic_other", {"rule": problem["type"]}, language)


@cache
def refusal_texts() -> dict[str, dict[Language, str]]:
    """Read the sentence of every code, by language."""
    import yaml

    texts: dict[str, dict[Language, str]] = {}
    for file in sorted(Path(__file__).parent.glob("refusals*.yml")):
        texts |= yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return texts
