"""What the documents state about the configuration is what the configuration says."""

from dosvotos.contracts.acquisition import MacroVariable, SeriesSource
from tests.conftest import ROOT

DATA = ROOT / "docs/data.md"
HEAD = ["| variable | unit | source (else) | known | honest range | terms |", "|---|---|---|---|---|---|"]


def _source(source: SeriesSource) -> str:
    return f"{source.provider} `{source.series}`"


def _row(name: str, variable: MacroVariable) -> str:
    rule = variable.publication
    sources = _source(variable.primary)
    if variable.fallback:
        sources += f" ({_source(variable.fallback)})"
    known = f"{rule.rule} {rule.time:%H:%M} {rule.zone.split('/')[1].replace('_', ' ')}"
    limits = f"{variable.expected_min:g} to {variable.expected_max:g}"
    mark = " **HIGH**" if variable.priority == "HIGH" else ""
    return f"| `{name}`{mark} | {variable.unit} | {sources} | {known} | {limits} | {variable.terms} |"


def test_the_table_of_variables_is_the_configuration_s(variables):
    table = "\n".join([*HEAD, *(_row(name, variable) for name, variable in variables.items())])
    assert table in DATA.read_text(), f"docs/data.md must hold this table:\n{table}"
