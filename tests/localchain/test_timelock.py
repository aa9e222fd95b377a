"""Timelocked weights and commitments, opened with a real pulse of the drand quicknet.

Round 1000 is long out, so its signature is public; what is sealed for it opens offline.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import bittensor_core as core
import pytest

from subnet.localchain.model import CODEC
from tests.localchain.conftest import Bench, Outcome, keypair, public
from tests.localchain.test_rules import staked_subnet

ROUND = 1000
SIGNATURE = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"
RANDOMNESS = "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd"


def supply(bench: Bench, signature: str = SIGNATURE) -> Outcome:
    pulse = {"round": ROUND, "randomness": "0x" + RANDOMNESS, "signature": "0x" + signature}
    payload = {"block_number": 1, "pulses": [pulse], "public": {"Sr25519": "0x" + "00" * 32}}
    return bench.sudo("Drand", "write_pulse", pulses_payload=payload, signature=None)


def sealed(plain: bytes) -> bytes:
    return bytes(core.inner_ciphertext(core.encrypt_at_round(plain, ROUND)[0]))


def test_the_pulse_is_real() -> None:
    assert sha256(bytes.fromhex(SIGNATURE)).hexdigest() == RANDOMNESS


def commit(bench: Bench, netuid: int, payload: bytes, version: int = 4) -> Outcome:
    fields: dict[str, Any] = {"commit": payload, "reveal_round": ROUND, "commit_reveal_version": version}
    name = "commit_timelocked_mechanism_weights"
    return bench.send("//Bob//hot", "SubtensorModule", name, netuid=netuid, mecid=0, **fields)


@pytest.fixture
def subnet(bench: Bench) -> int:
    netuid = staked_subnet(bench)
    assert bench.send("//Alice", "AdminUtils", "sudo_set_commit_reveal_weights_enabled", netuid=netuid, enabled=True).ok
    return netuid


def weights(bench: Bench, netuid: int) -> list[tuple[int, int]]:
    return [tuple(pair) for pair in bench.read("SubtensorModule", "Weights", netuid, 1)]


def payload(hotkey: bytes, uids: list[int], values: list[int]) -> bytes:
    return sealed(CODEC.encode("(Vec<u8>, Vec<u16>, Vec<u16>, u64)", (hotkey, uids, values, 0)))


def test_our_payload_is_as_long_as_the_sdks() -> None:
    """The SDK seals (hotkey, uids, values, version key); only the lengths can be compared without its pulse."""
    theirs, _ = core.get_encrypted_commit_v2(
        uids=[1, 2], weights=[3, 4], version_key=0, last_epoch_block=10, pending_epoch_at=0, subnet_epoch_index=1,
        tempo=20, blocks_since_last_step=3, current_block=13, subnet_reveal_period_epochs=1, block_time=0.25,
        hotkey=bytes(32),
    )  # fmt: skip
    assert len(theirs) == len(payload(bytes(32), [1, 2], [3, 4]))


def test_weights_open_once_the_pulse_is_there(bench: Bench, subnet: int) -> None:
    assert commit(bench, subnet, payload(public("//Bob//hot"), [2], [65535])).ok
    assert supply(bench).ok
    assert weights(bench, subnet) == []
    bench.blocks(21)
    assert weights(bench, subnet) == [(2, 65535)]
    assert bench.read("Drand", "LastStoredRound") == ROUND


def test_without_a_pulse_they_stay_sealed_and_expire(bench: Bench, subnet: int) -> None:
    assert commit(bench, subnet, payload(public("//Bob//hot"), [2], [65535])).ok
    bench.blocks(45)
    assert supply(bench).ok
    bench.blocks(25)
    assert weights(bench, subnet) == []


def test_a_wrong_signature_opens_nothing(bench: Bench, subnet: int) -> None:
    assert commit(bench, subnet, payload(public("//Bob//hot"), [2], [65535])).ok
    assert supply(bench, "8" + SIGNATURE[1:]).ok
    bench.blocks(21)
    assert weights(bench, subnet) == []
    assert bench.chain.runtime.faults == 0


@pytest.mark.parametrize("plain", [b"", b"\x00" * 3, b"\xff" * 60])
def test_sealed_rubbish_is_dropped(bench: Bench, subnet: int, plain: bytes) -> None:
    assert commit(bench, subnet, sealed(plain)).ok
    assert commit(bench, subnet, b"not even sealed").error == "CommittingWeightsTooFast"
    supply(bench)
    bench.blocks(21)
    assert weights(bench, subnet) == [] and bench.chain.runtime.faults == 0


def test_a_copied_commit_is_worth_nothing(bench: Bench, subnet: int) -> None:
    """The attack: commit another validator's ciphertext as one's own."""
    assert commit(bench, subnet, payload(public("//Charlie//hot"), [2], [65535])).ok
    supply(bench)
    bench.blocks(21)
    assert weights(bench, subnet) == []


def test_timelocked_commits_obey_their_rules(bench: Bench, subnet: int) -> None:
    body = payload(public("//Bob//hot"), [2], [1])
    assert commit(bench, subnet, body, version=3).error == "IncorrectCommitRevealVersion"
    assert commit(bench, subnet, b"\x00" * 6_000).error == "CommitPayloadTooLarge"
    outsider = bench.send(
        "//Eve", "SubtensorModule", "commit_timelocked_weights", netuid=subnet, commit=body, reveal_round=ROUND,
        commit_reveal_version=4,
    )  # fmt: skip
    assert outsider.error == "HotKeyNotRegisteredInSubNet"
    assert bench.send(
        "//Alice", "AdminUtils", "sudo_set_commit_reveal_weights_enabled", netuid=subnet, enabled=False
    ).ok
    assert commit(bench, subnet, body).error == "CommitRevealDisabled"


def test_only_root_supplies_pulses(bench: Bench) -> None:
    payload_ = {"block_number": 1, "pulses": [], "public": {"Sr25519": "0x" + "00" * 32}}
    done = bench.send("//Bob", "Drand", "write_pulse", pulses_payload=payload_, signature=None)
    assert done.error == "BadOrigin"


def test_a_timelocked_commitment_is_revealed_or_marked_failed(bench: Bench) -> None:
    netuid = bench.subnet()
    good = sealed(CODEC.encode("Vec<u8>", b"a secret"))
    for hotkey, body in (("//Alice//hot", good), ("//Bob//hot", b"rubbish")):
        if hotkey == "//Bob//hot":
            bench.register(netuid, "//Bob", hotkey)
        info = {"fields": [{"TimelockEncrypted": {"encrypted": body, "reveal_round": ROUND}}]}
        assert bench.send(hotkey, "Commitments", "set_commitment", netuid=netuid, info=info).ok
    bench.blocks(2)
    assert bench.read("Commitments", "RevealedCommitments", netuid, public("//Alice//hot")) is None
    supply(bench)
    bench.blocks(1)
    ((text, block),) = bench.read("Commitments", "RevealedCommitments", netuid, public("//Alice//hot"))
    assert "a secret" in text and block == bench.chain.head.number
    assert bench.read("Commitments", "CommitmentOf", netuid, public("//Alice//hot")) is None
    failed = bench.read("Commitments", "CommitmentOf", netuid, public("//Bob//hot"))
    assert "TimelockRevealFailed" in failed["info"]["fields"][0]
    assert keypair("//Bob//hot").ss58_address not in str(bench.read("Commitments", "TimelockedIndex"))
