from bittensor.sp_core import Keypair

from subnet.chain.values import Head
from subnet.miner.beacons import Beacons
from subnet.miner.epochs import KEPT_EPOCHS, EpochBook
from subnet.protocol import SecretsCommitment, sign_commitment

MINER = Keypair.create_from_uri("//Miner")
VALIDATOR = b"v" * 32


def opened(book):
    number, tree = book.derive(VALIDATOR)
    commitment = SecretsCommitment(1, b"g" * 32, 2, bytes(MINER.public_key), VALIDATOR, number, tree.size, tree.root, 1)
    return book.open(VALIDATOR, number, tree, sign_commitment(commitment, MINER))


def test_epoch_numbers_grow_even_when_the_clock_is_set_back():
    future = 2**52
    book = EpochBook(4, after=future)
    numbers = [opened(book).number for _ in range(3)]
    assert numbers == [future + 1, future + 2, future + 3]


def test_a_counter_stands_for_one_request_for_good():
    epoch = opened(EpochBook(4, 0))
    assert epoch.claim(0, b"a") and epoch.claim(0, b"a") and not epoch.claim(0, b"b")


def test_a_used_up_epoch_is_not_offered_again_and_old_ones_are_forgotten():
    book = EpochBook(2, 0)
    epochs = [opened(book) for _ in range(KEPT_EPOCHS + 1)]
    assert book.find(VALIDATOR, epochs[0].number) is None
    assert book.current(VALIDATOR) is epochs[-1]
    for counter in range(2):
        epochs[-1].claim(counter, bytes([counter]))
    assert book.current(VALIDATOR) is None


async def test_a_beacon_is_asked_for_once_and_forgotten_when_it_is_old():
    asked = []

    async def hash_of(number):
        asked.append(number)
        return bytes(32)

    beacons = Beacons(hash_of)
    beacons.see(Head(100, b"h" * 32))
    await beacons.check(100, b"h" * 32)
    await beacons.check(99, bytes(32))
    await beacons.check(99, bytes(32))
    assert asked == [99]
    for number in range(101, 300):
        beacons.see(Head(number, b"h" * 32))
    assert len(beacons._known) <= 65
