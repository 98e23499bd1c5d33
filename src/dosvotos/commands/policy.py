"""``dosvotos policy``: the house's policy on the terminal."""

from pathlib import Path
from typing import Final

import click
import yaml
from pydantic import ValidationError
from rich.markup import escape

from dosvotos.console import open_console, plain_table
from dosvotos.contracts.experiment import flatten
from dosvotos.errors import ParameterError
from dosvotos.files import read_regular_file
from dosvotos.promotion.gate_policy import GatePolicy, PolicyInForce

MAX_POLICY_BYTES: Final = 64 * 1024

_MEANINGS: Final = {
    "evidence.first_look_level": "chance of luck at the first look",
    "evidence.later_look_level": "later: divided by looks x models",
    "evidence.family_level": "SPA and StepM among several looks",
    "evidence.naive_percentile": "of the random traders, to be beaten",
    "evidence.n_random_traders": "at least",
    "evidence.min_positive_seeds": "share of at least five seeds",
    "evidence.max_uncovered_sessions": "share of the test window",
    "evidence.bootstrap_replications": "of SPA and StepM",
    "evidence.seed": "of bootstrap and random traders",
    "success_criteria.min_sharpe": "net, annual; more is needed",
    "success_criteria.max_drawdown": "from the peak; less is needed",
    "success_criteria.min_win_rate": "of closed trades; more is needed",
    "success_criteria.min_trades": "more are needed",
    "success_criteria.improvement_threshold": "over production's Sharpe ratio",
    "quorum": "approvals that production needs",
    "refit_to_shadow": "whether a refit may run in shadow",
    "tripwires.max_drawdown": "loosest an approval may state",
    "tripwires.max_age_days": "loosest an approval may state",
    "tripwires.claim_level": "least an approval may state",
    "live_limits.reduce_at_drawdown": "live: no new position from here on",
    "live_limits.halt_at_drawdown": "live: flat from here on",
    "live_limits.flips_an_hour": "live: then no new position",
    "live_limits.errors_an_hour": "live: then flat",
}


def print_policy(found: PolicyInForce, as_yaml: bool) -> None:
    """Print a policy and who set it, as a table of at most 80 columns, or alone as YAML."""
    content = found.policy.model_dump(mode="json")
    if as_yaml:
        click.echo(yaml.safe_dump(content, sort_keys=False), nl=False)
        return
    table = plain_table("limit", "value", "means")
    for name, value in flatten(content).items():
        section, _, limit = name.rpartition(".")
        if section and name == next(one for one in flatten(content) if one.startswith(section)):
            table.add_row(f"{section}:")
        if name != "version":
            table.add_row(f"{'  ' * bool(section)}{limit}", _shown(value), _MEANINGS[name])
    console = open_console()
    console.print(f"policy version {found.policy.version}: {escape(_origin(found))}")
    console.print(table)
    console.print("An experiment may ask more; criteria that ask less are REVIEW at best.")


def read_policy(file: Path) -> GatePolicy:
    """Read a policy as `print_policy` writes it.

    Raises
    ------
    ParameterError
        Naming the field that is none of a policy's, missing or out of bounds.
    """
    content = read_regular_file(file, MAX_POLICY_BYTES)
    try:
        return GatePolicy.model_validate(yaml.safe_load(content))
    except yaml.YAMLError as error:
        raise ParameterError(
            f"{file}: no YAML: {error}; 'dosvotos policy show --yaml' writes one to change"
        ) from error
    except ValidationError as error:
        problem = error.errors()[0]
        raise ParameterError(
            f"{file}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}; 'dosvotos policy show "
            "--yaml' writes one to change"
        ) from error


def _shown(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _origin(found: PolicyInForce) -> str:
    if found.created_at is None:
        return found.reason
    return f"set by {found.set_by} on {found.created_at:%Y-%m-%d}: {found.reason}"
