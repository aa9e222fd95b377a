import hashlib
import hmac

import pytest

from subnet.errors import ProtocolError
from subnet.protocol import SecretTree, derive_seed, seed
from tests.protocol.examples import REQUEST, TREE


def test_each_secret_opens_its_own_place_only() -> None:
    for index in range(TREE.size):
        secret, path = TREE.open(index)
        for place in range(TREE.size):
            assert seed.opens(secret, path, place, TREE.size, TREE.root) is (place == index)


def test_grinds_nonce_the_validator_cannot_know_the_seed_before_the_answer() -> None:
    # The attack: try request nonces until the honest answer looks bad. It needs the seed, which needs s_n.
    secret, _ = TREE.open(2)
    guesses = {derive_seed(REQUEST.digest, guess) for guess in (bytes(32), TREE.root, *TREE.rows[0])}
    assert derive_seed(REQUEST.digest, secret) not in guesses


def test_secrets_differ_by_validator_epoch_and_index_and_follow_the_formula() -> None:
    master = b"k" * 32
    one = SecretTree.derive(master, b"v" * 32, 1, 4)
    assert len({*one.secrets, *SecretTree.derive(master, b"w" * 32, 1, 4).secrets}) == 8
    assert len({*one.secrets, *SecretTree.derive(master, b"v" * 32, 2, 4).secrets}) == 8
    message = b"assay/secret/1\0" + b"v" * 32 + (1).to_bytes(8, "big") + (3).to_bytes(8, "big")
    assert one.secrets[3] == hmac.new(master, message, hashlib.sha256).digest()


@pytest.mark.parametrize("size", [0, 1, 3, 4_095, 131_072])
def test_sizes_that_are_no_powers_of_two_in_range_are_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match="power of two"):
        SecretTree.derive(b"k" * 32, b"v" * 32, 1, size)


def test_an_exhausted_epoch_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="no leaf 16"):
        TREE.open(16)
