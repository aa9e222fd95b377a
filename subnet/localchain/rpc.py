"""JSON-RPC methods, by table. Requests in, results out; subscriptions through `Connection`.

Nothing here touches a socket: `Connection.send` is the only way out, and it never waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import bittensor_core
from loguru import logger

from subnet.errors import ChainError
from subnet.localchain.chain import Chain
from subnet.localchain.defaults import (
    CHAIN_NAME,
    NODE_VERSION,
    SPEC_NAME,
    SPEC_VERSION,
    SS58_FORMAT,
    TRANSACTION_VERSION,
)
from subnet.localchain.errors import DecodeError, PoolRejection, RpcError
from subnet.localchain.scale import read_compact
from subnet.localchain.store import Block

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
UNKNOWN_BLOCK = 4003
MAX_PAGE = 1_000
MAX_SUBSCRIPTIONS = 64
MAX_QUERIED_KEYS = 10_000


@dataclass(slots=True)
class Connection:
    """One client: how to send it a message, and what it subscribed to."""

    send: Callable[[dict[str, Any]], None]
    heads: dict[str, str] = field(default_factory=dict)
    """Subscription id -> notification method, for head subscriptions."""
    watches: set[str] = field(default_factory=set)
    after_reply: list[Callable[[], None]] = field(default_factory=list)
    """Notifications that must follow the reply that opened their subscription."""


class Rpc:
    """Answers requests from one chain."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._subscriptions = 0
        self._headers: dict[bytes, dict[str, Any]] = {}
        self._methods: dict[str, Callable[..., Any]] = {
            "chain_getBlockHash": self._block_hash,
            "chain_getHead": self._block_hash,
            "chain_getFinalizedHead": self._finalized_head,
            "chain_getFinalisedHead": self._finalized_head,
            "chain_getHeader": self._header,
            "chain_getBlock": self._block,
            "state_getRuntimeVersion": self._runtime_version,
            "chain_getRuntimeVersion": self._runtime_version,
            "state_getMetadata": self._metadata,
            "state_call": self._call,
            "state_getStorage": self._storage,
            "state_getStorageAt": self._storage,
            "state_queryStorageAt": self._query_storage,
            "state_getKeysPaged": self._keys_paged,
            "state_getKeysPagedAt": self._keys_paged,
            "account_nextIndex": self._next_index,
            "system_accountNextIndex": self._next_index,
            "author_submitExtrinsic": self._submit,
            "author_pendingExtrinsics": self._pending,
            "system_chain": lambda: CHAIN_NAME,
            "system_name": lambda: SPEC_NAME,
            "system_version": lambda: NODE_VERSION,
            "system_properties": lambda: {"ss58Format": SS58_FORMAT, "tokenDecimals": 9, "tokenSymbol": "TAO"},
            "system_health": lambda: {"peers": 0, "isSyncing": False, "shouldHavePeers": False},
            "system_chainType": lambda: "Local",
            "rpc_methods": lambda: {"methods": sorted({*self._methods, *self._stateful})},
        }
        self._stateful: dict[str, Callable[..., Any]] = {
            "chain_subscribeNewHeads": lambda c: self._subscribe_heads(c, "chain_newHead"),
            "chain_subscribeNewHead": lambda c: self._subscribe_heads(c, "chain_newHead"),
            "chain_subscribeAllHeads": lambda c: self._subscribe_heads(c, "chain_allHead"),
            "chain_subscribeFinalizedHeads": lambda c: self._subscribe_heads(c, "chain_finalizedHead"),
            "chain_unsubscribeNewHeads": self._unsubscribe,
            "chain_unsubscribeNewHead": self._unsubscribe,
            "chain_unsubscribeAllHeads": self._unsubscribe,
            "chain_unsubscribeFinalizedHeads": self._unsubscribe,
            "state_subscribeRuntimeVersion": self._subscribe_version,
            "state_unsubscribeRuntimeVersion": self._unsubscribe,
            "author_submitAndWatchExtrinsic": self._submit_and_watch,
            "author_unwatchExtrinsic": self._unsubscribe,
        }

    def answer(self, connection: Connection, request: Any) -> dict[str, Any] | None:
        """The reply to one request; None for a notification."""
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _failure(None, RpcError(INVALID_REQUEST, "Invalid request"))
        ident = request.get("id")
        try:
            result = self._dispatch(connection, request["method"], request.get("params") or [])
        except RpcError as error:
            reply = _failure(ident, error)
        except PoolRejection as error:
            reply = _failure(ident, RpcError(error.code, error.message, error.data))
        except (TypeError, ValueError, KeyError, AttributeError, ChainError) as error:
            logger.debug("bad parameters for {}: {!r}", request["method"], error)
            reply = _failure(ident, RpcError(INVALID_PARAMS, "Invalid params", str(error)[:500]))
        else:
            reply = {"jsonrpc": "2.0", "id": ident, "result": result}
        return reply if "id" in request else None

    def _dispatch(self, connection: Connection, name: str, params: Any) -> Any:
        if not isinstance(params, list):
            raise RpcError(INVALID_PARAMS, "Invalid params", "parameters must be a list")
        method = self._methods.get(name)
        if method is not None:
            return method(*params)
        stateful = self._stateful.get(name)
        if stateful is None:
            raise RpcError(NO_METHOD, "Method not found")
        return stateful(connection, *params)

    def publish(self, connection: Connection, block: Block) -> None:
        """Tell a connection's head subscriptions of a new block, which is final at once."""
        header = self._header_json(block)
        for ident, method in connection.heads.items():
            connection.send(_notification(method, ident, header))

    # -- blocks ------------------------------------------------------------------------------------

    def _at(self, hash_: str | None) -> int:
        """The number of a block by hash, the head's for None. Raises RpcError for unknown ones."""
        if hash_ is None:
            return self.chain.head.number
        raw = _unhex(hash_)
        if raw == self.chain.head.hash:
            return self.chain.head.number
        number = self.chain.store.number_of(raw)
        if number is None:
            raise RpcError(UNKNOWN_BLOCK, "Client error: UnknownBlock: State not found", hash_)
        return number

    def _state_at(self, hash_: str | None) -> int:
        number = self._at(hash_)
        if number < self.chain.state.oldest:
            raise RpcError(UNKNOWN_BLOCK, f"Client error: UnknownBlock: State already discarded for {hash_}")
        return number

    def _block_hash(self, number: Any = None) -> Any:
        if isinstance(number, list):
            return [self._block_hash(item) for item in number]
        if number is None:
            return _hex(self.chain.head.hash)
        height = int(number, 16) if isinstance(number, str) else int(number)
        if not 0 <= height <= self.chain.head.number:
            return None
        found = self.chain.store.hash_of(height)
        return None if found is None else _hex(found)

    def _finalized_head(self) -> str:
        return _hex(self.chain.head.hash)

    def _find(self, hash_: str | None) -> Block | None:
        if hash_ is None or _unhex(hash_) == self.chain.head.hash:
            return self.chain.head
        return self.chain.store.by_hash(_unhex(hash_))

    def _header(self, hash_: str | None = None) -> dict[str, Any] | None:
        block = self._find(hash_)
        return None if block is None else self._header_json(block)

    def _block(self, hash_: str | None = None) -> dict[str, Any] | None:
        block = self._find(hash_)
        if block is None:
            return None
        extrinsics = [_hex(raw) for raw in block.extrinsics]
        return {"block": {"header": self._header_json(block), "extrinsics": extrinsics}, "justifications": None}

    def _header_json(self, block: Block) -> dict[str, Any]:
        header = block.header
        _, at = read_compact(header, 32)
        return {
            "parentHash": _hex(header[:32]),
            "number": hex(block.number),
            "stateRoot": _hex(header[at : at + 32]),
            "extrinsicsRoot": _hex(header[at + 32 : at + 64]),
            "digest": {"logs": []},
        }

    # -- state ---------------------------------------------------------------------------------------

    def _runtime_version(self, hash_: str | None = None) -> dict[str, Any]:
        self._at(hash_)
        return {
            "specName": SPEC_NAME,
            "implName": SPEC_NAME,
            "authoringVersion": 1,
            "specVersion": SPEC_VERSION,
            "implVersion": 1,
            "apis": [],
            "transactionVersion": TRANSACTION_VERSION,
            "systemVersion": 1,
            "stateVersion": 1,
        }

    def _metadata(self, hash_: str | None = None) -> str:
        self._at(hash_)
        return _hex(self.chain.program.metadata.v14)

    def _call(self, name: str, params: str, hash_: str | None = None) -> str:
        if name not in self.chain.program.methods:
            raise RpcError(4003, f"Client error: Execution failed: Exported method {name} is not found")
        try:
            return _hex(self.chain.call_api(name, _unhex(params), self._state_at(hash_)))
        except DecodeError as error:
            raise RpcError(4003, f"Client error: Execution failed: parameters of {name}: {error}") from None

    def _storage(self, key: str, hash_: str | None = None) -> str | None:
        value = self.chain.state.at(self._state_at(hash_), _unhex(key))
        return None if value is None else _hex(value)

    def _query_storage(self, keys: list[str], hash_: str | None = None) -> list[dict[str, Any]]:
        if len(keys) > MAX_QUERIED_KEYS:
            raise RpcError(INVALID_PARAMS, "Invalid params", f"at most {MAX_QUERIED_KEYS} keys, {len(keys)} given")
        block = self._state_at(hash_)
        at = self.chain.state.at
        changes = []
        for key in keys:
            value = at(block, _unhex(key))
            changes.append([key, None if value is None else _hex(value)])
        return [{"block": hash_ or _hex(self.chain.head.hash), "changes": changes}]

    def _keys_paged(
        self, prefix: str | None, count: int, start: str | None = None, hash_: str | None = None
    ) -> list[str]:
        if not 0 <= count <= MAX_PAGE:
            raise RpcError(4002, f"count exceeds maximum value. value: {count}, max: {MAX_PAGE}")
        after = _unhex(start) if start else None
        found = self.chain.state.page(self._state_at(hash_), _unhex(prefix or "0x"), after, count)
        return [_hex(key) for key in found]

    # -- extrinsics ------------------------------------------------------------------------------------

    def _next_index(self, address: str) -> int:
        return self.chain.next_nonce(bytes(bittensor_core.ss58_decode(address)))

    def _submit(self, extrinsic: str) -> str:
        return _hex(self.chain.submit(_unhex(extrinsic)).extrinsic.hash)

    def _pending(self) -> list[str]:
        return [_hex(entry.extrinsic.raw) for entry in self.chain.pool]

    def _submit_and_watch(self, connection: Connection, extrinsic: str) -> str:
        self._limit(connection)
        entry = self.chain.submit(_unhex(extrinsic))
        ident = self._new_id()
        connection.watches.add(ident)

        def watch(status: object) -> None:
            if ident in connection.watches:
                connection.send(_notification("author_extrinsicUpdate", ident, status))
                if isinstance(status, dict) and "finalized" in status:
                    connection.watches.discard(ident)

        entry.watchers.append(watch)
        connection.after_reply.append(lambda: watch("ready"))
        return ident

    # -- subscriptions -----------------------------------------------------------------------------------

    def _new_id(self) -> str:
        self._subscriptions += 1
        return f"s{self._subscriptions:x}"

    def _limit(self, connection: Connection) -> None:
        if len(connection.heads) >= MAX_SUBSCRIPTIONS:
            raise RpcError(
                -32006, "Too many subscriptions on the connection", f"Exceeded max limit of {MAX_SUBSCRIPTIONS}"
            )

    def _subscribe_heads(self, connection: Connection, method: str) -> str:
        self._limit(connection)
        ident = self._new_id()
        connection.heads[ident] = method
        head = self._header_json(self.chain.head)
        connection.after_reply.append(lambda: connection.send(_notification(method, ident, head)))
        return ident

    def _subscribe_version(self, connection: Connection) -> str:
        ident = self._new_id()
        version = self._runtime_version()
        connection.after_reply.append(lambda: connection.send(_notification("state_runtimeVersion", ident, version)))
        return ident

    def _unsubscribe(self, connection: Connection, ident: str) -> bool:
        known = connection.heads.pop(ident, None) is not None or ident in connection.watches
        connection.watches.discard(ident)
        return known


def _notification(method: str, ident: str, result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": {"subscription": ident, "result": result}}


def _failure(ident: Any, error: RpcError) -> dict[str, Any]:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return {"jsonrpc": "2.0", "id": ident, "error": body}


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
