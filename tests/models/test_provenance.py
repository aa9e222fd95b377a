"""Loading checks every hash: each test alters one thing and must be refused."""

import dataclasses
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from subnet.models import builtin_manifest, load_model, load_tokenizer
from subnet.models.describe import describe
from subnet.models.errors import AlteredModel, MissingModel, UnsafeModel, UnsupportedModel
from subnet.models.hashing import RECORD
from subnet.models.manifest import FileRecord, Manifest, Source
from subnet.models.provenance import locate


def test_an_untouched_model_is_located(manifest: Manifest, model_folder: Path, tmp_path: Path) -> None:
    located = locate(manifest, model_folder, tmp_path)
    assert located.folder == model_folder
    assert locate(manifest, model_folder, tmp_path, thorough=True) == located


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("seen_before", [False, True])
def test_one_altered_bit_is_refused(
    manifest: Manifest, model_folder: Path, tmp_path: Path, name: str, seen_before: bool
) -> None:
    if seen_before:
        locate(manifest, model_folder, tmp_path)
    data = bytearray((model_folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model_folder / name).write_bytes(data)
    with pytest.raises(AlteredModel, match=name):
        locate(manifest, model_folder, tmp_path)


def test_a_truncated_file_is_refused(manifest: Manifest, model_folder: Path, tmp_path: Path) -> None:
    path = model_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(AlteredModel, match="bytes"):
        locate(manifest, model_folder, tmp_path)


def test_a_missing_file_is_named(manifest: Manifest, model_folder: Path, tmp_path: Path) -> None:
    (model_folder / "tokenizer.json").unlink()
    with pytest.raises(MissingModel, match=r"tokenizer\.json"):
        locate(manifest, model_folder, tmp_path)


@pytest.mark.parametrize("change", ["value", "dtype", "shape", "name"])
def test_the_tensor_root_covers_names_dtypes_shapes_and_values(
    manifest: Manifest, model_folder: Path, tmp_path: Path, change: str
) -> None:
    path = model_folder / "model.safetensors"
    tensors = load_file(path)
    norm = tensors.pop("model.norm.weight")
    match change:
        case "value":
            norm = norm.clone()
            norm[0] = -norm[0]
        case "dtype":
            norm = norm.view(torch.int32)
        case "shape":
            norm = norm.reshape(1, -1)
    tensors["model.norm.weights" if change == "name" else "model.norm.weight"] = norm
    save_file(tensors, path)
    record = FileRecord("model.safetensors", path.stat().st_size, _sha256(path))
    others = [known for known in manifest.files if known.path != record.path]
    forged = dataclasses.replace(manifest, files=(*others, record))
    with pytest.raises(AlteredModel, match="tensor root"):
        locate(forged, model_folder, tmp_path)


def test_pickled_weights_are_refused_without_being_opened(model_folder: Path, tmp_path: Path) -> None:
    (model_folder / "model.safetensors").unlink()
    marker = tmp_path / "executed"

    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (marker,))

    (model_folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UnsafeModel, match=r"pytorch_model\.bin"):
        describe(model_folder, name="x", source=Source("folder", "x", ""), licence="mit", store=tmp_path / "store")
    assert not marker.exists()


def test_remote_code_is_refused_without_being_run(manifest: Manifest, model_folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    (model_folder / "own.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    config = json.loads((model_folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "own.Model", "AutoConfig": "own.Config"}
    (model_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsafeModel, match="auto_map"):
        describe(model_folder, name="x", source=Source("folder", "x", ""), licence="mit", store=tmp_path / "store")
    record = FileRecord(
        "config.json", (model_folder / "config.json").stat().st_size, _sha256(model_folder / "config.json")
    )
    others = [known for known in manifest.files if known.path != record.path]
    forged = dataclasses.replace(manifest, files=(*others, record), config_sha256=record.sha256)
    with pytest.raises(UnsafeModel, match="auto_map"):
        locate(forged, model_folder, tmp_path)
    assert not marker.exists()


def test_other_end_of_sequence_ids_are_refused(manifest: Manifest, model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AlteredModel, match="end-of-sequence"):
        locate(dataclasses.replace(manifest, eos_ids=(5,)), model_folder, tmp_path)


def test_a_broken_or_forged_record_is_not_trusted(manifest: Manifest, model_folder: Path, tmp_path: Path) -> None:
    locate(manifest, model_folder, tmp_path)
    record = tmp_path / "models" / RECORD
    good = record.read_bytes()
    for bad in (b"", b"[]", b'{"x": 1}', b"\xff"):
        record.write_bytes(bad)
        assert locate(manifest, model_folder, tmp_path).folder == model_folder
    assert json.loads(record.read_bytes()).keys() == json.loads(good).keys()


def test_a_model_without_tokenizer_is_refused(model_folder: Path, tmp_path: Path) -> None:
    (model_folder / "tokenizer.json").unlink()
    with pytest.raises(UnsupportedModel, match=r"tokenizer\.json"):
        describe(model_folder, name="x", source=Source("folder", "x", ""), licence="mit", store=tmp_path / "store")


def test_a_model_loads_from_its_manifest_file(manifest: Manifest, model_folder: Path, tmp_path: Path) -> None:
    model = load_model(model_folder / "assay.json", cache=tmp_path)
    assert model.model_id == manifest.digest
    assert model.eos_ids == {257}
    tokenizer = load_tokenizer(model_folder / "assay.json", cache=tmp_path)
    assert tokenizer.render([{"role": "user", "content": "hi"}]) == "<s>user: hi</s><s>assistant: "


def test_the_embedded_model_is_what_its_manifest_says() -> None:
    manifest = builtin_manifest()
    located = locate(manifest, thorough=True)
    assert (located.folder / "model.safetensors").stat().st_size > 4 * manifest.weights.parameters


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
