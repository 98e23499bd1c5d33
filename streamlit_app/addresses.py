"""What every address of the app keeps: the language, and light or dark where somebody chose."""

from collections.abc import Mapping
from typing import Final, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from streamlit_app.i18n import LANGUAGES

LANGUAGE, THEME = "lang", "theme"
Theme = Literal["light", "dark"]
THEMES: Final[tuple[str, ...]] = get_args(Theme)
_EMBED: Final = "embed_options"
"""By which Streamlit's page is told its theme before it draws anything."""


def kept(query: Mapping[str, str]) -> dict[str, str]:
    """Choose what another address keeps of a query."""
    known = {LANGUAGE: tuple(LANGUAGES), THEME: THEMES}
    return {name: query[name] for name, values in known.items() if query.get(name) in values}


def keeping(path: str, query: Mapping[str, str]) -> str:
    """Write an address that keeps what is to be kept of another one's query."""
    if not (stated := kept(query)):
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode(stated)}"


class ThemeOfAddress:
    """Opens a page in the theme that its address states.

    Streamlit's page takes its theme from ``embed_options``, which a script of ours cannot set: whoever asks
    for a page with ``theme=dark`` is led to the same address with both.
    """

    def __init__(self, app: ASGIApp, pages: tuple[str, ...]) -> None:
        self.app, self._pages = app, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or lead it to where its theme is stated for Streamlit too."""
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in self._pages:
            stated = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            if (wanted := _with_theme(stated)) != stated:
                await RedirectResponse(f"{scope['path']}?{urlencode(wanted)}")(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _with_theme(query: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """State a query's theme for Streamlit as well; one without a theme stays as it is."""
    theme = dict(query).get(THEME)
    if theme not in THEMES or (_EMBED, f"{theme}_theme") in query:
        return query
    others = [pair for pair in query if pair[0] != _EMBED or not pair[1].endswith("_theme")]
    return [*others, (_EMBED, f"{theme}_theme")]
