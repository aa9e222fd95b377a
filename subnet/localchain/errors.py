"""What can go wrong inside the local chain.

AssayError
└── ChainError
    ├── DecodeError        bytes are not a value of the expected type
    ├── DispatchError      a call was refused by its pallet (kept in the block as a failed extrinsic)
    ├── PoolRejection      an extrinsic never reaches a block (JSON-RPC error 1010 and its kin)
    └── RpcError           a request is malformed or asks for what the node does not have
"""

from __future__ import annotations

from typing import Any

from subnet.errors import ChainError


class DecodeError(ChainError):
    """Bytes are not a value of the expected type."""


class DispatchError(ChainError):
    """A pallet refused a call.

    `value` is the SCALE value of `sp_runtime::DispatchError`: a name, or ("Module", {...}),
    ("Token", name), ("Arithmetic", name).
    """

    def __init__(self, value: Any, text: str) -> None:
        super().__init__(text)
        self.value = value


class PoolRejection(ChainError):
    """The transaction pool refused an extrinsic; `code` and `data` are what clients match on."""

    def __init__(self, data: str, code: int = 1010, message: str = "Invalid Transaction") -> None:
        super().__init__(f"{message}: {data}")
        self.code = code
        self.message = message
        self.data = data


class RpcError(ChainError):
    """A JSON-RPC error with its code."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


BAD_ORIGIN = "BadOrigin"
