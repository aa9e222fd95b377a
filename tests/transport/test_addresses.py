import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.transport.addresses import require_public
from subnet.transport.errors import AddressRefused

INSIDE = [
    "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::1", "::7f00:1", "2001:0:1:2:3:4:80ff:fffe",
]  # fmt: skip
OUTSIDE = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "93.184.216.34"]


@pytest.mark.parametrize("host", INSIDE)
def test_ssrf_addresses_inside_the_network_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        require_public(host)


@pytest.mark.parametrize("host", OUTSIDE)
def test_public_addresses_pass(host: str) -> None:
    require_public(host)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "017700000001", "localhost", "", "1.1.1.1.1"])
def test_only_literal_addresses_are_judged(host: str) -> None:
    with pytest.raises(AddressRefused, match="not an IP address"):
        require_public(host)


@given(st.ip_addresses(v=4))
def test_no_way_of_writing_a_private_ipv4_address_as_ipv6_passes(address: ipaddress.IPv4Address) -> None:
    if address.is_global and not address.is_multicast and not address.is_reserved:
        return
    value = int(address)
    for wrapped in (0xFFFF << 32 | value, 0x64FF9B << 96 | value, 0x2002 << 112 | value << 80):
        with pytest.raises(AddressRefused):
            require_public(str(ipaddress.IPv6Address(wrapped)))
