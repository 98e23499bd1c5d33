"""Streamlit's own words: told in the page's language, and only where Streamlit still writes them so."""

from pathlib import Path

import streamlit

from streamlit_app.i18n import texts
from streamlit_app.widgets import widget_words

STATIC = Path(streamlit.__file__).parent / "static" / "static" / "js"
COMPOSED = {"Press Enter to apply", "Press Ctrl+Enter to apply", "Press ⌘+Enter to apply", "Help for "}
"""Put together by Streamlit from parts that are looked for by themselves."""


def test_every_word_is_one_that_this_version_of_streamlit_writes():
    bundle = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))
    ours = {text for key, text in texts("en").items() if key.startswith("widget.")}
    assert ours >= COMPOSED and all(
        part in bundle for part in ("Help for $", "Press Enter to $", "+Enter to $")
    )
    missing = {text for text in ours - COMPOSED if f"`{text}" not in bundle and f'"{text}' not in bundle}
    assert missing <= {
        "The page that you have requested does not seem to exist. Running the app's main page."
    }


def test_in_english_words_are_told_back_only_where_they_were_told_in_another_language():
    assert widget_words("en").startswith("if (window.widgetWords)")
    assert '["Fullscreen", "Pantalla completa"]' in widget_words("es")
    assert '["Pantalla completa", "Fullscreen"]' in widget_words("en")
