"""What L4 judges: a model's bundle, a line of bundles, or a strategy of one's own."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from dosvotos.errors import BundleError
from dosvotos.jsonfile import write_json
from dosvotos.policy.bundle import POLICY, Bundle, open_bundle
from dosvotos.policy.strategy import Strategy, open_strategy

_LINE: Final = "line.json"


@dataclass(frozen=True)
class Line(Bundle):
    """A walk-forward line: the last fold's bundle, which may be served, and those of the folds before."""

    earlier: tuple[Bundle, ...] = ()

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """All folds' bundles, in order."""
        return (*self.earlier, self)


Candidate = Bundle | Strategy


def line_files(earlier: tuple[Bundle, ...]) -> dict[str, bytes]:
    """Make the file by which the last fold's bundle names the others: its manifest covers the line."""
    return {_LINE: write_json({"earlier": [bundle.manifest_hash for bundle in earlier]})}


def open_candidate(folder: Path, manifest_hash: str) -> Candidate:
    """Read what a manifest's hash names; the bundles of a line lie beside one another.

    Raises
    ------
    BundleError, LineageError
        If a file is missing, added or altered.
    """
    if not (folder / POLICY).exists():
        return open_strategy(folder, manifest_hash)
    bundle = open_bundle(folder, manifest_hash)
    if (content := bundle.files.get(_LINE)) is None:
        return bundle
    hashes = json.loads(content)["earlier"]
    earlier = tuple(open_bundle(folder.parent / one, one) for one in hashes)
    parts = {field.name: getattr(bundle, field.name) for field in fields(bundle)}
    return Line(**parts, earlier=earlier)


def require_bundle(candidate: Candidate) -> Bundle:
    """Take a model's bundle; a strategy of one's own has none.

    Raises
    ------
    BundleError
    """
    if isinstance(candidate, Strategy):
        raise BundleError(
            f"{candidate.reference}: an own strategy has no bundle, so it cannot be served; train a model "
            "to have one"
        )
    return candidate
