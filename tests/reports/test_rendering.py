import datetime as dt
import re

import jinja2
import numpy as np
import pandas as pd
import pytest

from dosvotos.formats import PERCENT
from dosvotos.leakage.report import FeatureReport, Finding, LeakReport
from dosvotos.reports.bilingual import BOTH
from dosvotos.reports.figures import figure
from dosvotos.reports.leakcheck import render_leakcheck
from dosvotos.reports.rendering import environment, render
from dosvotos.reports.tables import Cell, Column, table
from tests.languages import english_in_spanish, in_english

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> & \"x\" 'y'"
BLANK = """{% extends "base.html.j2" %}{% block kind %}blank{% endblock %}
{% block title %}{{ t }}{% endblock %}
{% block lead %}{{ t }}{% endblock %}{% block content %}CONTENT{% endblock %}"""


def page(content: str, **view) -> str:
    return environment().from_string(BLANK.replace("CONTENT", content)).render({"t": "title", **view})


def body(page: str) -> str:
    return page[page.index("<body") :]


def texts(rows: pd.DataFrame | list, *args) -> list[list[str]]:
    return [[str(cell.text) for cell in row] for row in table(rows, *args).rows]


def test_text_stays_text_wherever_it_enters():
    content = """{% call m.section(t) %}{{ t }}{% endcall %}{{ m.table(rows) }}{{ m.tiles([(t, t)]) }}
        {{ m.verdict(false, t) }}{{ m.legend({t: t}) }}{{ m.note(t) }}{{ m.mark(t) }}
        {{ m.figure(drawn, "drawn", t, t) }}"""
    rows = table(pd.DataFrame({HOSTILE: [HOSTILE], "x": [Cell(HOSTILE, bad=True, field=HOSTILE)]}))
    drawn = figure().add_bar(x=[1], y=[1])
    written = page(content, t=HOSTILE, rows=rows, drawn=drawn)
    assert "alert(1)</script>" not in written and "<img" not in body(written)
    assert written.count("&lt;/script&gt;&lt;script&gt;") == 3 + 2 + 5 + 9


def test_a_table_shows_each_kind_of_value_by_its_nature():
    rows = pd.DataFrame(
        {
            "name": ["a", None],
            "n": [1234, 5],
            "share": [0.12345, np.nan],
            "at": pd.to_datetime(["2025-07-01 08:00", None]).tz_localize("America/Bogota"),
            "ok": [True, False],
            "marked": pd.Series([Cell("x", bad=True), "<y>"], dtype=object),
        }
    )
    shown = table(rows, {"share": PERCENT})
    assert texts(rows, {"share": PERCENT}) == [
        ["a", "1,234", "12.3%", "2025-07-01 13:00", "yes", "x"],
        ["\u2013", "5", "\u2013", "\u2013", "no", "<y>"],
    ]
    assert shown.rows[0][-1].bad and not shown.rows[1][-1].bad
    assert [column.css for column in shown.columns] == ["", "n", "n", "t", "", ""]
    assert table(rows, right=["ok"]).columns[4] == Column("ok", "n")
    written = in_english(page("{{ m.table(rows) }}", rows=shown))
    assert "<td><b class=bad>x</b><tr>" in written and "<td>&lt;y&gt;" in written
    assert "<td class=n>1,234<td class=n>12.3%<td class=t>2025-07-01 13:00" in written


def test_an_empty_table_keeps_its_head():
    rows = table(pd.DataFrame(columns=["a", "b"]))
    assert "<th>a<th>b</thead><tbody></tbody>" in page("{{ m.table(rows) }}", rows=rows)
    assert table([]) == ((), ())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(np.nan, "\u2013"), (0.0, "0"), (4012.5, "4,012.50"), (1.23456789, "1.2346"), (-1e-7, "-1e-07")],
)
def test_numbers_have_five_digits(value, shown):
    assert str(BOTH.significant(value)) == shown


def test_only_a_page_with_figures_carries_plotly_and_only_once():
    drawn = figure().add_bar(x=[1], y=[1])
    two = '{% call m.grid() %}{{ m.figure(drawn, "a") }}{{ m.figure(drawn, "b") }}{% endcall %}'
    written = page(two, drawn=drawn)
    assert written.count("plotly.js v") == 1 and written.count('class="plotly-graph-div"') == 2
    assert written == page(two, drawn=drawn)
    assert "plotly.js v" not in page("{{ text }}", text="<div class=plot>")


def test_a_page_asks_nobody():
    written = page("text")
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*\b(?:src|href)=", written)
    assert "default-src 'none'" in written


def test_a_template_that_shows_what_its_view_does_not_hold_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        page("{{ forgotten }}")
    with pytest.raises(jinja2.UndefinedError):
        render("leakcheck")


def test_a_leak_check_s_page_tells_each_finding_and_its_probes():
    moment = dt.datetime(2026, 7, 31, 18, tzinfo=dt.UTC)
    finding = Finding(subject="vix_z", rule="future", at=moment, detail="It moved.", hint="shift", n_probes=2)
    features = (FeatureReport(feature="vix_z", probes=1200, inputs=("bars",), findings=(finding,)),)
    page = render_leakcheck(
        LeakReport(
            pipeline="p", seed=0, bars=66_960, first_bar=moment, last_bar=moment, probes={"replay": 9},
            features=features, dataset=(),
        )
    )  # fmt: skip
    for shown in ("Not clean.", "<p>It moved.</p>", "looks like: shift", "found by 2 probes", ">1,200<"):
        assert shown in page
    assert english_in_spanish(page.replace("It moved.", "")) == []
