"""`verify --endpoint` against a real node: the hashes in the bundle are compared with the chain's own."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from subnet.chain import Chain
from subnet.evidence.__main__ import main
from subnet.evidence.bundle import BlockHash, SignedBundle, sign_bundle
from subnet.localchain.process import running_chain
from tests.evidence import world as small
from tests.zoo.engines import CHEATS

LAST_BLOCK = 6
DEADLINE_S = 120.0


async def hashes_of(endpoint: str) -> dict[int, bytes]:
    """The hashes of the chain's first blocks, once they are there."""
    chain = Chain(endpoint)
    try:
        async with asyncio.timeout(DEADLINE_S):
            async for head in chain.heads:
                if head.number >= LAST_BLOCK:
                    break
            return {number: await chain.block_hash(number) for number in range(LAST_BLOCK + 1)}
    finally:
        await chain.close()


@pytest.fixture(scope="module")
def on_chain() -> Iterator[tuple[str, small.World, SignedBundle]]:
    """A node's endpoint, and a bundle whose blocks are that node's."""
    with running_chain(block_time=0.25) as node, pytest.MonkeyPatch.context() as patch:
        hashes = asyncio.run(hashes_of(node.endpoint))
        patch.setattr(small, "GENESIS", hashes[0])
        patch.setattr(small, "FIRST_BLOCK", 1)
        patch.setattr(small, "block_hash", hashes.get)
        world = small.World(rate_ppm=1_000_000)
        yield node.endpoint, world, world.bundle(world.answers(CHEATS["wrong_seed"], count=2))


def verified(signed: SignedBundle, endpoint: str, folder: Path, capsys: pytest.CaptureFixture) -> tuple[int, dict]:
    path = folder / "bundle.json"
    path.write_bytes(signed.to_bytes())
    status = main(["verify", str(path), "--endpoint", endpoint, "--json"])
    report = json.loads(capsys.readouterr().out)
    return status, next(found for found in report["findings"] if found["check"] == "chain's blocks")


def test_the_chain_confirms_its_own_blocks(on_chain, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    endpoint, _, signed = on_chain
    status, found = verified(signed, endpoint, tmp_path, capsys)
    assert found["holds"] is True
    assert status == 2  # the tiny model is none that the command knows


def test_the_chain_refutes_other_hashes(on_chain, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """cherry_picks: hashes of the validator's own, under which the worst answers are selected."""
    endpoint, world, signed = on_chain
    decides = small.FIRST_BLOCK + 5
    lie = tuple(
        BlockHash(block.number, bytes(32)) if block.number == decides else block for block in signed.bundle.blocks
    )
    status, found = verified(
        sign_bundle(replace(signed.bundle, blocks=lie), world.validator), endpoint, tmp_path, capsys
    )
    assert found["holds"] is False
    assert status == 1


def test_the_chain_refutes_another_network(on_chain, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    endpoint, world, signed = on_chain
    other = sign_bundle(replace(signed.bundle, genesis=b"x" * 32), world.validator)
    status, found = verified(other, endpoint, tmp_path, capsys)
    assert "genesis" in found["detail"]
    assert status == 1


def test_a_block_that_is_not_there_yet_is_unknown(on_chain, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    endpoint, world, signed = on_chain
    future = (*signed.bundle.blocks, BlockHash(10_000_000, bytes(32)))
    status, found = verified(
        sign_bundle(replace(signed.bundle, blocks=future), world.validator), endpoint, tmp_path, capsys
    )
    assert found["holds"] is None
    assert status == 1  # and the block belongs to nothing in the bundle
