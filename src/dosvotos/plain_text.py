"""Text that people write, without what a terminal or a page would obey instead of showing it."""

import unicodedata
from typing import Final, NamedTuple

from dosvotos.refusals import Language, refusal

_NAMES: Final = {
    0: "NUL", 7: "BEL", 8: "BACKSPACE", 9: "TAB", 10: "LINE FEED", 13: "CARRIAGE RETURN", 27: "ESC",
    127: "DELETE",
}  # fmt: skip
_LAYOUT: Final = "\n\t"
_JOINERS: Final = "\u200c\u200d"
_HIDDEN: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")


class HiddenCharacter(NamedTuple):
    """A character that does not show as itself."""

    name: str
    """Code point and name."""
    position: int
    """In the text, from 1."""

    def __str__(self) -> str:
        return self.told("en")

    def told(self, language: Language) -> str:
        """Write it in a language."""
        return refusal("hidden_character", self._asdict(), language)


def hidden_character(text: str, *, one_line: bool) -> HiddenCharacter | None:
    """Name the first character that does not show as itself, or None.

    Parameters
    ----------
    text : str
    one_line : bool
        A name, which has no line feed, tab or joiner either; else a text of several lines.

    Notes
    -----
    Such are control characters (ESC, BEL, NUL ...), format characters (bidirectional overrides and marks,
    zero width), line and paragraph separators and lone surrogates, by Unicode's general category. In texts
    the joiners stay that Persian words and emoji need.
    """
    allowed = "" if one_line else _LAYOUT + _JOINERS
    for position, character in enumerate(text, start=1):
        if unicodedata.category(character) in _HIDDEN and character not in allowed:
            code = ord(character)
            name = _NAMES.get(code) or unicodedata.name(character, "a control character")
            return HiddenCharacter(f"U+{code:04X} {name}", position)
    return None


def check_text(text: str) -> str:
    """Return a text of any number of lines that shows as it is; raises as `check_name`."""
    if hidden := hidden_character(text, one_line=False):
        raise ValueError(f"plain text only, found {hidden}")
    return text


def check_name(name: str) -> str:
    """Return a name that shows as it is.

    Raises
    ------
    ValueError
        Naming the character that does not show as itself.
    """
    if hidden := hidden_character(name, one_line=True):
        raise ValueError(f"plain text in one line only, found {hidden}")
    return name
