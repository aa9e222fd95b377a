"""Drand: pulses of the randomness beacon, supplied by whoever has them.

Offline no node can fetch or check a pulse, so root writes them (`Sudo.sudo(Drand.write_pulse)`).
A wrong signature does no harm: it opens nothing.
"""

from __future__ import annotations

from typing import Any

from subnet.localchain.model import Pallet
from subnet.localchain.runtime import Origin, Runtime

PALLET = Pallet("Drand", 26)
Pulses = PALLET.map("Pulses", "blake2 u64", "Pulse")
LastStoredRound = PALLET.value("LastStoredRound", "u64", 0)
OldestStoredRound = PALLET.value("OldestStoredRound", "u64", 0)
PALLET.constant("UnsignedPriority", "u64", 1 << 20)
PALLET.constant("HttpFetchTimeout", "u64", 1_000)
PALLET.event("NewPulse", rounds="Vec<u64>")


@PALLET.call(pulses_payload="PulsesPayload", signature="Option<MultiSignature>")
def write_pulse(rt: Runtime, origin: Origin, pulses_payload: dict[str, Any], signature: Any) -> None:
    """Store pulses. Root only here; the real chain takes them from its own workers and checks them."""
    origin.ensure_root()
    rounds = []
    for pulse in pulses_payload["pulses"]:
        Pulses.put(rt.state, pulse["round"], pulse)
        rounds.append(pulse["round"])
    if not rounds:
        raise rt.error("NoneValue", "Drand")
    LastStoredRound.put(rt.state, max(*rounds, LastStoredRound.get(rt.state)))
    oldest = OldestStoredRound.get(rt.state)
    OldestStoredRound.put(rt.state, min([*rounds, *([oldest] if oldest else [])]))
    rt.deposit("Drand", "NewPulse", {"rounds": rounds})
