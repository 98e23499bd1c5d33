"""English words told from Spanish ones, and from code."""

import re

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
