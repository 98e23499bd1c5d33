"""HTML pages from the packaged templates; a page needs no network, and equal inputs give equal pages."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from dosvotos.formats import COUNT, MISSING, RATIO, Form
from dosvotos.hashing import short
from dosvotos.reports.figures import to_html
from dosvotos.reports.metrics import METRICS
from dosvotos.reports.tables import EN, is_missing, significant_digits
from dosvotos.reports.words import fill

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **view: object) -> str:
    """Write a page from a template and its view.

    Parameters
    ----------
    template : str
        Name of a file of ``templates`` without ``.html.j2``.
    view : object
        What the template shows, by name; text is escaped where it enters.

    Raises
    ------
    jinja2.UndefinedError
        If the template shows what `view` does not hold.
    """
    return environment().get_template(f"{template}.html.j2").render(view)


@cache
def environment() -> "Environment":
    """Give the templates, with what they all can use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("dosvotos.reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    templates.globals |= {"f": EN, "Form": Form, "COUNT": COUNT, "RATIO": RATIO, "METRICS": METRICS}
    templates.globals |= {"MISSING": MISSING, "static": _static, "plotly_js": _plotly_js}
    templates.filters |= {"fill": fill, "plotly": to_html, "short": short, "significant": significant_digits}
    templates.tests["missing"] = is_missing
    return templates


def _static(name: str) -> Markup:
    return Markup((files("dosvotos.reports") / "static" / name).read_text(encoding="utf-8"))


def _plotly_js() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())
