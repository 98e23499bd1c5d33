"""Texts and figures in both languages at once: one page carries both and shows the reader's.

HTML holds each text twice, of which the stylesheet hides one; a plot and an attribute hold both between a
separator that nobody sees, and page.js takes the reader's half.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final, Self

import yaml
from babel.core import Locale
from markupsafe import Markup, escape

from dosvotos.formats import Form, Formats, Language

SEPARATOR: Final = "\N{INVISIBLE SEPARATOR}"
"""Between the English and the Spanish half of a text in a plot or an attribute."""
_FORMATS: Final = Formats("en"), Formats("es")


@dataclass(frozen=True)
class Text:
    """A text in both languages; as a plain string it is English."""

    en: str
    es: str

    @classmethod
    def write(cls, write: Callable[[Language], object]) -> Self:
        """Write it by a function of the language."""
        return cls(str(write("en")), str(write("es")))

    @classmethod
    def join(cls, parts: "list[Text]", separator: str = ", ") -> Self:
        """Join texts."""
        return cls(separator.join(one.en for one in parts), separator.join(one.es for one in parts))

    def fill(self, **parts: object) -> "Text":
        """Fill the placeholders; of a part in both languages each takes its own."""
        return Text.write(lambda language: getattr(self, language).format(**in_language(parts, language)))

    @property
    def both(self) -> str:
        """Both halves for a plot or an attribute; one where they are the same."""
        return self.en if self.en == self.es else f"{self.en}{SEPARATOR}{self.es}"

    def __str__(self) -> str:
        return self.en

    def __html__(self) -> Markup:
        if self.en == self.es:
            return escape(self.en)
        return Markup("<bdi lang=en>{}</bdi><bdi lang=es>{}</bdi>").format(self.en, self.es)


Written = str | Text
"""A text in one language, or in both."""


def in_language(parts: dict[str, object], language: Language) -> dict[str, object]:
    """Take what is in both languages in one."""
    return {name: getattr(part, language) if isinstance(part, Text) else part for name, part in parts.items()}


class BilingualFormats:
    """`Formats` of both languages; each figure is a `Text`."""

    def write(self, value: float | None, form: Form) -> Text:
        """Write a figure in its form."""
        return _written(lambda formats: formats.write(value, form))

    def number(self, value: float | None, digits: int = 2, signed: bool = False) -> Text:
        """Write a figure with thousands separators."""
        return _written(lambda formats: formats.number(value, digits, signed))

    def percent(self, fraction: float | None, digits: int = 1, signed: bool = False) -> Text:
        """Write a fraction in percent."""
        return _written(lambda formats: formats.percent(fraction, digits, signed))

    def chance(self, probability: float | None) -> Text:
        """Write a probability in percent."""
        return _written(lambda formats: formats.chance(probability))

    def moment(self, moment: datetime | None) -> Text:
        """Write a moment in UTC to the minute."""
        return _written(lambda formats: formats.moment(moment))

    def months(self) -> list[Text]:
        """Abbreviated names of the months, January first."""
        return [Text(*pair) for pair in zip(*(formats.months() for formats in _FORMATS), strict=True)]

    def weekdays(self) -> list[Text]:
        """Abbreviated names of the weekdays, Monday first."""
        names = (Locale.parse(formats.language).days["format"]["abbreviated"] for formats in _FORMATS)
        return [Text(*pair) for pair in zip(*([days[i] for i in range(7)] for days in names), strict=True)]

    def plural(self, n: int, one: Text, other: Text) -> Text:
        """Write a count and its noun, in the number that each language gives it."""
        en, es = _FORMATS
        return Text(en.plural(n, one.en, other.en), es.plural(n, one.es, other.es))

    def significant(self, value: float, form: str = ".5g") -> Text:
        """Write significant digits, or two decimals from a thousand on; a dash for NaN."""
        if math.isnan(value) or abs(value) >= 1000:
            return self.number(value)
        written = format(value, form)
        return Text(written, written.replace(".", _FORMATS[1].separators[0]))


def _written(write: Callable[[Formats], str]) -> Text:
    en, es = _FORMATS
    return Text(write(en), write(es))


BOTH: Final = BilingualFormats()


class Texts:
    """The texts of a page, from ``texts/<page>.yml``, read at the first use; a missing key is a KeyError."""

    def __init__(self, page: str) -> None:
        self._page = page

    @property
    def _texts(self) -> dict[str, Text]:
        return _read(self._page)

    def __call__(self, key: str, **parts: object) -> Text:
        """Give a text, its placeholders filled."""
        return self._texts[key].fill(**parts) if parts else self._texts[key]

    def known(self, family: str, code: object) -> Text:
        """Give the text of a code that comes from data, ``family.code``; an unknown one stands as it is."""
        return self._texts.get(f"{family}.{code}", Text(str(code), str(code)))

    def family(self, name: str) -> dict[str, Text]:
        """Give the texts ``name.code`` by code, in the catalogue's order."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): t for key, t in self._texts.items() if key.startswith(prefix)}

    def count(self, noun: str, n: int) -> Text:
        """Write a count and its noun, which is in the catalogue as ``noun.one`` and ``noun.other``."""
        return BOTH.plural(n, self(f"{noun}.one"), self(f"{noun}.other"))


def plotly_locale() -> dict[str, Any]:
    """Give Spanish dates and numbers in Plotly's words, from Babel's (CLDR's) names."""
    es = Locale.parse("es")
    marks = _FORMATS[1].separators
    names = {"days": es.days["format"]["wide"], "shortDays": es.days["format"]["abbreviated"]}
    sunday_first = {name: [days[(i + 6) % 7] for i in range(7)] for name, days in names.items()}
    months = {"months": es.months["format"]["wide"], "shortMonths": es.months["format"]["abbreviated"]}
    by_number = {name: [texts[month] for month in range(1, 13)] for name, texts in months.items()}
    numbers = {"decimal": marks[0], "thousands": marks[1], "date": "%d/%m/%Y"}
    return {"moduleType": "locale", "name": "es", "format": {**sunday_first, **by_number, **numbers}}


@cache
def _read(page: str) -> dict[str, Text]:
    content = (files("dosvotos.reports") / "texts" / f"{page}.yml").read_text(encoding="utf-8")
    return {key: Text(**texts) for key, texts in yaml.safe_load(content).items()}
