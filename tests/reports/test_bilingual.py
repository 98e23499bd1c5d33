"""The pages in both languages: no text outside the catalogues, no key without use, no English in Spanish."""

import ast
import re
import string
from pathlib import Path

import pytest
import yaml

import dosvotos.reports
from dosvotos.reports import bilingual
from dosvotos.reports.bilingual import BOTH, SEPARATOR, Text, Texts, plotly_locale
from dosvotos.reports.rendering import opened_in

FOLDER = Path(dosvotos.reports.__file__).parent
CATALOGUES = {path.stem: path for path in sorted((FOLDER / "texts").glob("*.yml"))}
ONE_LANGUAGE = {"validation_pack", "pack_summary"}
"""Templates that are written anew in each language, from words.yml."""
PARSE = string.Formatter().parse
NOT_SHOWN = {"English", "Español", "<div class=plot>", "wide broad", "class="}
SAME = re.compile(
    r"^[\W\d]*$|^(train|val|test|cusum|normal|real|beta|no|a - b| d|Hashes|variables?|autocorrelation)$|USD"
)
"""Texts that are the same in both languages."""


def templates() -> dict[str, str]:
    paths = (FOLDER / "templates").glob("*.j2")
    return {path.name.partition(".")[0]: path.read_text(encoding="utf-8") for path in paths}


def outside_the_catalogue(template: str) -> set[str]:
    """Words that a template shows itself: in its text, in an attribute that is read out, in a string."""
    parts = re.findall(r"{[{%].*?[%}]}", template, flags=re.S)
    template = re.sub(r"{% block kind.*?endblock %}", "", template)
    marked = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", "", template, flags=re.S)
    texts = re.split(r"<[^>]*>", re.sub(r"<(style|script)>.*?</\1>", "", marked, flags=re.S))
    texts += re.findall(r'(?:aria-label|placeholder|title|alt)="([^"]*)"', marked)
    texts += [one for part in parts for one in re.findall(r'"([^"]*)"', part) if " " in one.strip()]
    return {text.strip() for text in texts if re.search("[A-Za-z]{2}", text)} - NOT_SHOWN


def keys_in_use(page: str) -> tuple[set[str], set[str]]:
    """Keys in a page's code and template, and beginnings of keys that are completed when it is drawn."""
    whole, beginnings = set(), set()
    for path in FOLDER.glob(f"{page}*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", "") or getattr(
                getattr(node, "func", None), "attr", ""
            )
            if name not in ("_T", "known", "family", "count") or not node.args:
                continue
            for given in (
                (node.args[0].body, node.args[0].orelse)
                if isinstance(node.args[0], ast.IfExp)
                else node.args[:1]
            ):
                if isinstance(given, ast.JoinedStr) and given.values:
                    beginnings.add(given.values[0].value)
                elif isinstance(given, ast.Constant):
                    (whole if name == "_T" else beginnings).add(given.value + "." * (name != "_T"))
    template = templates()[page]
    whole |= set(re.findall(r"""\bt\("([^"]+)"[,)]""", template))
    whole |= {
        key for pair in re.findall(r"""\bt\("([^"]+)" if .*? else "([^"]+)\"""", template) for key in pair
    }
    beginnings |= set(re.findall(r"""\bt\("([^"]+)" ~""", template))
    return whole, beginnings | {f"{name}." for name in re.findall(r't\.(?:known|count)\("([^"]+)"', template)}


@pytest.mark.parametrize("page", CATALOGUES)
def test_every_text_is_in_both_languages_with_the_same_placeholders(page):
    for key, texts in yaml.safe_load(CATALOGUES[page].read_text(encoding="utf-8")).items():
        assert set(texts) == {"en", "es"} and all(texts.values()), key
        named = {
            language: {name for _, name, _, _ in PARSE(text)} - {None} for language, text in texts.items()
        }
        assert named["en"] == named["es"], key
        assert texts["en"] != texts["es"] or SAME.match(re.sub("{.*?}", "", texts["en"])), key


def test_every_page_has_a_catalogue_and_no_template_shows_a_text_of_its_own():
    drawn = {name: text for name, text in templates().items() if name not in ONE_LANGUAGE}
    assert {name for name, text in drawn.items() if "extends" in text} == set(CATALOGUES)
    assert outside_the_catalogue('<p>Own text {{ t("a") }}</p>') and outside_the_catalogue(
        '{{ m.note("two words") }}'
    )
    languages = {"English", "Español"}
    left = {
        name: set(map(str.strip, outside_the_catalogue(text))) - languages for name, text in drawn.items()
    }
    assert {name: texts for name, texts in left.items() if texts} == {}


@pytest.mark.parametrize("page", CATALOGUES)
def test_every_key_is_used_and_every_key_in_use_is_in_the_catalogue(page):
    keys = set(yaml.safe_load(CATALOGUES[page].read_text(encoding="utf-8")))
    whole, beginnings = keys_in_use(page)
    assert {key for key in keys - whole if not key.startswith(tuple(beginnings))} == set()
    assert whole - keys == set()


def test_a_text_stands_on_a_page_once_where_it_is_the_same_and_twice_where_not():
    assert Text("<a>", "<a>").__html__() == "&lt;a&gt;"
    assert Text("<a>", "b").__html__() == "<bdi lang=en>&lt;a&gt;</bdi><bdi lang=es>b</bdi>"
    assert Text("a", "b").both == f"a{SEPARATOR}b" and Text("a", "a").both == "a"
    filled = Text("{n} of it", "{n} de eso").fill(n=BOTH.number(1234.5))
    assert filled == Text("1,234.50 of it", "1.234,50 de eso")
    assert BOTH.significant(0.123456) == Text("0.12346", "0,12346")


def test_counts_dates_and_names_are_babel_s(monkeypatch):
    monkeypatch.setattr(
        bilingual, "_read", lambda page: {"n.one": Text("bar", "barra"), "n.other": Text("bars", "barras")}
    )
    t = Texts("any")
    assert [t.count("n", n) for n in (1, 2000)] == [
        Text("1 bar", "1 barra"),
        Text("2,000 bars", "2.000 barras"),
    ]
    assert BOTH.months()[0] == Text("Jan", "ene") and BOTH.weekdays()[0] == Text("Mon", "lun")
    dates = plotly_locale()["format"]
    assert dates["days"][0] == "domingo" and dates["shortMonths"][11] == "dic"
    assert (dates["decimal"], dates["thousands"]) == (",", ".")


def test_a_page_opens_in_the_language_it_is_asked_for_by_its_address_or_its_reader():
    page = b'<!doctype html>\n<html lang="en"><head>'
    assert opened_in(page, "es") == b"<!doctype html>\n<html lang=es data-stated><head>"
