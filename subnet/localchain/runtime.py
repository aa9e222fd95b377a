"""The runtime: pallets put together, calls dispatched, blocks executed.

`Runtime` is the machine that pallets run on: the state under construction, the block number,
the events. It knows no sockets, no clock and no disk; `execute` turns (extrinsics, time) into a
finished block's changes, and the node commits or abandons them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from loguru import logger

from subnet.localchain import metadata
from subnet.localchain.defaults import MAX_CALL_DEPTH, Settings
from subnet.localchain.errors import DispatchError
from subnet.localchain.model import ApiMethod, Call, Pallet, RuntimeApi
from subnet.localchain.scale import Codec, compact
from subnet.localchain.state import State
from subnet.localchain.types import TYPES


@dataclass(frozen=True, slots=True)
class Origin:
    """Who dispatches a call: an account, root, or nobody (an inherent)."""

    who: bytes | None = None
    root: bool = False

    def signed(self) -> bytes:
        """The signing account. Raises DispatchError BadOrigin for root and inherents."""
        if self.who is None:
            raise DispatchError("BadOrigin", "a signed origin is required")
        return self.who

    def ensure_root(self) -> None:
        if not self.root:
            raise DispatchError("BadOrigin", "only root may do this")


ROOT = Origin(root=True)
NONE = Origin()

Hook = Callable[["Runtime"], None]


@dataclass(frozen=True, slots=True)
class Program:
    """The pallets and what is derived from them. Built once, never changed."""

    pallets: Sequence[Pallet]
    apis: Sequence[RuntimeApi]
    codec: Codec
    metadata: metadata.Metadata
    errors: Mapping[str, Mapping[str, int]]
    on_initialize: Sequence[Hook]
    on_finalize: Sequence[Hook]
    calls: Mapping[str, Mapping[str, Call]] = field(init=False)
    indexes: Mapping[str, int] = field(init=False)
    methods: Mapping[str, ApiMethod] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", {p.name: {c.name: c for c in p.calls} for p in self.pallets})
        object.__setattr__(self, "indexes", {p.name: p.index for p in self.pallets})
        object.__setattr__(self, "methods", {f"{a.name}_{m.name}": m for a in self.apis for m in a.methods})


def assemble(
    pallets: Sequence[Pallet],
    apis: Sequence[RuntimeApi],
    error_table: Mapping[tuple[int, int], Any],
    on_initialize: Sequence[Hook],
    on_finalize: Sequence[Hook],
) -> Program:
    """Put pallets together. `error_table` is the SDK's {(pallet, error): info with name, docs, pallet}."""
    by_pallet: dict[int, dict[int, tuple[str, str]]] = {}
    names: dict[str, dict[str, int]] = {}
    known = {pallet.index for pallet in pallets}
    for (pallet_index, error_index), info in error_table.items():
        if pallet_index in known:
            by_pallet.setdefault(pallet_index, {})[error_index] = (info.name, info.docs)
            names.setdefault(info.pallet, {})[info.name] = error_index
    types = {**TYPES, **metadata.enum_decls(pallets, by_pallet)}
    return Program(pallets, apis, Codec(types), metadata.build(pallets, apis, types), names, on_initialize, on_finalize)


class Runtime:
    """Executes blocks of one chain."""

    def __init__(self, program: Program, state: State, settings: Settings) -> None:
        self.program = program
        self.state = state
        self.settings = settings
        self.block = state.block
        self.now_ms = 0
        self.parent_hash = bytes(32)
        self.queue: list[bytes] = []
        """Raw extrinsics that the running block decrypted and must apply next."""
        self.faults = 0
        """How many hooks and calls failed by a fault of this program; a test wants zero."""
        self._events: list[bytes] = []
        self._phase = b"\x02"
        self._encode_event = program.codec.encoder("RuntimeEvent")
        self._depth = 0

    # -- what pallets use ------------------------------------------------------------------

    def deposit(self, pallet: str, event: str, payload: Any = None) -> None:
        """Emit an event; `payload` is a dict for named fields, a value or tuple otherwise."""
        value = event if payload is None else (event, payload)
        self._events.append(self._phase + self._encode_event((pallet, value)) + b"\x00")

    def error(self, name: str, pallet: str = "SubtensorModule") -> DispatchError:
        """The module error of that name, to be raised."""
        index = self.program.errors[pallet][name]
        value = ("Module", {"index": self.program.indexes[pallet], "error": bytes((index, 0, 0, 0))})
        return DispatchError(value, f"{pallet}.{name}")

    def dispatch(self, origin: Origin, call: Any) -> None:
        """Run a decoded call. On DispatchError the state and events are as before the call."""
        entry, args = self.resolve(call)
        mark, events = self.state.mark(), len(self._events)
        if self._depth >= MAX_CALL_DEPTH:
            raise DispatchError("Exhausted", f"calls nested deeper than {MAX_CALL_DEPTH}")
        self._depth += 1
        try:
            entry.run(self, origin, **args)
        except DispatchError:
            self.rollback(mark, events)
            raise
        except (OverflowError, struct.error) as error:
            # A number that left its type's range: the real runtime's checked arithmetic says the same.
            self.rollback(mark, events)
            raise DispatchError(("Arithmetic", "Overflow"), f"{entry.name}: {error}") from error
        finally:
            self._depth -= 1

    def rollback(self, mark: int, events: int) -> None:
        """Put state and events back to what they were at `mark` and `events`."""
        self.state.rollback(mark)
        del self._events[events:]

    def isolated(self, what: str, run: Callable[[], None]) -> bool:
        """Run something that must not stop the chain; a fault of ours is undone and logged, and counted.

        This is a task boundary: whatever a hook or a call trips over, the next block comes.
        """
        mark, events = self.state.mark(), len(self._events)
        try:
            run()
        except Exception:
            self.rollback(mark, events)
            self.faults += 1
            logger.exception("{} failed in block {} and was undone", what, self.block)
            return False
        return True

    def resolve(self, call: Any) -> tuple[Call, Mapping[str, Any]]:
        """The declaration and the arguments of a decoded call."""
        pallet, inner = call
        name, args = inner if isinstance(inner, tuple) else (inner, {})
        return self.program.calls[pallet][name], args

    # -- what the block builder uses ---------------------------------------------------------

    def open_block(self, number: int, parent_hash: bytes, now_ms: int) -> None:
        """Start a block: hooks run in the Initialization phase."""
        self.block, self.parent_hash, self.now_ms = number, parent_hash, now_ms
        self._events, self.queue, self._phase = [], [], b"\x02"
        for hook in self.program.on_initialize:
            self.isolated(f"hook {hook.__module__}.{hook.__name__}", partial(hook, self))

    def enter_extrinsic(self, index: int) -> None:
        self._phase = b"\x00" + index.to_bytes(4, "little")

    def close_block(self) -> None:
        """End a block: hooks run in the Finalization phase."""
        self._phase = b"\x01"
        for hook in self.program.on_finalize:
            self.isolated(f"hook {hook.__module__}.{hook.__name__}", partial(hook, self))

    def events_blob(self) -> bytes:
        """`Vec<EventRecord>` of the block so far."""
        return compact(len(self._events)) + b"".join(self._events)

    @property
    def event_count(self) -> int:
        return len(self._events)


def account(address: Any) -> bytes:
    """The account of a MultiAddress. Raises DispatchError CannotLookup for other forms."""
    kind, value = address
    if kind in ("Id", "Address32"):
        return bytes(value)
    raise DispatchError("CannotLookup", f"addresses of kind {kind} cannot be looked up")
