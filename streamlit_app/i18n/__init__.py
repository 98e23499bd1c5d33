"""The texts of the pages, in each language."""

from functools import cache
from pathlib import Path
from typing import Final

import yaml

from dosvotos.formats import Language

LANGUAGES: Final[dict[Language, str]] = {"en": "English", "es": "Español"}


class Translator:
    """Looks up the texts of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._texts = texts(language)

    def __call__(self, key: str, **values: object) -> str:
        """Give the text of a key, its placeholders filled; a missing key is a KeyError.

        Most texts end up as Markdown: fill in what people or files say only where plain text is shown.
        """
        return self._texts[key].format(**values)

    def label(self, family: str, name: str) -> str:
        """Label a name that comes from data; an unknown one stands for itself, so show it as plain text."""
        return self._texts.get(f"{family}.{name}", name)


@cache
def texts(language: Language) -> dict[str, str]:
    """Read every text of a language, by its dotted key."""
    families = yaml.safe_load((Path(__file__).parent / f"{language}.yml").read_text(encoding="utf-8"))
    return {f"{family}.{name}": text for family, named in families.items() for name, text in named.items()}
