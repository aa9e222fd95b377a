from hypothesis import given
from hypothesis import strategies as st

from subnet.transport.rates import Buckets, Rate, address_key


@given(st.lists(st.floats(0, 0.5), max_size=80), st.floats(0.5, 20), st.integers(1, 10))
def test_no_pattern_of_calls_gets_more_than_burst_plus_rate(waits: list[float], rate: float, burst: int) -> None:
    buckets = Buckets(Rate(rate, burst))
    now, passed = 100.0, 0
    for wait in waits:
        now += wait
        passed += buckets.wait_ms("a", now) == 0
    assert passed <= burst + rate * (now - 100.0) + 1e-6


def test_the_wait_that_is_told_is_enough() -> None:
    buckets = Buckets(Rate(4.0, 2))
    assert [buckets.wait_ms("a", 0.0) for _ in range(3)] == [0, 0, 250]
    assert buckets.wait_ms("a", 0.250) == 0 and buckets.wait_ms("b", 0.250) == 0


def test_flooder_memory_is_bounded() -> None:
    buckets = Buckets(Rate(1.0, 1), capacity=100)
    for number in range(1_000):
        buckets.wait_ms(str(number), 0.0)
    assert len(buckets) == 100


def test_an_ipv6_subscriber_is_one_address() -> None:
    assert address_key("2001:db8:1:2::5") == address_key("2001:db8:1:2:ffff::9") != address_key("2001:db8:1:3::5")
    assert address_key("::ffff:192.0.2.7") == address_key("192.0.2.7") == "192.0.2.7"
    assert address_key("fe80::1%eth0") == address_key("fe80::2%eth0")


@given(st.text(max_size=50))
def test_fuzz_address_keys(host: str) -> None:
    assert isinstance(address_key(host), str)


def test_a_look_takes_nothing() -> None:
    buckets = Buckets(Rate(per_second=1.0, burst=2))
    assert [buckets.wait_ms("a", 0.0, take=False) for _ in range(5)] == [0] * 5 and len(buckets) == 0
    assert [buckets.wait_ms("a", 0.0) for _ in range(2)] == [0, 0]
    assert buckets.wait_ms("a", 0.0, take=False) == buckets.wait_ms("a", 0.0) == 1_000
