"""Text that people write, without what a terminal or a page would obey instead of showing it."""

import re
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


_ACTIVE: Final = {ord(one): chr(ord(one) + 0xFEE0) for one in "@<>[]#$"} | {ord("\u3002"): "\u2024"}
"""What begins a mention, a tag, a link or an image somewhere, by the full-width sign that looks alike."""
_SCHEME: Final = re.compile(r"(?<=[A-Za-z]):(?=\S)")
_COMMAND: Final = re.compile(r"(?<!\w)/(?=\w)")
_DOTS: Final = re.compile(r"\d+(?:\.\d+){3,}|(?<=\w)\.(?=[^\W\d])|(?<=[^\W\d])\.(?=\w)")
"""Those of addresses of machines, and those inside names; a number keeps its point."""


def inert(text: str, longest: int) -> str:
    """Return a text in one line in which no chat or mail program finds a link, a mention or an image.

    Parameters
    ----------
    text : str
        Somebody else's words.
    longest : int
        Characters kept; where some are cut off the last one is an ellipsis.

    Notes
    -----
    Signs that such programs act on become others that look alike: the dot of ``evil.com`` a one-dot leader,
    the colon of ``https:`` and the ``@`` full-width ones, the slash of ``/stop`` a fraction slash. Hidden
    characters go; numbers such as ``0.05`` and times such as ``10:30`` stay.
    """
    kept = (one for one in unicodedata.normalize("NFKC", text) if one.isspace() or not _is_hidden(one))
    plain = " ".join("".join(kept).split()).translate(_ACTIVE)
    plain = _COMMAND.sub("\u2044", _SCHEME.sub("\uff1a", plain))
    plain = _DOTS.sub(lambda found: found[0].replace(".", "\u2024"), plain)
    return plain if len(plain) <= longest else plain[: longest - 1] + "\u2026"


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN
