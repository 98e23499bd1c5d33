"""What decided the first vote, as codes with figures, and as a sentence in each language.

Records keep codes and figures, and the English sentence beside them; whoever reads in another language has
the sentence written from the same.
"""

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import yaml
from sqlalchemy import Row

from dosvotos.contracts.records import Record
from dosvotos.formats import Formats, Language

if TYPE_CHECKING:  # it brings pandas and numba, which the log of decisions needs not
    from dosvotos.backtest.metrics import SpecifiedMetrics

_CRITERIA = {
    "min_sharpe": ("number", 2),
    "max_drawdown": ("percent", 1),
    "min_win_rate": ("percent", 1),
    "min_trades": ("number", 0),
    "improvement_threshold": ("percent", 1),
}
"""Kind and least digits of a criterion's two figures."""
_P_VALUES = {"luck_p_value", "luck_of_models", "passes_luck"}
"""Reasons that set a p-value beside its level."""


class Reason(Record):
    """One thing that decided, or that a person has to judge."""

    code: str
    figures: dict[str, Any] = {}
    """JSON values."""


def sentence(reason: Reason, language: Language = "en") -> str:
    """Write a reason: a clause, or after PROMOTE a sentence."""
    return _writer(language).write(f"reason.{reason.code}", **reason.figures)


def flag(reason: Reason, language: Language = "en") -> str:
    """Write what speaks against a proposal in a few words."""
    return _writer(language).write(f"flag.{reason.code}", **reason.figures)


def explanation(
    recommendation: str,
    metrics: "SpecifiedMetrics | None",
    reasons: Iterable[Reason],
    language: Language = "en",
) -> str:
    """Say what L4 found and why it votes as it does.

    Parameters
    ----------
    recommendation : str
        PROMOTE, REVIEW or REJECT.
    metrics : SpecifiedMetrics or None
        Of which the Sharpe ratio and the number of trades are named; None of a refit.
    reasons : iterable of Reason
    language : {"en", "es"}
    """
    writer, sentences = _writer(language), [sentence(reason, language) for reason in reasons]
    if metrics is None:
        key = "UNTESTED" if recommendation == "REVIEW" else recommendation
        said = writer.write(f"recommendation.{key}", said="; ".join(sentences))
        return f"{writer.write('result.untested')} {said}"
    sharpe = metrics.sharpe_ratio
    key = "result.undefined" if sharpe is None else "result.defined"
    result = writer.write(key, sharpe=sharpe, trades=metrics.total_trades)
    if recommendation == "PROMOTE":
        return " ".join([result, *sentences])
    return f"{result} {writer.write(f'recommendation.{recommendation}', said='; '.join(sentences))}"


class FirstVote(NamedTuple):
    """L4's vote of a stored proposal, as a sentence in any language."""

    recommendation: str
    metrics: Mapping[str, Any]
    """Empty of a refit."""
    reasons: Sequence[Any] | None
    """None in proposals made before there were codes, which have the English sentence only."""
    reason: str

    @classmethod
    def of(cls, proposal: Row[Any]) -> Self:
        """Take it from a proposal's row."""
        return cls(*(getattr(proposal, name) for name in cls._fields))

    def __str__(self) -> str:
        return self.reason

    def told(self, language: Language) -> str:
        """Write the sentence in a language; raises ValidationError if the row is not what L4 wrote."""
        if not self.reasons:
            return self.reason
        from dosvotos.backtest.metrics import SpecifiedMetrics

        metrics = SpecifiedMetrics.model_validate(self.metrics) if self.metrics else None
        reasons = [Reason.model_validate(one) for one in self.reasons]
        return explanation(self.recommendation, metrics, reasons, language)


def format_distinct(
    found: float, needed: float, write: Callable[[float, int], str], digits: int
) -> tuple[str, str]:
    """Write two figures with at least so many digits, and as many as tell different ones apart."""
    while found != needed and write(found, digits) == write(needed, digits):
        digits += 1
    return write(found, digits), write(needed, digits)


def write_criterion(name: str, found: float, needed: float, formats: Formats) -> tuple[str, str]:
    """Write a hard criterion's two figures in a language, so that different ones read differently."""
    kind, digits = _CRITERIA[name]
    return format_distinct(found, needed, getattr(formats, kind), digits)


def write_p_value(found: float | None, level: float | None, formats: Formats) -> tuple[str, str]:
    """Write a p-value and its level, in percent, so that different ones read differently."""
    shown = formats.p_value(found), formats.p_value(level)
    if found is None or level is None or shown[0] != shown[1]:
        return shown
    return format_distinct(found, level, formats.percent, 2)


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
            "limits": self._limits,
        }

    def write(self, key: str, **figures: Any) -> str:
        family, _, name = key.partition(".")
        if name in _CRITERIA:
            shown = write_criterion(name, figures["found"], figures["needed"], self._formats)
            figures = dict(zip(("found", "needed"), shown, strict=True))
        elif name in _P_VALUES:
            p_value, level = self.p_value(figures["p_value"], figures["level"])
            figures = {**figures, "p_value": p_value, "level": level}
        return self.format(_texts()[family][name][self._language], **figures)

    def format_field(self, value: Any, format_spec: str) -> str:
        return self._forms[format_spec](value)

    def p_value(self, found: float, level: float) -> tuple[str, str]:
        """Write a p-value and its level, in percent and in words."""
        shown, needed = write_p_value(found, level, self._formats)
        return self._in_words(shown), needed

    def _in_words(self, chance: str) -> str:
        more, less = self.write("word.more_than"), self.write("word.less_than")
        return chance.replace(">", more).replace("<", less)

    def _rivals(self, sharpes: Mapping[str, float]) -> str:
        rivals = [f"{self.write(f'rival.{name}')} ({self._formats.number(s)})" for name, s in sharpes.items()]
        return f" {self.write('word.or')} ".join(rivals)

    def _limits(self, limits: Mapping[str, tuple[float, float]]) -> str:
        """Write criteria with the experiment's limit and the house's."""
        limit = "word.instead_of"
        pairs = {name: write_criterion(name, *both, self._formats) for name, both in limits.items()}
        return "; ".join(self.write(limit, name=name, stated=s, floor=f) for name, (s, f) in pairs.items())


@cache
def _writer(language: Language) -> _Writer:
    return _Writer(language)


@cache
def _texts() -> dict[str, dict[str, dict[Language, str]]]:
    texts = Path(__file__).with_suffix(".yml").read_text(encoding="utf-8")
    content: dict[str, dict[str, dict[Language, str]]] = yaml.safe_load(texts)
    return content
