"""The chain: validates extrinsics, builds blocks, keeps them.

`Chain` joins the runtime, the pool and the store. It has no clock and no sockets: the node asks
for a block when one is due, and passes what clients send.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from pathlib import Path
from typing import Any

from loguru import logger

from subnet.errors import ChainError
from subnet.localchain import extrinsic as xt
from subnet.localchain import genesis
from subnet.localchain.defaults import Settings
from subnet.localchain.errors import DecodeError, DispatchError, PoolRejection
from subnet.localchain.extrinsic import Extrinsic
from subnet.localchain.model import Call
from subnet.localchain.pallets import balances, small, system
from subnet.localchain.pallets.mev_shield import ShieldKeys
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.pool import Entry, Pool, notify
from subnet.localchain.program import build
from subnet.localchain.runtime import NONE, Origin, Runtime
from subnet.localchain.scale import compact
from subnet.localchain.state import State, changes_root
from subnet.localchain.store import Block, Store

_DISPATCH_INFO = {"weight": {"ref_time": 0, "proof_size": 0}, "class_": "Normal", "pays_fee": "Yes"}
_MANDATORY = {**_DISPATCH_INFO, "class_": "Mandatory"}
_BUDGET = 0.7
"""The part of a block's time that its extrinsics may take to run."""

OUTDATED = "Transaction is outdated"
FUTURE = "Transaction will be valid in the future"
PAYMENT = "Inability to pay some fees (e.g. account balance too low)"
ANCIENT = "Transaction has an ancient birth block"
UNDECODABLE = "Extrinsic could not be decoded"
BAD_VALIDITY = "Transaction call is not expected"


class Chain:
    """One chain, in memory or in a directory."""

    def __init__(self, settings: Settings, directory: Path | None = None) -> None:
        self.settings = settings
        self.keys = ShieldKeys()
        self.program = build(settings, self.keys)
        self.store = Store(directory)
        self.state = State(settings.keep_states)
        self.runtime = Runtime(self.program, self.state, settings)
        self.pool = Pool()
        self._root = bytes(32)
        stored = self.store.head()
        if stored is None:
            self.head = self._genesis(int(time.time() * 1000))
        else:
            self.head = self._restore(stored)
        self.genesis_hash = self._require_hash(0)

    # -- blocks ----------------------------------------------------------------------------------

    def _genesis(self, now_ms: int) -> Block:
        self.runtime.now_ms = now_ms
        genesis.write(self.runtime, now_ms)
        changes = self.state.changes()
        # Clients cache metadata by genesis hash: another metadata must be another chain.
        salt = blake2b(self.program.metadata.v15 + self.program.metadata.v14, digest_size=32).digest()
        return self._seal(0, bytes(32), changes, (), salt, now_ms)

    def _restore(self, number: int) -> Block:
        fingerprint = blake2b(self.program.metadata.v15, digest_size=32).digest()
        if self.store.fact("metadata") != fingerprint:
            raise ChainError(
                "the stored chain was made by another version of this node, or with another block time: "
                "start it with the same settings, or choose another --state-dir"
            )
        self.state.load(self.store.versions(), number)
        self._root = self.store.fact("root") or bytes(32)
        block = self.store.by_number(number)
        assert block is not None
        self.runtime.block = number
        logger.info("chain restored at block {}", number)
        return block

    def _seal(
        self, number: int, parent: bytes, changes: dict[bytes, bytes | None], extrinsics: tuple[bytes, ...],
        salt: bytes, now_ms: int,
    ) -> Block:  # fmt: skip
        """Hash, store and commit a finished block."""
        root = changes_root(salt if number == 0 else self._root, changes)
        body_root = blake2b(b"".join(map(xt.hash_of, extrinsics)), digest_size=32).digest()
        header = parent + compact(number) + root + body_root + b"\x00"
        block = Block(number, xt.hash_of(header), header, extrinsics)
        facts = {"root": root}
        if number == 0:
            facts["metadata"] = blake2b(self.program.metadata.v15, digest_size=32).digest()
        self.store.write(block, changes, facts, max(0, number - self.settings.keep_states))
        self.state.commit(number, changes)
        self._root = root
        return block

    def produce(self, now_ms: int) -> Block:
        """Build, store and adopt the next block. Raises ChainError where it cannot be stored."""
        started = time.perf_counter()
        number = self.head.number + 1
        rt = self.runtime
        rt.open_block(number, self.head.hash, now_ms)
        included: list[bytes] = []
        landed: list[Entry] = []
        self._inherent(now_ms, included)
        budget = self.settings.block_time * _BUDGET
        for entry in self.pool.ready(self.nonce):
            self.pool.remove(entry.extrinsic)
            try:
                self._include(entry.extrinsic, included)
            except PoolRejection as error:
                logger.debug("dropped from the pool: {}", error)
                notify(entry, "invalid")
                continue
            landed.append(entry)
            while rt.queue:
                self._unshield(rt.queue.pop(0), included)
            if time.perf_counter() - started > budget:
                break
        rt.close_block()
        system.ExtrinsicCount.put(self.state, len(included))
        system.EventCount.put(self.state, rt.event_count)
        system.Events.put(self.state, rt.events_blob())
        self.head = self._seal(number, self.head.hash, self.state.changes(), tuple(included), b"", now_ms)
        self.pool.expire(number + 1, self.nonce)
        hash_ = "0x" + self.head.hash.hex()
        for entry in landed:
            notify(entry, {"inBlock": hash_})
            notify(entry, {"finalized": hash_})
        return self.head

    def _inherent(self, now_ms: int, included: list[bytes]) -> None:
        call = ("Timestamp", ("set", {"now": now_ms}))
        self.runtime.enter_extrinsic(0)
        self.runtime.dispatch(NONE, call)
        self.runtime.deposit("System", "ExtrinsicSuccess", {"dispatch_info": _MANDATORY})
        included.append(xt.bare(self.program.codec.encode("RuntimeCall", call)))

    def _include(self, extrinsic: Extrinsic, included: list[bytes]) -> None:
        """Charge, dispatch and record one extrinsic. Raises PoolRejection where it has become invalid."""
        rt, signer = self.runtime, extrinsic.signer
        assert signer is not None
        if extrinsic.nonce != self.nonce(signer):
            raise PoolRejection(OUTDATED)
        call, _ = rt.resolve(extrinsic.call)
        payer, fee = self._payer(extrinsic, call)
        rt.enter_extrinsic(len(included))
        if fee:
            if balances.free(self.state, payer) < fee:
                raise PoolRejection(PAYMENT)
            balances.withdraw(rt, payer, fee, keep_alive=False)
            balances.issue(rt, -fee)
        included.append(extrinsic.raw)
        system.increment_nonce(self.state, signer)
        if fee:
            rt.deposit("Balances", "Withdraw", {"who": payer, "amount": fee})
        info = _DISPATCH_INFO if call.pays_fee else {**_DISPATCH_INFO, "pays_fee": "No"}
        failure = self._dispatch(extrinsic)
        if failure is not None:
            rt.queue.clear()
        if failure is None:
            outcome, details = "ExtrinsicSuccess", {"dispatch_info": info}
        else:
            outcome, details = "ExtrinsicFailed", {"dispatch_error": failure, "dispatch_info": info}
        paid = {"who": payer, "actual_fee": fee, "tip": extrinsic.tip}
        rt.deposit("TransactionPayment", "TransactionFeePaid", paid)
        rt.deposit("System", outcome, details)

    def _dispatch(self, extrinsic: Extrinsic) -> Any:
        """Run an extrinsic's call; None, or the DispatchError value that it failed with."""
        rt = self.runtime
        failure: list[Any] = []

        def run() -> None:
            try:
                rt.dispatch(Origin(extrinsic.signer), extrinsic.call)
            except DispatchError as error:
                failure.append(error.value)

        if not rt.isolated(f"extrinsic 0x{extrinsic.hash.hex()}", run):
            return "Other"
        return failure[0] if failure else None

    def _unshield(self, raw: bytes, included: list[bytes]) -> None:
        """Apply a decrypted extrinsic right behind its carrier; an invalid one leaves no trace."""
        try:
            inner = self._verified(raw)
            if self.pool.remove(inner) is not None:
                logger.debug("a shielded extrinsic was in the pool in the clear, too")
            self._include(inner, included)
        except (PoolRejection, DecodeError) as error:
            logger.info("a decrypted extrinsic was not applied: {}", error)

    # -- extrinsics from outside -----------------------------------------------------------------

    def submit(self, raw: bytes) -> Entry:
        """Validate an extrinsic and pool it. Raises PoolRejection with the error that clients look for."""
        extrinsic = self._verified(raw)
        assert extrinsic.signer is not None
        nonce = system.nonce(self.state, extrinsic.signer)
        if extrinsic.nonce < nonce:
            raise PoolRejection(OUTDATED)
        if extrinsic.nonce - nonce > 1_024:
            raise PoolRejection(FUTURE)
        call, args = self.runtime.resolve(extrinsic.call)
        payer, fee = self._payer(extrinsic, call)
        if balances.free(self.state, payer) < fee:
            raise PoolRejection(PAYMENT)
        if call.name == "submit_encrypted":
            self.keys.open(args["ciphertext"])
        return self.pool.add(extrinsic, extrinsic.death(extrinsic.birth(self.head.number)))

    def _verified(self, raw: bytes) -> Extrinsic:
        """Decode and check all that does not depend on order: era, signature."""
        try:
            extrinsic = xt.parse(raw, self.program.codec)
        except DecodeError as error:
            raise PoolRejection(f"{UNDECODABLE}: {error}", 1002, "Verification Error: Runtime error") from None
        if extrinsic.signer is None:
            raise PoolRejection(BAD_VALIDITY)
        head = self.head.number
        birth = extrinsic.birth(head)
        death = extrinsic.death(birth)
        birth_hash = self.store.hash_of(birth)
        if birth_hash is None or (head - birth > system.BLOCK_HASH_COUNT > 0 and birth):
            raise PoolRejection(ANCIENT)
        if death is not None and death <= head:
            raise PoolRejection(OUTDATED)
        xt.check_signature(extrinsic, self.genesis_hash, birth_hash)
        return extrinsic

    def _payer(self, extrinsic: Extrinsic, call: Call) -> tuple[bytes, int]:
        """Who pays for an extrinsic, and how much with the tip."""
        signer = extrinsic.signer
        assert signer is not None
        if not call.pays_fee and signer == small.Key.get(self.state):
            return signer, extrinsic.tip
        if call.coldkey_pays and st.Owner.has(self.state, signer):
            return st.Owner.get(self.state, signer), extrinsic.fee + extrinsic.tip
        return signer, extrinsic.fee + extrinsic.tip

    def nonce(self, who: bytes) -> int:
        return system.nonce(self.state, who)

    def next_nonce(self, who: bytes) -> int:
        """The nonce for an account's next extrinsic, pooled ones counted."""
        return self.pool.next_nonce(who, self.nonce(who))

    # -- reading ---------------------------------------------------------------------------------

    def call_api(self, name: str, params: bytes, block: int) -> bytes:
        """A runtime API call (`Api_method`) at a block. Raises KeyError for unknown ones, DecodeError."""
        method = self.program.methods[name]
        values, at = [], 0
        for type_ in method.inputs.values():
            value, at = self.program.codec.decoder(type_)(params, at)
            values.append(value)
        return self.program.codec.encode(method.output, method.run(ApiContext(self, block), *values))

    def _require_hash(self, number: int) -> bytes:
        found = self.store.hash_of(number)
        assert found is not None
        return found


class ApiContext:
    """What a runtime API method may use: one block's state and the program."""

    __slots__ = ("block", "chain", "state")

    def __init__(self, chain: Chain, block: int) -> None:
        self.chain = chain
        self.block = block
        self.state = chain.state.view(block)
