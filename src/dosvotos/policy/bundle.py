"""Model bundles: immutable folders named by their manifest's hash, from which nothing is unpickled.

Every file is regular, read once, checked against the manifest and parsed from memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeInt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from dosvotos.contracts.experiment import ExperimentContract, reward_config
from dosvotos.contracts.features import FEATURE_ORDER, FEATURE_ORDER_HASH
from dosvotos.errors import BrokenBundleError, BundleError, FileError
from dosvotos.files import read_regular_file, restore_folder
from dosvotos.hashing import canonical_json, digest_bytes
from dosvotos.jsonfile import read_json, write_json
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import TARGETS, ServedPolicy

MANIFEST = "manifest.json"
CONFIG = "config.yaml"
REWARD_CONFIG = "reward_config.json"
POLICY = "policy.safetensors"
LINEAR_RIVAL = "linear_rival.safetensors"
"""Tensors of the linear rival, which shares the policy's statistics; absent in bundles from before it."""
MAX_BYTES = 50 * 1024 * 1024
"""Of all files together."""
MAX_MANIFEST_BYTES = 1024 * 1024
_FORMAT = 1
_YAML: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Bundle:
    """A model bundle that was read and verified."""

    folder: Path
    manifest_hash: str
    policy: ServedPolicy
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """All files by name, config, reward, training metrics and SB3's zip among them."""
    linear_rival: ServedPolicy | None = None
    """Fitted with the model; None in bundles from before linear rivals."""

    @cached_property
    def config(self) -> dict[str, Any]:
        """The frozen parameters of the model's contract.

        Raises
        ------
        BundleError
            If the bundle does not hold them.
        """
        return parse_config(self.files.get(CONFIG, b""), self.folder)

    @property
    def model_hash(self) -> str:
        """Of its policy."""
        return self.policy.model_hash


def contract_files(contract: ExperimentContract) -> dict[str, bytes]:
    """Write a contract's parameters and its reward, as a bundle or a strategy's sealed copy holds them."""
    return {
        CONFIG: yaml.safe_dump(contract.frozen_config, sort_keys=True).encode(),
        REWARD_CONFIG: write_json(reward_config(contract.parameters)),
    }


def parse_config(content: bytes, folder: Path) -> dict[str, Any]:
    """Parse a ``config.yaml`` of a folder: the frozen parameters of a contract.

    Raises
    ------
    BundleError
        If it holds none.
    """
    try:
        config = yaml.load(content, _YAML)
    except yaml.YAMLError as error:
        raise BrokenBundleError.of("bundle_yaml", path=folder / CONFIG, problem=error) from error
    if not isinstance(config, dict) or not {"name", "instrument"} <= {*config.get("experiment", ())}:
        raise BrokenBundleError.of("bundle_parameters", path=folder / CONFIG)
    return config


def write_bundle(parent: Path, policy: ServedPolicy, other_files: dict[str, bytes]) -> Bundle:
    """Write a bundle under `parent` atomically; one that stands whole is returned, a damaged one mended.

    Parameters
    ----------
    parent : Path
    policy : ServedPolicy
    other_files : dict of bytes
        Further files by name, not read back: config, reward, metrics, SB3's zip.
    """
    files = {
        **other_files,
        **_CONSTANT_FILES,
        POLICY: tensor_bytes(policy),
        "norm_stats.json": write_json(policy.norm_stats.model_dump(mode="json")),
    }
    entries = {n: {"size": len(c), "sha256": digest_bytes(c)} for n, c in sorted(files.items())}
    manifest = canonical_json({"format": _FORMAT, "model_hash": policy.model_hash, "files": entries}).encode()
    folder = parent / digest_bytes(manifest)
    _check_tensors(folder, policy.tensors)
    try:
        return open_bundle(folder, folder.name)
    except BundleError:
        restore_folder(folder, {**files, MANIFEST: manifest})
    return open_bundle(folder, folder.name)


def open_bundle(folder: Path, manifest_hash: str) -> Bundle:
    """Read a bundle and verify it against the hash of its manifest.

    Raises
    ------
    BundleError
        If a file is missing, added, altered, too large, or not of this version.
    """
    manifest_bytes = _read(folder / MANIFEST, MAX_MANIFEST_BYTES)
    actual_hash = digest_bytes(manifest_bytes)
    if actual_hash != manifest_hash:
        raise BrokenBundleError.of(
            "bundle_hash", path=folder / MANIFEST, expected=manifest_hash, found=actual_hash
        )
    try:
        read_json(manifest_bytes)
        manifest = _Manifest.model_validate_json(manifest_bytes)
        files = _read_listed(folder, manifest.files)
        policy = _parse_policy(files)
        rival = _parse_linear_rival(files, policy.norm_stats)
    except (KeyError, ValueError, SafetensorError) as error:
        raise BrokenBundleError.of("bundle_version", folder=folder, problem=error) from error
    _check_tensors(folder, policy.tensors)
    if rival is not None:
        _check_tensors(folder, rival.tensors, max_hidden=0)
    if policy.model_hash != manifest.model_hash:
        raise BrokenBundleError.of(
            "bundle_policy", folder=folder, expected=manifest.model_hash, found=policy.model_hash
        )
    return Bundle(folder, manifest_hash, policy, files, rival)


def tensor_bytes(policy: ServedPolicy) -> bytes:
    """Write a policy's tensors as a bundle's file holds them."""
    return save_tensors(policy.tensors)


class _StrictModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _FileEntry(_StrictModel):
    size: NonNegativeInt
    sha256: str


class _Manifest(_StrictModel):
    format: Literal[1]
    model_hash: str
    files: dict[str, _FileEntry]


_CONSTANT_FILES = {
    "policy.json": write_json({"format": _FORMAT, "activation": "tanh", "targets": list(TARGETS)}),
    "features.json": write_json({"order": list(FEATURE_ORDER), "hash": FEATURE_ORDER_HASH}),
}
"""Files that are the same in every bundle of this version."""


def _parse_policy(files: dict[str, bytes]) -> ServedPolicy:
    for name, content in _CONSTANT_FILES.items():
        if files[name] != content:
            raise ValueError(f"{name} must be {content!r}, is {files[name][:2000]!r}")
    read_json(files["norm_stats.json"])
    norm_stats = NormStats.model_validate_json(files["norm_stats.json"])
    return ServedPolicy(load_tensors(files[POLICY]), norm_stats)


def _parse_linear_rival(files: dict[str, bytes], norm_stats: NormStats) -> ServedPolicy | None:
    if (content := files.get(LINEAR_RIVAL)) is None:
        return None
    return ServedPolicy(load_tensors(content), norm_stats)


def _read_listed(folder: Path, entries: dict[str, _FileEntry]) -> dict[str, bytes]:
    if (total := sum(entry.size for entry in entries.values())) > MAX_BYTES:
        raise BrokenBundleError.of("bundle_large", folder=folder, total=total, maximum=MAX_BYTES)
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    if present != entries.keys():
        raise BrokenBundleError.of(
            "bundle_files",
            folder=folder,
            missing=sorted(entries.keys() - present),
            added=sorted(present - entries.keys()),
        )
    files = {}
    for name, entry in entries.items():
        files[name] = _read(folder / name, entry.size)
        if len(files[name]) != entry.size:
            raise BrokenBundleError.of(
                "bundle_size", path=folder / name, expected=entry.size, found=len(files[name])
            )
        actual_hash = digest_bytes(files[name])
        if actual_hash != entry.sha256:
            raise BrokenBundleError.of(
                "bundle_hash", path=folder / name, expected=entry.sha256, found=actual_hash
            )
    return files


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_regular_file(path, limit)
    except FileError as error:
        raise BrokenBundleError.like(error) from error


def _check_tensors(folder: Path, tensors: dict[str, np.ndarray], max_hidden: int | None = None) -> None:
    width, layer = len(FEATURE_ORDER), 0
    expected: dict[str, tuple[int, ...]] = {}
    while (
        layer != max_hidden
        and (weight := tensors.get(f"hidden.{layer}.weight")) is not None
        and weight.ndim == 2
    ):
        out = weight.shape[0]
        expected |= {f"hidden.{layer}.weight": (out, width), f"hidden.{layer}.bias": (out,)}
        width, layer = out, layer + 1
    expected |= {"action.weight": (len(TARGETS), width), "action.bias": (len(TARGETS),)}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if shapes != expected:
        raise BrokenBundleError.of("bundle_shapes", folder=folder, expected=expected, found=shapes)
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise BrokenBundleError.of("bundle_numbers", folder=folder, name=name, found=tensor.dtype)
