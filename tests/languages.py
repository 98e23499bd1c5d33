"""English words told from Spanish ones, and from code."""

import html
import json
import re

from dosvotos.reports.bilingual import SEPARATOR

_WORDS = re.compile(
    r"\b(the|of|is|are|was|were|not|with|from|by|and|this|that|its|than|which|before|after|has|have|be|to"
    r"|more|at|on|there|it|for|all|each|per|between|days?|sessions?|trades?|found|needed|none|unknown"
    r"|must|should|valid|expected|missing|run|input)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"`[^`]*`|'[^']*'|/\S+|<style.*?</style>|<script.*?</script>|<[^>]+>", re.DOTALL)


def is_english(text: str) -> bool:
    """Tell whether two English words or more stand in a text, outside of code, paths and quotations."""
    return len(set(_WORDS.findall(_CODE.sub(" ", text)))) >= 2


def english_in_spanish(page: str) -> list[str]:
    """English that a page in both languages shows in Spanish: in text, attributes and plots."""
    body = re.sub(r"<bdi lang=en>[^<]*</bdi>|<title>[^<]*</title>|<style>[^<]*</style>", "", page)
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", body, flags=re.S)
    plots = [script for script in scripts if "Plotly.newPlot(" in script and "plotly.js v" not in script]
    quoted = [json.loads(text) for plot in plots for text in re.findall(r'"(?:[^"\\]|\\.)*"', plot)]
    shown = re.split(r"</?(?!bdi)[^>]*>", re.sub(r"<script[^>]*>.*?</script>", "", body, flags=re.S))
    texts = [*map(html.unescape, shown), *re.findall(r'(?:aria-label|placeholder)="([^"]*)"', body)]
    return [text for text in (one.split(SEPARATOR)[-1] for one in (*texts, *quoted)) if is_english(text)]


def in_english(page: str) -> str:
    """A page in both languages without its Spanish halves."""
    return re.sub(r"<bdi lang=es>[^<]*</bdi>|</?bdi[^>]*>", "", page)
