"""What can be said of the explained survivors without trying a mutant."""

from pathlib import Path

import yaml

from tests.mutation.__main__ import GROUPS, ROOT, SURVIVORS, Mutant, change_in, explained

DIFF = """--- market/accounting.py
+++ market/accounting.py
@@ -1,5 +1,5 @@
 def fill(equity: float) -> float:
-    equity -= fee
+    equity += fee
     return equity
"""


def source(name: str) -> str:
    return " ".join((ROOT / "src" / "dosvotos" / name).read_text().split())


def test_a_change_is_the_lines_that_go_and_those_that_come():
    assert change_in(DIFF) == "equity -= fee => equity += fee"
    assert change_in("--- a\n+++ a\n-    -1,\n+    +1,\n") == "-1, => +1,"


def test_every_explained_survivor_is_a_change_of_code_that_stands_there():
    listed = [
        Mutant(function, change)
        for functions in yaml.safe_load(SURVIVORS.read_text()).values()
        for function, changes in functions.items()
        for change in changes
    ]
    of_groups = [mutant for group in GROUPS.values() for mutant in explained(group)]
    assert sorted(listed) == sorted(of_groups), "each once, and of a group"
    texts = {name: source(name) for group in GROUPS.values() for name in group.code}
    modules = {name.removesuffix(".py").replace("/", "."): text for name, text in texts.items()}
    stale = [
        mutant
        for mutant in listed
        for module, text in modules.items()
        if mutant.function.startswith(f"{module}.") and mutant.change.split(" => ")[0] not in text
    ]
    assert stale == [], "its line has changed: run 'make mutants' for it and correct survivors.yml"


def test_the_groups_name_code_and_tests_that_exist():
    for group in GROUPS.values():
        named = [
            *(Path("src/dosvotos") / name for name in group.code),
            *(Path("tests") / name for name in group.tests),
        ]
        assert [path for path in named if not (ROOT / path).is_file()] == []
