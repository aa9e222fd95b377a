"""Token buckets in bounded memory, and what one address counts as."""

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` sustained, `burst` at once."""

    per_second: float
    burst: int


class Buckets:
    """One token bucket a key, for at most `capacity` keys; the key that was used longest ago is dropped.

    A dropped key starts again with a full bucket: an attacker with more addresses than `capacity` is bounded by the
    limits on connections instead.
    """

    def __init__(self, rate: Rate, capacity: int = 65_536) -> None:
        self._rate = rate
        self._capacity = capacity
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def wait_ms(self, key: str, now: float, *, take: bool = True) -> int:
        """Take one token (or only look); 0 if there was one, else the milliseconds until there is, at least 1."""
        burst = float(self._rate.burst)
        level, since = self._levels.get(key, (burst, now))
        level = min(burst, level + max(0.0, now - since) * self._rate.per_second)
        if level < 1.0:
            # Not recorded: the level is recomputed from the last token taken.
            return max(1, math.ceil((1.0 - level) / self._rate.per_second * 1000))
        if not take:
            return 0
        self._levels[key] = (level - 1.0, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._capacity:
            self._levels.popitem(last=False)
        return 0


def address_key(host: str) -> str:
    """What limits count as one address: an IPv4 address, or the /64 of an IPv6 address, which is one subscriber."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
