"""The safetensors format: reading raw tensor bytes, and writing files whose data starts on a cache line."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from subnet.models.errors import AlteredModel

ALIGNMENT = 64


LARGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class TensorBytes:
    """One tensor as it lies in the file: safetensors dtype name, shape, row-major little-endian bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def read_bytes(path: Path) -> Iterator[TensorBytes]:
    """Every tensor of a file, mapped and not copied; each is valid only until the next is taken.

    Raises AlteredModel where the header does not describe the file: bad JSON, wrong offsets, gaps, overlaps, leftovers.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LARGEST_HEADER):
            raise AlteredModel(f"{path} is not a safetensors file: its header claims {length} bytes of {size}")
        spans = _spans(path, file.read(length), size - 8 - length)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            for name, dtype, shape, begin, end in spans:
                with view[8 + length + begin : 8 + length + end] as data:
                    yield TensorBytes(name, dtype, shape, data)


def _spans(path: Path, header: bytes, data_size: int) -> list[tuple[str, str, tuple[int, ...], int, int]]:
    try:
        raw = json.loads(header)
        spans = [
            (name, str(entry["dtype"]), tuple(int(n) for n in entry["shape"]), *(int(n) for n in entry["data_offsets"]))
            for name, entry in raw.items()
            if name != "__metadata__"
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AlteredModel(f"{path} has an unreadable safetensors header: {error}") from error
    at = 0
    for name, _, _, begin, end in sorted(spans, key=lambda span: span[3:]):
        if begin != at or end < begin:
            raise AlteredModel(f"{path}: tensor {name!r} lies at {begin}..{end}, expected to begin at {at}")
        at = end
    if at != data_size:
        raise AlteredModel(f"{path}: the tensors cover {at} bytes, the file holds {data_size}")
    return spans


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """One tensor to write: shape, and a function that computes its float32 values."""

    shape: tuple[int, ...]
    values: Callable[[], np.ndarray]


def write_float32(path: Path, tensors: Mapping[str, TensorPlan]) -> None:
    """Write float32 tensors in order of their names; only one of them is in memory at a time.

    Matrix kernels like aligned memory, and the file is mapped as it is, so the header is padded to 64 bytes.
    """
    header: dict[str, dict] = {}
    offset = 0
    for name in sorted(tensors):
        size = 4 * int(np.prod(tensors[name].shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in sorted(tensors):
            array = np.ascontiguousarray(tensors[name].values(), dtype="<f4")
            if array.shape != tensors[name].shape:
                raise ValueError(f"{name}: computed shape {array.shape}, planned {tensors[name].shape}")
            file.write(array.tobytes())
