import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from dosvotos.contracts.features import FEATURE_ORDER, FEATURE_ORDER_HASH
from dosvotos.datasets import CandidateModelDataset
from dosvotos.datasets.models import TrainedModel
from dosvotos.errors import BundleError
from dosvotos.hashing import canonical_json, digest_bytes
from dosvotos.policy import bundle as bundle_module
from dosvotos.policy.bundle import LINEAR_RIVAL, MANIFEST, Bundle, open_bundle, tensor_bytes, write_bundle
from dosvotos.policy.forward import ServedPolicy
from tests.policy.policies import norm_stats, random_observations, random_policy
from tests.test_files import SWAPPER, irregular, process
from tests.unpickling import dump, load

EXTRA = {"config.yaml": b"seed: 42\n", "training_metrics.json": b"{}", "model.zip": b"PK" + bytes(500)}
FILES = (
    MANIFEST,
    "policy.safetensors",
    "policy.json",
    "norm_stats.json",
    "features.json",
    "config.yaml",
    "training_metrics.json",
    "model.zip",
)
Reseal = Callable[..., tuple[Path, str]]


@pytest.fixture
def sealed(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "models", random_policy(), EXTRA)


@pytest.fixture
def reseal(sealed: Bundle, tmp_path: Path) -> Reseal:
    """Writes a bundle with other content under a manifest that is true to it: who signs can still err."""

    def write(files: dict[str, bytes | None], /, **manifest: Any) -> tuple[Path, str]:
        old = {path.name: path.read_bytes() for path in sealed.folder.iterdir() if path.name != MANIFEST}
        content = {name: data for name, data in {**old, **files}.items() if data is not None}
        entries = {n: {"size": len(c), "sha256": digest_bytes(c)} for n, c in content.items()}
        true = {"format": 1, "model_hash": sealed.policy.model_hash, "files": entries}
        manifest_bytes = canonical_json({**true, **manifest}).encode()
        folder = tmp_path / digest_bytes(manifest_bytes)
        folder.mkdir()
        for name, data in {**content, MANIFEST: manifest_bytes}.items():
            (folder / name).write_bytes(data)
        return folder, folder.name

    return write


def tensors_of(policy: ServedPolicy, **changes: np.ndarray) -> dict[str, bytes]:
    renamed = {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return {"policy.safetensors": save_tensors({**policy.tensors, **renamed})}


def assert_refused(folder: Path, manifest_hash: str) -> None:
    with pytest.raises(BundleError):
        open_bundle(folder, manifest_hash)


# ---- a round trip


def test_a_bundle_gives_back_the_policy_to_the_last_bit(sealed: Bundle):
    policy = random_policy()
    read = open_bundle(sealed.folder, sealed.manifest_hash)
    assert read.policy.model_hash == policy.model_hash and read.policy.norm_stats == policy.norm_stats
    for name, tensor in policy.tensors.items():
        assert read.policy.tensors[name].dtype == np.float32
        assert read.policy.tensors[name].tobytes() == tensor.tobytes()
    observations = random_observations(20)
    assert np.array_equal(read.policy.logits(observations), policy.logits(observations))


def test_the_folder_is_named_by_its_manifest_and_the_manifest_lists_every_file(sealed: Bundle):
    manifest = json.loads((sealed.folder / MANIFEST).read_bytes())
    assert sealed.folder.name == sealed.manifest_hash
    assert digest_bytes((sealed.folder / MANIFEST).read_bytes()) == sealed.manifest_hash
    assert {path.name for path in sealed.folder.iterdir()} == set(FILES)
    assert set(manifest["files"]) == set(FILES) - {MANIFEST}
    for name, entry in manifest["files"].items():
        content = (sealed.folder / name).read_bytes()
        assert entry == {"size": len(content), "sha256": digest_bytes(content)}
    assert manifest["model_hash"] == random_policy().model_hash


def test_the_same_content_finds_its_folder_again_and_writes_nothing(sealed: Bundle):
    before = {path.name: path.stat().st_mtime_ns for path in sealed.folder.iterdir()}
    again = write_bundle(sealed.folder.parent, random_policy(), dict(reversed(EXTRA.items())))
    assert again.folder == sealed.folder
    assert {path.name: path.stat().st_mtime_ns for path in sealed.folder.iterdir()} == before
    assert [path.name for path in sealed.folder.parent.iterdir()] == [sealed.folder.name]


def test_other_content_of_any_kind_is_another_folder(sealed: Bundle):
    parent = sealed.folder.parent
    others = [
        write_bundle(parent, random_policy(1), EXTRA),
        write_bundle(parent, ServedPolicy(random_policy().tensors, norm_stats(7)), EXTRA),
        write_bundle(parent, random_policy(), {**EXTRA, "config.yaml": b"seed: 43\n"}),
        write_bundle(parent, random_policy(), {}),
    ]
    assert len({sealed.folder, *(other.folder for other in others)}) == 5


@pytest.mark.parametrize("hidden", [(1,), (64, 64), (8, 8, 8, 8)])
def test_any_network_the_parameters_allow_makes_the_trip(tmp_path: Path, hidden: tuple[int, ...]):
    policy = random_policy(2, hidden)
    assert write_bundle(tmp_path, policy, {}).policy.model_hash == policy.model_hash


def test_a_write_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bundle(tmp_path / "models", random_policy(), EXTRA)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_policy_that_could_not_be_opened_again_is_not_written(tmp_path: Path):
    broken = random_policy()
    broken.tensors["action.bias"][0] = np.nan
    with pytest.raises(BundleError):
        write_bundle(tmp_path, broken, EXTRA)
    assert list(tmp_path.iterdir()) == []


# ---- a bundle someone touched


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, 0.5, -1])
def test_one_flipped_bit_anywhere_is_noticed(sealed: Bundle, name: str, place: float):
    path = sealed.folder / name
    content = bytearray(path.read_bytes())
    content[-1 if place == -1 else int(place * len(content))] ^= 1
    path.write_bytes(content)
    assert_refused(sealed.folder, sealed.manifest_hash)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_shorter_longer_empty_or_gone_is_noticed(sealed: Bundle, name: str):
    path = sealed.folder / name
    content = path.read_bytes()
    for altered in (content[:-1], content + b"\0", b""):
        path.write_bytes(altered)
        assert_refused(sealed.folder, sealed.manifest_hash)
    path.unlink()
    assert_refused(sealed.folder, sealed.manifest_hash)
    path.write_bytes(content)
    assert open_bundle(sealed.folder, sealed.manifest_hash).policy.model_hash == sealed.policy.model_hash


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_a_files_place_is_noticed(sealed: Bundle, name: str):
    (sealed.folder / name).unlink()
    (sealed.folder / name).mkdir()
    assert_refused(sealed.folder, sealed.manifest_hash)


def test_a_file_more_is_noticed_and_named(sealed: Bundle):
    (sealed.folder / "notes.txt").write_text("hello")
    with pytest.raises(BundleError, match=r"notes\.txt"):
        open_bundle(sealed.folder, sealed.manifest_hash)


def test_a_folder_more_is_noticed(sealed: Bundle):
    (sealed.folder / "more").mkdir()
    assert_refused(sealed.folder, sealed.manifest_hash)


def test_two_files_that_swapped_their_content_are_noticed(sealed: Bundle):
    one, other = sealed.folder / "features.json", sealed.folder / "policy.json"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    assert_refused(sealed.folder, sealed.manifest_hash)


def test_another_manifest_hash_is_refused_with_both_hashes(sealed: Bundle):
    with pytest.raises(BundleError, match=rf"{'0' * 64}.*{sealed.manifest_hash}"):
        open_bundle(sealed.folder, "0" * 64)


def test_a_whole_other_bundle_under_this_hash_is_refused(sealed: Bundle):
    other = write_bundle(sealed.folder.parent, random_policy(1), EXTRA)
    assert_refused(other.folder, sealed.manifest_hash)


def test_a_folder_that_does_not_exist_or_is_a_file_is_refused(sealed: Bundle, tmp_path: Path):
    assert_refused(tmp_path / "nowhere", sealed.manifest_hash)
    (tmp_path / "file").write_text("")
    assert_refused(tmp_path / "file", sealed.manifest_hash)


@pytest.mark.parametrize("name", ["model.zip", MANIFEST])
def test_a_file_over_the_limit_is_refused_before_it_is_read_whole(sealed: Bundle, name: str):
    with (sealed.folder / name).open("r+b") as file:
        file.truncate(bundle_module.MAX_BYTES + 1)
    with pytest.raises(BundleError, match="larger than"):
        open_bundle(sealed.folder, sealed.manifest_hash)


# ---- a bundle whose manifest is true to content that is wrong


def test_the_resealed_original_opens(reseal: Reseal):
    assert open_bundle(*reseal({})).policy.model_hash == random_policy().model_hash


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["hidden.0.weight", "hidden.1.bias", "action.bias"])
def test_tensors_that_are_not_finite_are_refused(reseal: Reseal, name: str, bad: float):
    policy = random_policy()
    policy.tensors[name].reshape(-1)[-1] = bad
    folder, manifest_hash = reseal(tensors_of(policy), model_hash=policy.model_hash)
    with pytest.raises(BundleError, match="finite"):
        open_bundle(folder, manifest_hash)


def wrong_tensors() -> dict[str, dict[str, np.ndarray]]:
    good = random_policy().tensors

    def but(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
        named = {name.replace("__", "."): tensor for name, tensor in changes.items()}
        return {n: t for n, t in {**good, **named}.items() if t is not None}

    return {
        "one input fewer": but(hidden__0__weight=good["hidden.0.weight"][:, :14].copy()),
        "four actions": but(action__weight=np.zeros((4, 8), "f4"), action__bias=np.zeros(4, "f4")),
        "two actions": but(action__weight=np.zeros((2, 8), "f4"), action__bias=np.zeros(2, "f4")),
        "a long bias": but(hidden__0__bias=np.zeros(17, "f4")),
        "no bias": but(hidden__1__bias=None),
        "no first layer": but(hidden__0__weight=None, hidden__0__bias=None),
        "no action": but(action__weight=None, action__bias=None),
        "a hole in the layers": but(hidden__1__weight=None, hidden__1__bias=None),
        "one tensor more": but(value__weight=np.zeros((1, 8), "f4")),
        "transposed": but(hidden__0__weight=np.ascontiguousarray(good["hidden.0.weight"].T)),
        "a vector for a matrix": but(hidden__0__weight=np.zeros(15, "f4")),
        "a number for a matrix": but(hidden__0__weight=np.zeros((), "f4")),
        "a number for a bias": but(action__bias=np.zeros((), "f4")),
        "no tensors": {},
        "whole numbers": {n: t.astype("i4") for n, t in good.items()},
    }


@pytest.mark.parametrize("tensors", wrong_tensors().values(), ids=wrong_tensors().keys())
def test_tensors_of_another_shape_or_kind_are_refused(reseal: Reseal, tensors: dict[str, np.ndarray]):
    policy = ServedPolicy(tensors, norm_stats())
    assert_refused(*reseal({"policy.safetensors": save_tensors(tensors)}, model_hash=policy.model_hash))


def test_weights_that_are_not_the_ones_of_the_model_hash_are_refused(reseal: Reseal):
    assert_refused(*reseal(tensors_of(random_policy(1))))


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


GOOD_POLICY = {"format": 1, "activation": "tanh", "targets": [-1, 0, 1]}
GOOD_FEATURES = {"order": list(FEATURE_ORDER), "hash": FEATURE_ORDER_HASH}
GOOD_STATS = norm_stats().model_dump(mode="json")
_HEADER = b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
BFLOAT = len(_HEADER).to_bytes(8, "little") + _HEADER + bytes(2)
WRONG_FILES: dict[str, dict[str, bytes | None]] = {
    "another format": {"policy.json": as_json({**GOOD_POLICY, "format": 2})},
    "another activation": {"policy.json": as_json({**GOOD_POLICY, "activation": "relu"})},
    "other targets": {"policy.json": as_json({**GOOD_POLICY, "targets": [1, 0, -1]})},
    "no settings": {"policy.json": as_json({})},
    "settings are a list": {"policy.json": as_json([1])},
    "settings are no JSON": {"policy.json": b"{"},
    "settings are not text": {"policy.json": b"\xff\xfe\x00"},
    "no settings file": {"policy.json": None},
    "another feature order": {"features.json": as_json({**GOOD_FEATURES, "hash": "0" * 64})},
    "features without a hash": {"features.json": as_json({"order": list(FEATURE_ORDER)})},
    "features are a list": {"features.json": as_json(list(FEATURE_ORDER))},
    "no features file": {"features.json": None},
    "no statistics": {"norm_stats.json": None},
    "statistics of no spread": {"norm_stats.json": as_json({**GOOD_STATS, "std": [0.0] * 13})},
    "twelve statistics": {"norm_stats.json": as_json({**GOOD_STATS, "std": [1.0] * 12})},
    "statistics with NaN": {"norm_stats.json": as_json({**GOOD_STATS, "mean": [float("nan")] * 13})},
    "statistics in another order": {
        "norm_stats.json": as_json({**GOOD_STATS, "features": GOOD_STATS["features"][::-1]})
    },
    "no tensors file": {"policy.safetensors": None},
    "an empty tensors file": {"policy.safetensors": b""},
    "a pickle for tensors": {"policy.safetensors": dump({"a": 1})},
    "a tensor kind NumPy lacks": {"policy.safetensors": BFLOAT},
}


@pytest.mark.parametrize("files", WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_a_bundle_of_another_version_is_refused(reseal: Reseal, files: dict[str, bytes | None]):
    assert_refused(*reseal(files))


@pytest.mark.parametrize(
    "manifest",
    [
        {"format": 2},
        {"model_hash": None},
        {"files": None},
        {"files": []},
        {"files": {name: {} for name in set(FILES) - {MANIFEST}}},
        {"files": dict.fromkeys(set(FILES) - {MANIFEST}, "x")},
    ],
    ids=["another format", "no model hash", "no files", "a list", "no hashes", "text entries"],
)
def test_a_manifest_of_another_version_is_refused(reseal: Reseal, manifest: dict[str, Any]):
    assert_refused(*reseal({}, **manifest))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xff", b"null"])
def test_a_manifest_that_is_no_manifest_is_refused(sealed: Bundle, content: bytes):
    (sealed.folder / MANIFEST).write_bytes(content)
    assert_refused(sealed.folder, digest_bytes(content))


def test_a_name_that_leads_out_of_the_folder_is_refused(reseal: Reseal, sealed: Bundle, tmp_path: Path):
    (tmp_path / "outside").write_bytes(b"x")
    entries = json.loads((sealed.folder / MANIFEST).read_bytes())["files"]
    entries["../outside"] = {"size": 1, "sha256": digest_bytes(b"x")}
    assert_refused(*reseal({}, files=entries))


@pytest.mark.parametrize("size", [-1, 0, 10**12, 1.5])
def test_a_size_that_is_not_the_file_s_is_refused(reseal: Reseal, sealed: Bundle, size: float):
    entries = json.loads((sealed.folder / MANIFEST).read_bytes())["files"]
    entries["model.zip"] = {**entries["model.zip"], "size": size}
    assert_refused(*reseal({}, files=entries))


@pytest.mark.parametrize("name", ["norm_stats.json", MANIFEST])
def test_a_key_that_stands_twice_is_refused(reseal: Reseal, sealed: Bundle, tmp_path: Path, name: str):
    content = (sealed.folder / name).read_bytes().strip()
    twice = b"{" + content[1:-1] + b"," + content[1:-1] + b"}"
    if name == MANIFEST:
        (sealed.folder / name).write_bytes(twice)
        folder, manifest_hash = sealed.folder, digest_bytes(twice)
    else:
        folder, manifest_hash = reseal({name: twice})
    with pytest.raises(BundleError, match="stands twice"):
        open_bundle(folder, manifest_hash)


@pytest.mark.parametrize("name", ["policy.safetensors", MANIFEST, "extra"])
@pytest.mark.parametrize("kind", ["fifo", "link", "socket"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(
    sealed: Bundle, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
):
    monkeypatch.chdir(sealed.folder)  # a socket's path must be short
    target = Path(name)
    if target.exists():
        target.rename(sealed.folder.parent / "moved")
    if kind == "link":
        target.symlink_to(sealed.folder.parent / "moved")
    else:
        irregular(kind, target)
    assert_refused(sealed.folder, sealed.manifest_hash)


def test_writing_a_damaged_bundle_again_mends_it_in_place(sealed: Bundle):
    (sealed.folder / "policy.safetensors").write_bytes(b"damaged")
    (sealed.folder / "model.zip").unlink()
    (sealed.folder / "more").write_bytes(b"")
    mended = write_bundle(sealed.folder.parent, random_policy(), EXTRA)
    assert (mended.folder, mended.manifest_hash) == (sealed.folder, sealed.manifest_hash)
    assert {path.name for path in sealed.folder.iterdir()} == set(FILES)
    assert [path.name for path in sealed.folder.parent.iterdir()] == [sealed.folder.name]


def test_a_swapper_never_gets_another_policy_under_the_hash(sealed: Bundle, tmp_path: Path):
    path, good = sealed.folder / "policy.safetensors", tmp_path / "good"
    bad = tmp_path / "bad"
    good.write_bytes(path.read_bytes())
    bad.write_bytes(save_tensors(random_policy(1).tensors))
    outcomes = set()
    with process(SWAPPER, path, good, bad):
        for _ in range(400):
            try:
                opened = open_bundle(sealed.folder, sealed.manifest_hash)
                assert opened.policy.model_hash == sealed.policy.model_hash
                outcomes.add("opened")
            except BundleError:
                outcomes.add("refused")
    assert outcomes == {"opened", "refused"}


# ---- nothing is unpickled

_unpickled: list[str] = []
_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith("pickle."):
        _unpickled.append(str(arguments))


sys.addaudithook(_watch)


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_opening_a_bundle_unpickles_nothing_whatever_it_holds(tmp_path: Path):
    global _watching  # noqa: PLW0603
    trap = dump(_Trap(tmp_path / "sprung"))
    crafted = io.BytesIO()
    with zipfile.ZipFile(crafted, "w") as files:
        for name in ("data", "policy.pth", "pytorch_variables.pth"):
            files.writestr(name, trap)
    candidate = CandidateModelDataset(folder=str(tmp_path / "models"))
    _watching = True
    try:
        extra = {
            "model.zip": crafted.getvalue(),
            "extra.pkl": trap,
            "config.yaml": b"!!python/name:os.system",
        }
        candidate.save(TrainedModel(random_policy(), extra, "model_demo_v1.0.0.zip"))
        made = candidate.load()
        with pytest.raises(BundleError, match="no YAML"):
            _ = made.config
        (made.folder / "policy.safetensors").write_bytes(trap)
        assert_refused(made.folder, made.manifest_hash)
        seen_by_opening = list(_unpickled)
        load(trap)
    finally:
        _watching = False
    assert seen_by_opening == [] and _unpickled != []
    assert (tmp_path / "sprung").exists(), "the trap works, and only load above has sprung it"


# ---- the linear rival


def linear_tensors(**changes: np.ndarray) -> bytes:
    n = len(FEATURE_ORDER)
    tensors = {"action.weight": np.ones((3, n), np.float32), "action.bias": np.zeros(3, np.float32)}
    return save_tensors({**tensors, **{name.replace("__", "."): tensor for name, tensor in changes.items()}})


def test_a_bundle_gives_back_its_linear_rival_and_an_older_one_has_none(sealed: Bundle, tmp_path: Path):
    assert sealed.linear_rival is None
    bundle = write_bundle(tmp_path / "models", random_policy(), {**EXTRA, LINEAR_RIVAL: linear_tensors()})
    rival = open_bundle(bundle.folder, bundle.manifest_hash).linear_rival
    assert tensor_bytes(rival) == linear_tensors() and rival.norm_stats == bundle.policy.norm_stats
    assert bundle.policy.model_hash == sealed.policy.model_hash
    assert bundle.manifest_hash != sealed.manifest_hash, "the rival is part of the model"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tensors",
        linear_tensors(
            hidden__0__weight=np.ones((4, 15), np.float32), hidden__0__bias=np.ones(4, np.float32)
        ),
        linear_tensors(action__weight=np.ones((3, 14), np.float32)),
        linear_tensors(action__bias=np.zeros(3)),
        linear_tensors(action__bias=np.array([0, np.nan, 0], np.float32)),
    ],
    ids=["empty", "garbage", "hidden layer", "width", "float64", "NaN"],
)
def test_a_rival_that_is_no_linear_policy_is_refused(reseal: Reseal, content: bytes):
    assert_refused(*reseal({LINEAR_RIVAL: content}))


def test_a_network_without_hidden_layers_is_a_policy_like_any_other(tmp_path: Path):
    linear = ServedPolicy(
        load_tensors(linear_tensors(action__bias=np.arange(3, dtype=np.float32))), norm_stats()
    )
    bundle = write_bundle(tmp_path, linear, EXTRA)
    observations = random_observations(5)
    expected = observations.sum(axis=1, keepdims=True) + np.arange(3)
    np.testing.assert_allclose(bundle.policy.logits(observations), expected)
