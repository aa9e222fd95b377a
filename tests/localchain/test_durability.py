"""A chain with --state-dir: kill -9 at any moment loses no finalized block and leaves none half applied."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import bittensor as bt
import pytest
from bittensor import intents
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from subnet.errors import ChainError
from subnet.localchain.chain import Chain
from subnet.localchain.defaults import RAO, Settings
from subnet.localchain.process import RunningChain, start_chain
from tests.localchain.conftest import Bench, keypair, sdk, wallet


async def follow(chain: RunningChain, seen: dict[int, str]) -> None:
    """Submit transfers and note every finalized head until the connection breaks."""
    try:
        async with connect(chain.endpoint, compression=None) as client:
            await client.send('{"jsonrpc":"2.0","id":1,"method":"chain_subscribeFinalizedHeads","params":[]}')
            while True:
                message = json.loads(await client.recv())
                header = message.get("params", {}).get("result")
                if header is not None:
                    # The parent of an announced head is final, and this is its hash.
                    seen[int(header["number"], 16) - 1] = header["parentHash"]
    except (ConnectionClosed, OSError):
        return


async def spend(chain: RunningChain) -> None:
    async with sdk(chain.endpoint) as client:
        sender, target = wallet("//Bob"), keypair("//durable").ss58_address
        while True:
            await client.submit_call(bt.calls.Balances.transfer_keep_alive(dest=target, value=RAO), sender)


async def ask(client: Any, method: str, *params: Any) -> Any:
    await client.send(json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}))
    return json.loads(await client.recv())["result"]


async def audit(chain: RunningChain, seen: dict[int, str]) -> None:
    """Every block that was seen final is there, linked to its parent, and whole."""
    async with connect(chain.endpoint, compression=None, max_size=None) as client:
        for number, hash_ in sorted(seen.items()):
            if number < 0:
                continue
            assert await ask(client, "chain_getBlockHash", number) == hash_
            block = (await ask(client, "chain_getBlock", hash_))["block"]
            assert int(block["header"]["number"], 16) == number
            if number:
                assert len(block["extrinsics"]) >= 1
                assert seen.get(number - 1, block["header"]["parentHash"]) == block["header"]["parentHash"]


async def test_kill_nine_loses_nothing(tmp_path: Path) -> None:
    seen: dict[int, str] = {}
    chance = random.Random(9)
    for _ in range(5):
        chain = start_chain(block_time=0.05, state_dir=tmp_path / "state", log=tmp_path / "log.txt")
        tasks = [asyncio.create_task(follow(chain, seen)), asyncio.create_task(spend(chain))]
        await asyncio.sleep(0.5 + chance.random())
        chain.kill()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
    chain = start_chain(block_time=0.05, state_dir=tmp_path / "state", log=tmp_path / "log.txt")
    try:
        assert len(seen) > 20
        await audit(chain, seen)
        async with sdk(chain.endpoint) as client:
            before = await client.balances.balance(keypair("//durable").ss58_address)
            assert before.rao > 0
            done = await client.execute(
                intents.Transfer(dest_ss58=keypair("//durable").ss58_address, amount_tao=1), wallet("//Bob")
            )
            assert done.success
            after = await client.balances.balance(keypair("//durable").ss58_address)
            assert after.rao == before.rao + RAO
    finally:
        chain.stop()


def test_a_restart_has_the_same_state_history_and_root(tmp_path: Path) -> None:
    first = Bench(directory=tmp_path)
    first.blocks(3)
    old = first.chain.head.number
    first.send("//Alice", "Balances", "transfer_keep_alive", dest=keypair("//Bob").ss58_address, value=RAO)
    netuid = first.subnet()
    first.blocks(30)
    keys = first.chain.state.page(first.chain.head.number, b"", None, 1 << 20)
    now = {key: first.chain.state.at(first.chain.head.number, key) for key in keys}
    then = {key: first.chain.state.at(old, key) for key in keys}
    head, genesis = first.chain.head, first.chain.genesis_hash
    first.close()

    second = Bench(directory=tmp_path)
    state = second.chain.state
    assert (second.chain.head, second.chain.genesis_hash) == (head, genesis)
    assert state.page(head.number, b"", None, 1 << 20) == keys
    assert {key: state.at(head.number, key) for key in keys} == now
    assert {key: state.at(old, key) for key in keys} == then
    assert second.register(netuid, "//Bob", "//Bob//hot") == 1
    second.close()


def test_a_block_that_was_not_committed_is_not_there(tmp_path: Path) -> None:
    """The attack: the process dies between executing a block and committing it."""
    first = Bench(directory=tmp_path)
    first.blocks(2)
    raw = first.sign(keypair("//Alice"), first.call("System", "remark", remark=b"x"))
    first.chain.submit(raw)
    db = first.chain.store._db
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO blocks VALUES (3, x'00', x'00', x'')")
    db.close()
    second = Bench(directory=tmp_path)
    assert second.chain.head.number == 2
    second.blocks(1)
    assert second.chain.head.number == 3
    second.close()


def test_a_full_disk_stops_the_chain_and_says_so(tmp_path: Path) -> None:
    chain = Chain(Settings(), tmp_path)
    chain.store._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(ChainError, match="could not be stored"):
        for _ in range(2_000):
            chain.produce(1_700_000_000_000)


def test_another_block_time_is_another_chain(tmp_path: Path) -> None:
    Chain(Settings(block_time=0.25), tmp_path).store.close()
    with pytest.raises(ChainError, match="state-dir"):
        Chain(Settings(block_time=12), tmp_path)


def test_two_nodes_cannot_share_a_directory(tmp_path: Path) -> None:
    chain = Chain(Settings(), tmp_path)
    with pytest.raises(ChainError):
        Chain(Settings(), tmp_path)
    chain.store.close()
