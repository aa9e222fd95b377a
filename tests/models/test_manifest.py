import dataclasses
import json
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.models.errors import ManifestError
from subnet.models.manifest import FileRecord, Manifest, Source, canonical_json
from subnet.models.registry import builtin_manifest, builtin_manifests, find_model

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def raw() -> dict[str, Any]:
    return json.loads(builtin_manifest().dumps())


def test_a_manifest_survives_its_json() -> None:
    for manifest in builtin_manifests():
        again = Manifest.loads(manifest.dumps())
        assert again == manifest
        assert again.digest == manifest.digest


def test_the_digest_does_not_depend_on_layout_or_order() -> None:
    manifest = builtin_manifest()
    shuffled = json.dumps(dict(reversed(list(raw().items()))), indent=7)
    assert Manifest.loads(shuffled).digest == manifest.digest


@given(JSON, st.integers(0, 7))
def test_canonical_json_ignores_indentation(value: Any, indent: int) -> None:
    assert canonical_json(json.loads(json.dumps(value, indent=indent))) == canonical_json(value)


def test_canonical_json_refuses_what_has_no_single_form() -> None:
    for value in (float("nan"), float("inf"), {1, 2}, b"x"):
        with pytest.raises(ManifestError):
            canonical_json({"x": value})


def _leaves(value: Any, path: tuple = ()) -> list[tuple]:
    if isinstance(value, dict) and value:
        return [found for key in value for found in _leaves(value[key], (*path, key))]
    if isinstance(value, list) and value:
        return [found for i, inner in enumerate(value) for found in _leaves(inner, (*path, i))]
    return [path]


def test_every_member_enters_the_digest() -> None:
    digest = builtin_manifest().digest
    paths = [path for path in _leaves(raw()) if path != ("format",)]
    assert len(paths) > 15
    for path in paths:
        changed = raw()
        at = changed
        for step in path[:-1]:
            at = at[step]
        value = at[path[-1]]
        match value:
            case str() if len(value) == 64:
                at[path[-1]] = value[::-1] if value != value[::-1] else "0" * 64
            case str() if path[0] == "numerics":
                at[path[-1]] = "float16"
            case "wheel" | "gguf" | "fp32":
                at[path[-1]] = {"wheel": "folder", "gguf": "safetensors", "fp32": "bf16"}[value]
            case str():
                at[path[-1]] = f"x{value}"
            case int() | float():
                at[path[-1]] = value + 1
            case None | {}:
                at[path[-1]] = {"threshold": 1}
        assert Manifest.from_json(changed).digest != digest, path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), 2),
        (("name",), "Has Spaces"),
        (("files",), []),
        (("files", 0, "path"), "../outside.json"),
        (("files", 0, "path"), "/etc/passwd.json"),
        (("files", 0, "path"), "pytorch_model.bin"),
        (("files", 0, "path"), "modeling_own.py"),
        (("files", 0, "size"), -1),
        (("files", 0, "sha256"), "00"),
        (("weights", "format"), "pickle"),
        (("weights", "parameters"), "many"),
        (("eos_ids",), []),
        (("eos_ids",), [49152]),
        (("eos_ids",), [True]),
        (("numerics", "head"), "int8"),
        (("tolerance", "class"), "loose"),
        (("source", "kind"), "torrent"),
        (("vocab_size",), 1.5),
        (("vocab_size",), True),
    ],
)
def test_poisoned_weights_and_nonsense_are_refused(path: tuple, value: Any) -> None:
    changed = raw()
    at = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(ManifestError):
        Manifest.from_json(changed)


def test_unknown_and_missing_members_are_refused() -> None:
    extra = raw() | {"trust_remote_code": True}
    with pytest.raises(ManifestError, match="trust_remote_code"):
        Manifest.from_json(extra)
    for key in raw():
        short = raw()
        del short[key]
        with pytest.raises(ManifestError, match=key):
            Manifest.from_json(short)


@given(JSON)
def test_foreign_json_is_refused_and_never_crashes(value: Any) -> None:
    with pytest.raises(ManifestError):
        Manifest.from_json(value)


def test_a_hub_source_needs_a_commit() -> None:
    with pytest.raises(ManifestError, match="commit"):
        Source("hub", "owner/name", "main")


def test_a_profile_changes_the_model_id() -> None:
    manifest = builtin_manifest()
    assert manifest.with_profile({"mu": 2e-4}).digest != manifest.with_profile({"mu": 3e-4}).digest
    assert dataclasses.replace(manifest, licence="mit").digest != manifest.digest


def test_finding_models(tmp_path: Any) -> None:
    manifest = builtin_manifest()
    path = tmp_path / "mine.json"
    path.write_text(manifest.dumps())
    assert find_model(path).manifest == manifest
    assert find_model(str(path)).base == tmp_path.resolve()
    assert find_model(manifest).manifest is manifest
    with pytest.raises(ManifestError, match="writes it"):
        find_model(tmp_path)
    (tmp_path / "assay.json").write_text(manifest.dumps())
    assert find_model(tmp_path).manifest == manifest
    with pytest.raises(ManifestError, match="no built-in model"):
        find_model("nonsense")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="cannot read"):
        find_model(path)


def test_file_records_stay_inside_the_folder() -> None:
    with pytest.raises(ManifestError):
        FileRecord("a\\..\\b.json", 1, "0" * 64)


@pytest.mark.parametrize("manifest", builtin_manifests(), ids=lambda manifest: manifest.name)
def test_an_embedded_profile_is_the_shipped_one(manifest: Manifest) -> None:
    """A manifest without a profile takes the shipped one by name; one with a stale copy would judge by old numbers."""
    kind = manifest.tolerance.tolerance_class
    shipped = resources.files("subnet.verify").joinpath(f"profiles/smollm2-135m-instruct-{kind}.json")
    assert dict(manifest.tolerance.profile) in ({}, json.loads(shipped.read_text("utf-8")))
