"""The validation pack's own words, and those for what records hold as codes, in each language (words.yml)."""

import re
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from markupsafe import Markup, escape

from dosvotos.formats import Language

_PERIOD: Final = re.compile(r"^(\d{4}-\d\d-\d\d) to (\d{4}-\d\d-\d\d)$")


def words(language: Language) -> dict[str, str]:
    """Give the pack's own words in a language, by key."""
    return {key: texts[language] for key, texts in _texts("pack").items()}


def evidence_words(language: Language) -> dict[str, str]:
    """Give the labels of the evidence's fields in a language."""
    return {key: texts[language] for key, texts in _texts("evidence").items()}


def value_in_words(value: object, language: Language) -> str:
    """Write a value that a record holds as a code or in English; an unknown one stands as it is."""
    if language == "en":
        return str(value)
    known = _texts("value").get(str(value))
    return known[language] if known else _PERIOD.sub(r"\1 a \2", str(value))


def fill(text: str, **parts: object) -> Markup:
    """Put marked-up parts into a text of ours."""
    return Markup(escape(text)).format(**parts)


def _texts(family: str) -> dict[str, dict[Language, str]]:
    return _families()[family]


@cache
def _families() -> dict[str, dict[str, dict[Language, str]]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    families: dict[str, dict[str, dict[Language, str]]] = yaml.load(
        Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"), loader
    )
    return families
