import bittensor_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import ProtocolError
from subnet.protocol import SignatureMismatch, keys

DIGEST = bytes(range(32))


@pytest.mark.parametrize("scheme", keys.SCHEMES)
def test_a_signature_is_by_its_key_over_its_digest_in_its_scheme(scheme: int) -> None:
    pair = bittensor_core.Keypair.create_from_uri("//A", scheme)
    key, signature = bytes(pair.public_key), keys.sign(pair, DIGEST)
    assert isinstance(pair, keys.Signer)
    assert keys.is_signed(DIGEST, signature, key, scheme)
    assert not keys.is_signed(DIGEST, signature, key, 1 - scheme)
    assert not keys.is_signed(bytes(32), signature, key, scheme)
    assert not keys.is_signed(DIGEST, signature[:-1] + bytes([signature[-1] ^ 1]), key, scheme)
    with pytest.raises(SignatureMismatch, match="standing"):
        keys.require_signed(bytes(32), signature, key, scheme, "standing")


@given(st.binary(max_size=70), st.binary(max_size=40), st.integers(-2, 5))
def test_fuzz_wrong_signatures_are_false_and_never_raise(signature: bytes, key: bytes, scheme: int) -> None:
    assert keys.is_signed(DIGEST, signature, key, scheme) is False


@given(st.binary(min_size=64, max_size=64), st.binary(min_size=32, max_size=32), st.sampled_from(keys.SCHEMES))
def test_fuzz_wrong_signatures_of_right_width_are_false(signature: bytes, key: bytes, scheme: int) -> None:
    assert keys.is_signed(DIGEST, signature, key, scheme) is False


@given(st.binary(min_size=32, max_size=32))
def test_addresses_and_keys_are_one_to_one(key: bytes) -> None:
    assert keys.public_key(keys.ss58_address(key)) == key


@given(st.text(max_size=60))
def test_fuzz_addresses(address: str) -> None:
    with pytest.raises(ProtocolError):
        keys.public_key(address)


def test_addresses_of_other_networks_and_huge_ones_are_refused() -> None:
    polkadot = bittensor_core.ss58_encode(bytes(32), 0)
    for address in (polkadot, "5" * 100_000, "5" * 48):
        with pytest.raises(ProtocolError):
            keys.public_key(address)


def test_only_digests_are_signed() -> None:
    with pytest.raises(ProtocolError, match="32-byte"):
        keys.sign(bittensor_core.Keypair.create_from_uri("//A", 1), b"a message")


def weak_keys() -> list[bytes]:
    order_eight = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    found = [bytes(32), (1).to_bytes(32, "little"), (2**255 - 20).to_bytes(32, "little"), order_eight]
    return found + [key[:31] + bytes([key[31] | 0x80]) for key in found]


def test_forges_with_a_weak_key_everybody_could_sign_for_it() -> None:
    # The attack: R = 0 * B + identity and s = 0 verifies over some digests for every key of small order.
    forged = (1).to_bytes(32, "little") + bytes(32)
    without_defence = 0
    for key in weak_keys():
        for number in range(16):
            digest = number.to_bytes(32, "big")
            without_defence += bittensor_core.verify(digest, forged, keys.ss58_address(key), keys.ED25519)
            assert not keys.is_signed(digest, forged, key, keys.ED25519)
    assert without_defence > 0


def test_forges_with_the_identity_of_sr25519() -> None:
    forged = bytes(63) + b"\x80"
    assert bittensor_core.verify(DIGEST, forged, keys.ss58_address(bytes(32)), keys.SR25519)
    assert not keys.is_signed(DIGEST, forged, bytes(32), keys.SR25519)
