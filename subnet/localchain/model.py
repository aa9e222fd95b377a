"""What a pallet declares: storage, calls, events, constants, errors, runtime APIs.

A pallet module builds one `Pallet` at import and hangs rows on it; the runtime and the metadata
encoder read the same rows. To add a call, add a decorated function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Protocol

from xxhash import xxh64_intdigest

from subnet.localchain.scale import Codec, Decoder, Encoder
from subnet.localchain.types import TYPES

CODEC = Codec(TYPES)
"""The codec of everything but calls and events, which exist only once all pallets are known."""


class KeyValue(Protocol):
    """What storage items need of the state."""

    def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def keys(self, prefix: bytes) -> list[bytes]: ...


def twox(data: bytes, rounds: int) -> bytes:
    """`rounds` x 64 bits of XXH64 with seeds 0, 1, ..."""
    return b"".join(xxh64_intdigest(data, seed).to_bytes(8, "little") for seed in range(rounds))


def _blake2_128_concat(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest() + data


def _twox_64_concat(data: bytes) -> bytes:
    return twox(data, 1) + data


@dataclass(frozen=True, slots=True)
class Hasher:
    """A storage hasher: its metadata index and how many bytes it puts before the key."""

    name: str
    index: int
    apply: Callable[[bytes], bytes]
    prefix: int


HASHERS = {
    "blake2": Hasher("Blake2_128Concat", 2, _blake2_128_concat, 16),
    "twox": Hasher("Twox64Concat", 5, _twox_64_concat, 8),
    "identity": Hasher("Identity", 6, lambda data: data, 0),
}

_MISSING: Any = object()


def _same(value: Any) -> bytes:
    return value


def _rest(data: bytes, at: int) -> tuple[Any, int]:
    return data[at:], len(data)


class StorageItem:
    """One storage value or map, with typed access.

    `keys` are "hasher Type" texts. With a default, a missing entry reads as the default;
    without one it reads as None (the metadata says Optional). An opaque item holds encoded bytes:
    its type is made of calls or events, which this module cannot know.
    """

    def __init__(
        self, pallet: str, name: str, keys: tuple[str, ...], value: str, default: Any = _MISSING, opaque: bool = False
    ) -> None:
        self.pallet, self.name, self.value_type = pallet, name, value
        parsed = [key.split(" ", 1) for key in keys]
        self.hashers = [HASHERS[hasher] for hasher, _ in parsed]
        self.key_types = [type_ for _, type_ in parsed]
        self.optional = default is _MISSING
        self.prefix = twox(pallet.encode(), 2) + twox(name.encode(), 2)
        self._key_encoders = [(h.apply, CODEC.encoder(t)) for h, t in zip(self.hashers, self.key_types, strict=True)]
        self._key_decoders = [CODEC.decoder(t) for t in self.key_types]
        self._encode: Encoder = _same if opaque else CODEC.encoder(value)
        self._decode: Decoder = _rest if opaque else CODEC.decoder(value)
        self.default_bytes = b"\x00" if self.optional else self._encode(default)
        self._immutable = None if self.optional else default
        self._copy_default = not self.optional and isinstance(default, list | dict)

    def key(self, *parts: Any) -> bytes:
        """The storage key; fewer parts than the map has give a prefix of its keys."""
        out = self.prefix
        for (hash_, encode), part in zip(self._key_encoders, parts, strict=False):
            out += hash_(encode(part))
        return out

    def get(self, state: KeyValue, *parts: Any) -> Any:
        raw = state.get(self.key(*parts))
        if raw is not None:
            return self._decode(raw, 0)[0]
        return self._decode(self.default_bytes, 0)[0] if self._copy_default else self._immutable

    def has(self, state: KeyValue, *parts: Any) -> bool:
        return state.get(self.key(*parts)) is not None

    def put(self, state: KeyValue, *args: Any) -> None:
        """`put(state, *key parts, value)`."""
        state.put(self.key(*args[:-1]), self._encode(args[-1]))

    def kill(self, state: KeyValue, *parts: Any) -> None:
        state.delete(self.key(*parts))

    def kill_prefix(self, state: KeyValue, *parts: Any) -> None:
        for key in state.keys(self.key(*parts)):
            state.delete(key)

    def encode(self, value: Any) -> bytes:
        return self._encode(value)

    def decode(self, raw: bytes) -> Any:
        return self._decode(raw, 0)[0]

    def items(self, state: KeyValue, *parts: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """(remaining key parts, value) for every entry under the given leading parts, in key order."""
        prefix = self.key(*parts)
        free = len(parts)
        for key in state.keys(prefix):
            raw = state.get(key)
            if raw is not None:
                yield self._free_parts(key, len(prefix), free), self._decode(raw, 0)[0]

    def _free_parts(self, key: bytes, at: int, first: int) -> tuple[Any, ...]:
        out = []
        for hasher, decode in zip(self.hashers[first:], self._key_decoders[first:], strict=True):
            part, at = decode(key, at + hasher.prefix)
            out.append(part)
        return tuple(out)


@dataclass(frozen=True, slots=True)
class Call:
    """A dispatchable: its argument types by name, and the function that runs it."""

    name: str
    index: int
    args: Mapping[str, str]
    run: Callable[..., Any]
    docs: str = ""
    pays_fee: bool = True
    coldkey_pays: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    index: int
    fields: tuple[str, ...] | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Constant:
    name: str
    type: str
    value: Any


@dataclass(slots=True)
class Pallet:
    """A pallet under construction; read-only once its module is imported."""

    name: str
    index: int
    storage: list[StorageItem] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)

    def value(self, name: str, type_: str, default: Any = _MISSING) -> StorageItem:
        return self.map(name, (), type_, default)

    def opaque(self, name: str, type_: str, default: bytes) -> StorageItem:
        item = StorageItem(self.name, name, (), type_, default, opaque=True)
        self.storage.append(item)
        return item

    def map(self, name: str, keys: str | tuple[str, ...], type_: str, default: Any = _MISSING) -> StorageItem:
        item = StorageItem(self.name, name, (keys,) if isinstance(keys, str) else keys, type_, default)
        self.storage.append(item)
        return item

    def call(
        self,
        args: Mapping[str, str] | None = None,
        /,
        *,
        pays_fee: bool = True,
        coldkey_pays: bool = False,
        **more: str,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a dispatchable, its arguments by mapping or keyword. The function gets (runtime, origin, **args)."""
        declared = {**(args or {}), **more}

        def declare(run: Callable[..., Any]) -> Callable[..., Any]:
            name = run.__name__.rstrip("_")
            docs = (run.__doc__ or "").split("\n")[0]
            self.calls.append(Call(name, len(self.calls), declared, run, docs, pays_fee, coldkey_pays))
            return run

        return declare

    def event(self, name: str, *types: str, **fields: str) -> None:
        self.events.append(Event(name, len(self.events), fields or types))

    def constant(self, name: str, type_: str, value: Any) -> None:
        self.constants.append(Constant(name, type_, value))


@dataclass(frozen=True, slots=True)
class ApiMethod:
    """A runtime API method: input types by name, output type, and the function that answers."""

    name: str
    inputs: Mapping[str, str]
    output: str
    run: Callable[..., Any]


@dataclass(slots=True)
class RuntimeApi:
    name: str
    methods: list[ApiMethod] = field(default_factory=list)

    def method(self, output: str, **inputs: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a method. The function gets (view, *inputs) and reads one block's state."""

        def declare(run: Callable[..., Any]) -> Callable[..., Any]:
            self.methods.append(ApiMethod(run.__name__, inputs, output, run))
            return run

        return declare
