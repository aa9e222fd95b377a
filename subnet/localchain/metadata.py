"""Metadata V14 and V15, encoded from the pallets' own declarations.

The type registry is interned on the way: every type expression that a row names gets an id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from subnet.localchain.model import Pallet, RuntimeApi, StorageItem
from subnet.localchain.scale import Codec, compact
from subnet.localchain.typemodel import PRIMITIVES, Case, Composite, Expr, NewType, TypeDecl, Variant, parse

SIGNED_EXTENSIONS: tuple[tuple[str, str, str], ...] = (
    ("CheckNonZeroSender", "()", "()"),
    ("CheckSpecVersion", "()", "u32"),
    ("CheckTxVersion", "()", "u32"),
    ("CheckGenesis", "()", "H256"),
    ("CheckMortality", "Era", "H256"),
    ("CheckNonce", "Compact<u32>", "()"),
    ("CheckWeight", "()", "()"),
    ("ChargeTransactionPayment", "Compact<u64>", "()"),
    ("SudoTransactionExtension", "()", "()"),
    ("CheckShieldedTxValidity", "()", "()"),
    ("SubtensorTransactionExtension", "()", "()"),
    ("DrandPriority", "()", "()"),
    ("CheckMetadataHash", "MetadataHashMode", "Option<[u8; 32]>"),
)
"""(identifier, what travels in the extrinsic, what is only signed)."""

_BOUNDED = {
    "BoundedVec": "bounded_collections::bounded_vec::BoundedVec",
    "WeakBoundedVec": "bounded_collections::weak_bounded_vec::WeakBoundedVec",
}


def text(value: str) -> bytes:
    raw = value.encode()
    return compact(len(raw)) + raw


def vector(items: Iterable[bytes]) -> bytes:
    parts = list(items)
    return compact(len(parts)) + b"".join(parts)


def option(value: bytes | None) -> bytes:
    return b"\x00" if value is None else b"\x01" + value


def enum_decls(pallets: Sequence[Pallet], errors: Mapping[int, Mapping[int, tuple[str, str]]]) -> dict[str, TypeDecl]:
    """The call, event and error enums of each pallet, and the outer enums that hold them."""
    out: dict[str, TypeDecl] = {
        "MetadataHashMode": Variant("frame_metadata_hash_extension::Mode", (Case("Disabled", 0), Case("Enabled", 1))),
    }
    outer: dict[str, list[Case]] = {"Call": [], "Event": [], "Error": []}
    for pallet in pallets:
        rows: dict[str, tuple[Case, ...]] = {
            "Call": tuple(Case(c.name, c.index, c.args, c.docs) for c in pallet.calls),
            "Event": tuple(Case(e.name, e.index, e.fields) for e in pallet.events),
            "Error": tuple(Case(n, i, (), d) for i, (n, d) in sorted(errors.get(pallet.index, {}).items())),
        }
        for kind, own in rows.items():
            if own:
                name = f"{pallet.name}{kind}"
                out[name] = Variant(f"pallet_{pallet.name.lower()}::pallet::{kind}", own)
                outer[kind].append(Case(pallet.name, pallet.index, (name,)))
    for kind, members in outer.items():
        out[f"Runtime{kind}"] = Variant(f"node_subtensor_runtime::Runtime{kind}", tuple(members))
    return out


class Registry:
    """Gives ids to type expressions and encodes the portable registry."""

    def __init__(self, types: Mapping[str, TypeDecl]) -> None:
        self._types = types
        self._ids: dict[Expr, int] = {}
        self._bodies: list[bytes] = []

    def id(self, type_: str | Expr) -> int:
        expr = parse(type_) if isinstance(type_, str) else type_
        known = self._ids.get(expr)
        if known is not None:
            return known
        self._ids[expr] = number = len(self._bodies)
        self._bodies.append(b"")
        self._bodies[number] = self._body(expr)
        return number

    def ref(self, type_: str | Expr) -> bytes:
        return compact(self.id(type_))

    def encode(self) -> bytes:
        return vector(compact(i) + body for i, body in enumerate(self._bodies))

    def extrinsic(self) -> int:
        """The UncheckedExtrinsic type, whose parameters V14 clients read."""
        params = {
            "Address": self.id("MultiAddress"),
            "Call": self.id("RuntimeCall"),
            "Signature": self.id("MultiSignature"),
            "Extra": self.id(extra_tuple(1)),
        }
        body = self._wrap(
            "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic",
            b"\x00" + vector([self._field(None, "Vec<u8>")]),
            params,
        )
        self._bodies.append(body)
        return len(self._bodies) - 1

    def _wrap(self, path: str, definition: bytes, params: Mapping[str, int] | None = None) -> bytes:
        segments = path.split("::") if path else []
        encoded = vector(text(name) + option(compact(id_)) for name, id_ in (params or {}).items())
        return vector(map(text, segments)) + encoded + definition + vector([])

    def _field(self, name: str | None, type_: str | Expr) -> bytes:
        return (
            option(None if name is None else text(name.rstrip("_")))
            + self.ref(type_)
            + option(text(str(type_)))
            + vector([])
        )

    def _fields(self, fields: tuple[str, ...] | Mapping[str, str]) -> bytes:
        if isinstance(fields, Mapping):
            return vector([self._field(name, type_) for name, type_ in fields.items()])
        return vector([self._field(None, type_) for type_ in fields])

    def _body(self, expr: Expr) -> bytes:
        head, args = expr.head, expr.args
        if head in PRIMITIVES:
            return self._wrap("", b"\x05" + bytes((PRIMITIVES[head],)))
        if head == "Vec":
            return self._wrap("", b"\x02" + self.ref(args[0]))
        if head in _BOUNDED:
            inner = Expr("Vec", args)
            return self._wrap(_BOUNDED[head], b"\x00" + vector([self._field(None, inner)]), {"T": self.id(args[0])})
        if head == "BTreeSet":
            return self._wrap(
                "BTreeSet", b"\x00" + vector([self._field(None, Expr("Vec", args))]), {"T": self.id(args[0])}
            )
        if head == "BTreeMap":
            inner = Expr("Vec", (Expr("tuple", args),))
            params = {"K": self.id(args[0]), "V": self.id(args[1])}
            return self._wrap("BTreeMap", b"\x00" + vector([self._field(None, inner)]), params)
        if head == "Compact":
            return self._wrap("", b"\x06" + self.ref(args[0]))
        if head == "tuple":
            return self._wrap("", b"\x04" + vector([self.ref(arg) for arg in args]))
        if head == "array":
            return self._wrap("", b"\x03" + expr.length.to_bytes(4, "little") + self.ref(args[0]))
        if head == "Option":
            return self._two_case("Option", ("None", 0, None), ("Some", 1, args[0]), {"T": self.id(args[0])})
        if head == "Result":
            params = {"T": self.id(args[0]), "E": self.id(args[1])}
            return self._two_case("Result", ("Ok", 0, args[0]), ("Err", 1, args[1]), params)
        return self._declared(head)

    def _two_case(
        self,
        path: str,
        first: tuple[str, int, Expr | None],
        second: tuple[str, int, Expr | None],
        params: Mapping[str, int],
    ) -> bytes:
        rows = [
            text(name) + vector([] if inner is None else [self._field(None, inner)]) + bytes((index,)) + vector([])
            for name, index, inner in (first, second)
        ]
        return self._wrap(path, b"\x01" + vector(rows), params)

    def _declared(self, name: str) -> bytes:
        declared = self._types[name]
        if isinstance(declared, NewType):
            return self._wrap(declared.path, b"\x00" + vector([self._field(None, declared.inner)]))
        if isinstance(declared, Composite):
            return self._wrap(declared.path, b"\x00" + self._fields(declared.fields))
        rows = [
            text(case.name)
            + self._fields(case.fields)
            + bytes((case.index,))
            + vector([text(case.docs)] if case.docs else [])
            for case in declared.cases
        ]
        params = (
            {"AccountId": self.id("AccountId32"), "AccountIndex": self.id("()")} if name == "MultiAddress" else None
        )
        return self._wrap(declared.path, b"\x01" + vector(rows), params)


def extra_tuple(column: int) -> str:
    """The tuple type of one column of the signed extensions."""
    return "(" + ", ".join(row[column] for row in SIGNED_EXTENSIONS) + ")"


@dataclass(frozen=True, slots=True)
class Metadata:
    """Both encodings, from the same declarations."""

    v14: bytes
    v15: bytes


def build(pallets: Sequence[Pallet], apis: Sequence[RuntimeApi], types: Mapping[str, TypeDecl]) -> Metadata:
    """Encode metadata. `types` must hold the outer enums (see `enum_decls`)."""
    return Metadata(_encode(14, pallets, apis, types), _encode(15, pallets, apis, types))


def _encode(
    version: int, pallets: Sequence[Pallet], apis: Sequence[RuntimeApi], types: Mapping[str, TypeDecl]
) -> bytes:
    registry = Registry(types)
    codec = Codec(types)
    rows = vector([_pallet(version, pallet, registry, codec, types) for pallet in pallets])
    extensions = vector(
        [text(n) + registry.ref(extra) + registry.ref(signed) for n, extra, signed in SIGNED_EXTENSIONS]
    )
    extrinsic_id = compact(registry.extrinsic())
    if version == 14:
        tail = extrinsic_id + b"\x04" + extensions
    else:
        tail = (
            b"\x04"
            + b"".join(registry.ref(t) for t in ("MultiAddress", "RuntimeCall", "MultiSignature", extra_tuple(1)))
            + extensions
        )
    tail += registry.ref("RuntimeCall")
    if version == 15:
        tail += vector([_api(api, registry) for api in apis])
        tail += b"".join(registry.ref(t) for t in ("RuntimeCall", "RuntimeEvent", "RuntimeError"))
        tail += vector([])
    return b"meta" + bytes((version,)) + registry.encode() + rows + tail


def _pallet(version: int, pallet: Pallet, registry: Registry, codec: Codec, types: Mapping[str, TypeDecl]) -> bytes:
    def enum(kind: str) -> bytes:
        name = f"{pallet.name}{kind}"
        return option(registry.ref(name) if name in types else None)

    storage = None
    if pallet.storage:
        storage = text(pallet.name) + vector([_entry(item, registry) for item in pallet.storage])
    constants = vector(
        [
            text(c.name) + registry.ref(c.type) + _bytes(codec.encode(c.type, c.value)) + vector([])
            for c in pallet.constants
        ]
    )
    body = text(pallet.name) + option(storage) + enum("Call") + enum("Event") + constants + enum("Error")
    return body + bytes((pallet.index,)) + (vector([]) if version == 15 else b"")


def _entry(item: StorageItem, registry: Registry) -> bytes:
    if item.key_types:
        key = item.key_types[0] if len(item.key_types) == 1 else "(" + ", ".join(item.key_types) + ")"
        hashers = vector([bytes((h.index,)) for h in item.hashers])
        kind = b"\x01" + hashers + registry.ref(key) + registry.ref(item.value_type)
    else:
        kind = b"\x00" + registry.ref(item.value_type)
    modifier = b"\x00" if item.optional else b"\x01"
    return text(item.name) + modifier + kind + _bytes(item.default_bytes) + vector([])


def _api(api: RuntimeApi, registry: Registry) -> bytes:
    methods = [
        text(m.name)
        + vector([text(name.rstrip("_")) + registry.ref(type_) for name, type_ in m.inputs.items()])
        + registry.ref(m.output)
        + vector([])
        for m in api.methods
    ]
    return text(api.name) + vector(methods) + vector([])


def _bytes(raw: bytes) -> bytes:
    return compact(len(raw)) + raw
