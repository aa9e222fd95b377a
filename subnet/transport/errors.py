"""Failures of the transport. The dendrite turns them into outcomes; the axon into faults.

TransportError
├── Refused            the axon answers a request with a fault instead of a result
├── AddressRefused     a peer's address lies inside our own network
└── StoreFull          the nonce store cannot remember another request
"""

from subnet.errors import TransportError
from subnet.protocol.faults import Fault


class Refused(TransportError):
    """Raised by a handler, or by a stage of the axon, to answer with this fault."""

    def __init__(self, code: str, detail: str, retry_after_ms: int = 0) -> None:
        super().__init__(f"{code}: {detail}")
        self.fault = Fault(code=code, detail=detail, retry_after_ms=retry_after_ms)


class AddressRefused(TransportError):
    """The peer's address is not a public one, and the localnet flag is off."""


class StoreFull(TransportError):
    """Every slot of the nonce store is taken by a nonce that must still be remembered."""
