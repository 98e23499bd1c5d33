"""HTML pages from the packaged templates; a page needs no network, and equal inputs give equal pages."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from dosvotos.formats import COUNT, MISSING, RATIO, Form, Language
from dosvotos.hashing import short
from dosvotos.reports.bilingual import BOTH, SEPARATOR, Text, plotly_locale
from dosvotos.reports.figures import to_html
from dosvotos.reports.metrics import METRICS
from dosvotos.reports.tables import is_missing
from dosvotos.reports.words import fill

if TYPE_CHECKING:
    from jinja2 import Environment

_UNSTATED: Final = b'<html lang="en">'
_SPANISH: Final = re.compile("<bdi lang=es>.*?</bdi>")


def render(template: str, **view: object) -> str:
    """Write a page from a template and its view.

    Parameters
    ----------
    template : str
        Name of a file of ``templates`` without ``.html.j2``.
    view : object
        What the template shows, by name; text is escaped where it enters. A page without ``language`` carries
        both languages, its `Texts` named ``t``.

    Raises
    ------
    jinja2.UndefinedError
        If the template shows what `view` does not hold.
    """
    return environment().get_template(f"{template}.html.j2").render(view)


def opened_in(page: bytes, language: Language) -> bytes:
    """Let a page that carries both languages open in this one, whatever the browser's is."""
    return page.replace(_UNSTATED, f"<html lang={language} data-stated>".encode(), 1)


@cache
def environment() -> "Environment":
    """Give the templates, with what they all can use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("dosvotos.reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    templates.globals |= {"f": BOTH, "Form": Form, "COUNT": COUNT, "RATIO": RATIO, "METRICS": METRICS}
    templates.globals |= {"MISSING": MISSING, "static": _static, "plotly_js": _plotly_js}
    templates.globals |= {"SEPARATOR": SEPARATOR, "plotly_locale": _plotly_locale}
    templates.filters |= {"fill": fill, "plotly": to_html, "short": short, "significant": BOTH.significant}
    templates.filters |= {"english": _english, "join_texts": Text.join}
    templates.tests["missing"] = is_missing
    return templates


def _english(html: str) -> str:
    """Leave out the Spanish halves of marked-up text, and the marks."""
    return Markup(_SPANISH.sub("", html)).striptags()


def _plotly_locale() -> Markup:
    return Markup(json.dumps(plotly_locale(), ensure_ascii=False))


def _static(name: str) -> Markup:
    return Markup((files("dosvotos.reports") / "static" / name).read_text(encoding="utf-8"))


def _plotly_js() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())
