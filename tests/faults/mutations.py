"""Bundles and dossiers changed in every way a file can be: none of them is opened."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dosvotos.errors import BundleError, LineageError
from dosvotos.policy.bundle import open_bundle
from dosvotos.promotion.dossier import Dossier
from tests.proposal_fixtures import Desk

Change = Callable[[Path], object]


class MutationCount(NamedTuple):
    """How many changed folders were opened all the same."""

    bundle_mutations: int
    mutations_accepted: int
    unclear: list[str]
    """Those refused by another error than the reader's own."""


class Sealed(NamedTuple):
    """A folder, and the one way to read it."""

    folder: Path
    read: Callable[[], object]


def mutate(desk: Desk, proposal_id: int, n_flips: int, seed: int) -> MutationCount:
    """Change a proposal's bundle and dossier, one change at a time, and try to open them."""
    row = desk.proposal(proposal_id)
    (bundle,) = desk.root.glob("data/06_models/*")
    dossier = desk.root / row.report_folder
    folders = (
        Sealed(bundle, lambda: open_bundle(bundle, bundle.name)),
        Sealed(dossier, lambda: Dossier.open(dossier, row.dossier_hash, row.experiment_name)),
    )
    rng, tried, accepted, unclear = np.random.default_rng(seed), 0, 0, []
    for sealed in folders:
        sealed.read()
        kept = sealed.folder.with_name("kept")
        shutil.copytree(sealed.folder, kept)
        for name, change in changes(sealed.folder, rng, n_flips):
            change(sealed.folder)
            tried += 1
            try:
                sealed.read()
                accepted += 1
            except (BundleError, LineageError):
                pass
            except Exception as error:
                unclear.append(f"{name}: {type(error).__name__}: {error}")
            shutil.rmtree(sealed.folder)
            shutil.copytree(kept, sealed.folder)
        sealed.read()
        shutil.rmtree(kept)
    return MutationCount(tried, accepted, unclear)


def changes(folder: Path, rng: np.random.Generator, n_flips: int) -> Iterator[tuple[str, Change]]:
    """Every change, by name; each takes the folder."""
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        size = (folder / name).stat().st_size
        for bit in rng.choice(8 * size, min(n_flips, 8 * size), replace=False):
            yield f"{name}: bit {bit}", on(name, lambda path, bit=int(bit): flip(path, bit))
        for length in {0, 1, size // 2, size - 1} - {size}:
            yield f"{name}: cut to {length}", on(name, lambda path, n=length: os.truncate(path, n))
        for end in (b"\0", b" ", b"\n", bytes(10_000)):
            yield f"{name}: longer", on(name, lambda path, b=end: path.write_bytes(path.read_bytes() + b))
        for what, replace in REPLACED.items():
            yield f"{name}: {what}", on(name, replace)
        for other in names:
            if other != name:
                yield (
                    f"{name}: {other}'s content",
                    on(name, lambda p, o=other: p.write_bytes((p.parent / o).read_bytes())),
                )
                yield f"{name}: swapped with {other}", on(name, lambda p, o=other: swap(p, p.parent / o))
    for extra in ("more.json", ".hidden", "manifest.json.bak", "\u202egnp.sj"):
        yield f"{extra} more", on(extra, lambda path: path.write_bytes(b"{}"))
        yield f"folder {extra} more", on(extra, lambda path: path.mkdir())
        yield f"FIFO {extra} more", on(extra, os.mkfifo)
        yield f"link {extra} more", on(extra, lambda path: path.symlink_to("/dev/zero"))


def on(name: str, change: Callable[[Path], object]) -> Change:
    return lambda folder: change(folder / name)


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _gone(path: Path, make: Callable[[Path], object] | None = None) -> None:
    kept = path.parent.with_name("moved")
    shutil.copy(path, kept)
    path.unlink()
    if make is not None:
        make(path)


REPLACED: dict[str, Callable[[Path], object]] = {
    "missing": _gone,
    "renamed": lambda path: path.rename(path.with_suffix(".old")),
    "a folder": lambda path: _gone(path, Path.mkdir),
    "a FIFO": lambda path: _gone(path, os.mkfifo),
    "a link to its own content": lambda path: _gone(
        path, lambda p: p.symlink_to(p.parent.with_name("moved"))
    ),
    "a link to nothing": lambda path: _gone(path, lambda p: p.symlink_to("nowhere")),
    "a link to itself": lambda path: _gone(path, lambda p: p.symlink_to(p.name)),
    "a device": lambda path: _gone(path, lambda p: p.symlink_to("/dev/zero")),
    "unreadable text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
}
"""What takes a file's place."""
