"""What a person or program is told when something is refused, in each language; the texts are in refusals.yml.

Errors keep a code and its figures, and the English sentence beside them; whoever reads in another language has
the sentence written from the same.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, cast

Language = Literal["en", "es"]


def refusal(code: str, figures: Mapping[str, object], language: Language = "en") -> str:
    """Write the sentence of a code; an unknown code, or a figure that is missing, is a KeyError.

    A figure that can be told in several languages is told in this one.
    """
    told = {name: tell(figure, language) for name, figure in figures.items()}
    return refusal_texts()[code][language].format(**told)


def tell(figure: object, language: Language) -> object:
    """Write an error in a language; whatever else stands for itself."""
    return figure.told(language) if hasattr(figure, "told") else figure


@cache
def refusal_texts() -> dict[str, dict[Language, str]]:
    """Read the sentence of every code, by language."""
    import yaml

    texts = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
    return cast(dict[str, dict[Language, str]], texts)
