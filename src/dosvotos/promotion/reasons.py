"""What decided the first vote, as codes with figures, and as a sentence in each language.

Records keep codes and figures, and the English sentence beside them; whoever reads in another language has
the sentence written from the same.
"""

import string
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from dosvotos.formats import Formats, Language


class Reason(BaseModel):
    """One thing that decided, or that a person has to judge."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    code: str
    figures: dict[str, Any] = {}
    """JSON values."""


def sentence(reason: Reason, language: Language = "en") -> str:
    """A reason in words: a clause, or after PROMOTE a sentence."""
    return _writer(language).write(f"reason.{reason.code}", **reason.figures)


def explanation(
    recommendation: str, metrics: Mapping[str, Any], reasons: Iterable[Reason], language: Language = "en"
) -> str:
    """What L4 found and why it votes as it does.

    Parameters
    ----------
    recommendation : str
        PROMOTE, REVIEW or REJECT.
    metrics : mapping
        Of which ``sharpe_ratio`` (None if undefined) and ``total_trades`` are told.
    reasons : iterable of Reason
    language : {"en", "es"}
    """
    writer, sharpe, trades = _writer(language), metrics["sharpe_ratio"], metrics["total_trades"]
    found = "undefined" if sharpe is None else "defined"
    result = writer.write(f"result.{found}", sharpe=sharpe, trades=trades)
    said = [sentence(reason, language) for reason in reasons]
    if recommendation == "PROMOTE":
        return " ".join([result, *said])
    return f"{result} {writer.write(f'recommendation.{recommendation}', said='; '.join(said))}"


class _Writer(string.Formatter):
    """Writes a text's figures as its language does; a figure's format says what it is."""

    def __init__(self, language: Language) -> None:
        self._language, self._formats = language, Formats(language)
        f = self._formats
        self._forms: dict[str, Callable[[Any], str]] = {
            "": str,
            "count": lambda value: f.number(value, 0),
            "number": f.number,
            "percent": lambda value: f.percent(value, 0),
            "percent1": f.percent,
            "signed": lambda value: f.percent(value, 0, signed=True),
            "small": f.small_percent,
            "chance": lambda value: self._in_words(f.chance(value)),
            "chance2": lambda value: self._in_words(f.chance(value, 2)),
            "names": ", ".join,
            "rivals": self._rivals,
        }

    def write(self, key: str, **figures: Any) -> str:
        family, _, name = key.partition(".")
        return self.format(_texts()[family][name][self._language], **figures)

    def format_field(self, value: Any, format_spec: str) -> str:
        return self._forms[format_spec](value)

    def _in_words(self, chance: str) -> str:
        more, less = self.write("word.more_than"), self.write("word.less_than")
        return chance.replace(">", more).replace("<", less)

    def _rivals(self, sharpes: Mapping[str, float]) -> str:
        said = [f"{self.write(f'rival.{name}')} ({self._formats.number(s)})" for name, s in sharpes.items()]
        return f" {self.write('word.or')} ".join(said)


@cache
def _writer(language: Language) -> _Writer:
    return _Writer(language)


@cache
def _texts() -> dict[str, dict[str, dict[Language, str]]]:
    texts = Path(__file__).with_suffix(".yml").read_text(encoding="utf-8")
    content: dict[str, dict[str, dict[Language, str]]] = yaml.safe_load(texts)
    return content
