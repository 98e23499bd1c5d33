"""The words that Streamlit's own widgets show, which it has in English alone, told in the page's language."""

import json
from typing import Final

from dosvotos.formats import Language
from streamlit_app.i18n import Translator, texts

_FAMILY: Final = "widget."
_TELL: Final = """
  const words = new Map(%s);
  const told = text => {
    const [english] = [...words.keys()].filter(word => word.endsWith(" ") && text.startsWith(word));
    return words.get(text.trim()) ?? (english ? words.get(english) + text.slice(english.length) : text);
  };
  const pages = '[data-testid="stMarkdownContainer"], [data-testid="stText"], code';
  const ours = node => node.parentElement?.closest(pages);
  const tell = node => {
    if (node.nodeType === Node.TEXT_NODE) {
      if (!ours(node) && told(node.data) !== node.data) node.data = told(node.data);
      return;
    }
    for (const name of ["aria-label", "title", "placeholder"]) {
      const text = node.getAttribute?.(name);
      if (text && told(text) !== text) node.setAttribute(name, told(text));
    }
    for (const child of node.childNodes) tell(child);
  };
  window.widgetWords?.disconnect();
  window.widgetWords = new MutationObserver(changes => {
    for (const change of changes)
      for (const node of change.type === "childList" ? change.addedNodes : [change.target]) tell(node);
  });
  tell(document.body);
  window.widgetWords.observe(document.body, {
    subtree: true, childList: true, characterData: true,
    attributes: true, attributeFilter: ["aria-label", "title", "placeholder"],
  });
"""
_LEAVE: Final = "if (window.widgetWords) { %s }"


def widget_words(language: Language) -> str:
    """Write the script that tells Streamlit's words in a language, and again whenever it draws them anew.

    In English it does something only where they were told in another language before.
    """
    names = [key.removeprefix(_FAMILY) for key in texts("en") if key.startswith(_FAMILY)]
    english, other = Translator("en"), Translator("es")
    pairs = [(english(f"widget.{name}"), other(f"widget.{name}")) for name in names]
    if language == "en":
        return _LEAVE % (_TELL % json.dumps([pair[::-1] for pair in pairs]))
    return _TELL % json.dumps(pairs)
