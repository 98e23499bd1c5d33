"""What a person or program is told when something is refused, in each language, from refusals.yml.

Errors keep a code and its figures, and the English sentence beside them; whoever reads in another language
has the sentence written from the same.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, Protocol, cast, runtime_checkable

Language = Literal["en", "es"]


def refusal(code: str, figures: Mapping[str, object], language: Language = "en") -> str:
    """Write the sentence of a code; an unknown code, or a figure that is missing, is a KeyError.

    A figure that can be told in several languages is told in this one.
    """
    told = {name: one.told(language) if isinstance(one, Told) else one for name, one in figures.items()}
    return refusal_texts()[code][language].format(**told)


@runtime_checkable
class Told(Protocol):
    """What is written in any language: an error, the first vote."""

    def told(self, language: Language) -> str:
        """Write it in a language."""
        ...


@cache
def refusal_texts() -> dict[str, dict[Language, str]]:
    """Read the sentence of every code, by language."""
    import yaml

    texts = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
    return cast(dict[str, dict[Language, str]], texts)
