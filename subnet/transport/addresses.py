"""Which peer addresses may be called: public ones, unless the localnet flag is set.

An axon's address comes from the chain, where anybody can write anything: without this check a miner could make a
validator call services inside the validator's own network.
"""

import ipaddress

from subnet.transport.errors import AddressRefused

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")


def _embedded(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """IPv4 addresses that a connection to this IPv6 address may really reach."""
    value = int(address)
    found = []
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    if address in _NAT64 or value >> 32 == 0:
        found.append(ipaddress.IPv4Address(value & 0xFFFFFFFF))
    if address in _SIX_TO_FOUR:
        found.append(ipaddress.IPv4Address((value >> 80) & 0xFFFFFFFF))
    if address in _TEREDO:
        found.append(ipaddress.IPv4Address((value & 0xFFFFFFFF) ^ 0xFFFFFFFF))
    return found


def require_public(host: str) -> None:
    """Raise AddressRefused unless this literal IP address is a public unicast one."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise AddressRefused(f"{host!r} is not an IP address") from None
    candidates: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        embedded = _embedded(address)
        candidates = [*embedded] if address.ipv4_mapped is not None else [address, *embedded]
    for candidate in candidates:
        if not candidate.is_global or candidate.is_multicast or candidate.is_reserved or candidate.is_unspecified:
            raise AddressRefused(
                f"{host} is not a public address: it is called only with the localnet flag, on a network of your own"
            )
