"""The validation pack's own words, and those for what records hold as codes, in each language (words.yml)."""

from functools import cache
from pathlib import Path

import yaml
from markupsafe import Markup, escape

from dosvotos.formats import Language


def words(language: Language) -> dict[str, str]:
    """Give the pack's own words in a language, by key."""
    return {key: texts[language] for key, texts in _texts("pack").items()}


def evidence_words(language: Language) -> dict[str, str]:
    """Give the labels of the evidence's fields in a language."""
    return {key: texts[language] for key, texts in _texts("evidence").items()}


def value_in_words(value: object, language: Language) -> str:
    """Write a value that a record holds as a code or in English; an unknown one stands as it is."""
    known = _texts("value").get(str(value))
    return known["es"] if known and language == "es" else str(value)


def fill(text: str, **parts: object) -> Markup:
    """Put marked-up parts into a text of ours."""
    return Markup(escape(text)).format(**parts)


@cache
def _texts(family: str) -> dict[str, dict[Language, str]]:
    content = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
    texts: dict[str, dict[Language, str]] = content[family]
    return texts
