import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from subnet.models.errors import AlteredModel
from subnet.models.safetensors_file import ALIGNMENT, TensorPlan, read_bytes, write_float32


def test_the_library_reads_what_we_write(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.float32([-0.0, np.inf])}
    write_float32(tmp_path / "x.safetensors", {n: TensorPlan(a.shape, lambda a=a: a) for n, a in arrays.items()})
    found = load_file(tmp_path / "x.safetensors")
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    length = int.from_bytes((tmp_path / "x.safetensors").read_bytes()[:8], "little")
    assert (8 + length) % ALIGNMENT == 0


def test_we_read_what_we_wrote(tmp_path: Path) -> None:
    array = np.arange(4, dtype=np.float32)
    write_float32(tmp_path / "x.safetensors", {"t": TensorPlan((4,), lambda: array)})
    assert [(t.name, t.dtype, t.shape, bytes(t.data)) for t in read_bytes(tmp_path / "x.safetensors")] == [
        ("t", "F32", (4,), array.tobytes())
    ]


def _file(folder: Path, header: object, data: bytes) -> Path:
    text = json.dumps(header).encode()
    path = folder / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize(
    "header",
    [
        {"t": {"dtype": "F32", "shape": [2], "data_offsets": [0, 16]}},
        {"t": {"dtype": "F32", "shape": [2], "data_offsets": [4, 8]}},
        {"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {
            "t": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "u": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        },
        {"t": {"dtype": "F32", "shape": [2]}},
        {"t": 5},
        [],
    ],
    ids=["past the end", "gap", "leftover bytes", "overlap", "no offsets", "not an object", "a list"],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: object) -> None:
    with pytest.raises(AlteredModel):
        list(read_bytes(_file(tmp_path, header, bytes(8))))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(AlteredModel):
        list(read_bytes(path))
