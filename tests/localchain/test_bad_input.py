"""What hostile or broken clients send: each gets the chain's error, and blocks go on."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bittensor_core
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect

from subnet.localchain import extrinsic as xt
from subnet.localchain.defaults import RAO
from subnet.localchain.errors import DecodeError, PoolRejection
from subnet.localchain.process import RunningChain
from tests.localchain.conftest import Bench, keypair


@asynccontextmanager
async def socket_to(chain: RunningChain) -> AsyncIterator[ClientConnection]:
    async with connect(chain.endpoint, compression=None, max_size=None) as made:
        yield made


async def ask(client: ClientConnection, method: str, *params: Any) -> Any:
    await client.send(json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}))
    while True:
        reply = json.loads(await asyncio.wait_for(client.recv(), 10))
        if reply.get("id") == 7:
            return reply


async def height(chain: RunningChain) -> int:
    async with socket_to(chain) as client:
        return int((await ask(client, "chain_getHeader"))["result"]["number"], 16)


async def still_alive(chain: RunningChain) -> None:
    """The chain makes blocks: two within ten block times."""
    before = await height(chain)
    async with asyncio.timeout(10):
        while await height(chain) < before + 2:
            await asyncio.sleep(0.1)


TRANSFER = {"dest": keypair("//Bob").ss58_address, "value": RAO}


def signed(bench: Bench, **options: Any) -> bytes:
    return bench.sign(keypair("//Alice"), bench.call("Balances", "transfer_keep_alive", **TRANSFER), **options)


def test_a_signature_over_another_call_chain_or_wrapped_bytes_is_bad(bench: Bench) -> None:
    good = signed(bench)
    assert "bad signature" in bench.refused(good[:-1] + bytes((good[-1] ^ 1,))).data
    assert "bad signature" in bench.refused(signed(bench, genesis=bytes(32))).data
    call = bench.call("Balances", "transfer_keep_alive", **TRANSFER)
    alice = keypair("//Alice")
    fields: dict[str, Any] = {"era": "00", "nonce": 0, "tip": 0, "tip_asset_id": None}
    hash_ = bench.chain.genesis_hash
    payload = bytes(bench.codec.signature_payload(call, **fields, genesis_hash=hash_, era_block_hash=hash_))
    wrapped = alice.sign(b"<Bytes>" + payload + b"</Bytes>")
    data, _ = bench.codec.encode_signed_extrinsic(
        call, public_key=bytes(alice.public_key), signature=bytes(wrapped), signature_version=1, **fields
    )
    assert "bad signature" in bench.refused(bytes(data)).data


def test_an_ed25519_account_can_sign(bench: Bench) -> None:
    signer = bittensor_core.Keypair.from_uri("//Ed", crypto_type=bittensor_core.CRYPTO_ED25519)
    assert bench.send("//Alice", "Balances", "transfer_keep_alive", dest=signer.ss58_address, value=RAO).ok
    raw = bench.sign(signer, bench.call("System", "remark", remark=b"hello"))
    assert bench.include(raw).ok


def test_stale_future_duplicate_and_replacement_nonces(bench: Bench) -> None:
    first = signed(bench)
    assert bench.include(first).ok
    assert bench.refused(signed(bench, nonce=0)).data == "Transaction is outdated"
    assert bench.refused(signed(bench, nonce=99_999)).data == "Transaction will be valid in the future"
    later = signed(bench, nonce=2)
    bench.chain.submit(later)
    bench.blocks()
    assert later not in bench.chain.head.extrinsics
    duplicate = bench.refused(later)
    assert duplicate.code == 1013 and "already imported" in duplicate.data
    rival = bench.sign(keypair("//Alice"), bench.call("System", "remark", remark=b"x"), nonce=2)
    assert bench.refused(rival).code == 1014
    richer = bench.sign(keypair("//Alice"), bench.call("System", "remark", remark=b"x"), nonce=2, tip=RAO)
    bench.chain.submit(richer)
    gap = signed(bench, nonce=1)
    bench.chain.submit(gap)
    bench.blocks()
    assert bench.chain.head.extrinsics[1:] == (gap, richer)


def test_eras_expire_and_ancient_ones_are_named(bench: Bench) -> None:
    bench.blocks(2)
    short = signed(bench, period=8)
    bench.blocks(12)
    assert bench.refused(short).data in ("Transaction is outdated", "Transaction has a bad signature")
    bench.chain.submit(signed(bench, period=8, nonce=1))
    bench.blocks(10)
    assert len(bench.chain.pool) == 0


def test_an_account_that_cannot_pay_the_fee_is_refused(bench: Bench) -> None:
    raw = bench.sign(keypair("//pauper"), bench.call("System", "remark", remark=b""))
    assert "Inability to pay some fees" in bench.refused(raw).data


def test_unsigned_unknown_and_truncated_extrinsics_are_refused(bench: Bench) -> None:
    good = signed(bench)
    bare = xt.bare(bench.call("Balances", "transfer_keep_alive", **TRANSFER))
    assert bench.refused(bare).code == 1010
    for broken in (b"", b"\x00", good[:-5], good + b"\x00", b"\x10\x84\x00\x01\x02", bytes(200)):
        assert bench.refused(broken).code == 1002
    unknown = good.replace(b"\x05\x01", b"\xc8\x01")
    assert bench.refused(unknown).code in (1002, 1010)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_crash_the_parser(raw: bytes) -> None:
    bench = _shared()
    with pytest.raises(DecodeError):
        xt.parse(raw, bench.chain.program.codec)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_mutation_of_a_good_extrinsic_is_accepted(data: st.DataObject) -> None:
    bench = _shared()
    good = signed(bench, nonce=0)
    at = data.draw(st.integers(0, len(good) - 1))
    flipped = bytearray(good)
    flipped[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PoolRejection):
        bench.chain.submit(bytes(flipped))


_BENCH: list[Bench] = []


def _shared() -> Bench:
    if not _BENCH:
        _BENCH.append(Bench())
    return _BENCH[0]


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("no_such_method", [], -32601),
        ("state_getStorageAt", ["zz"], -32602),
        ("state_getStorageAt", [], -32602),
        ("state_getStorageAt", ["0x00", "0x" + "11" * 32], 4003),
        ("state_call", ["No_such", "0x"], 4003),
        ("state_call", ["SubnetInfoRuntimeApi_get_metagraph", "0x"], 4003),
        ("state_getKeysPaged", ["0x", 100_000], 4002),
        ("chain_getBlockHash", ["nonsense"], -32602),
        ("account_nextIndex", ["not an address"], -32602),
        ("author_submitExtrinsic", ["0x00"], 1002),
        ("author_submitAndWatchExtrinsic", ["0xdeadbeef"], 1002),
        ("chain_unsubscribeNewHeads", [], -32602),
    ],
)
async def test_bad_requests_get_errors(chain: RunningChain, method: str, params: list[Any], code: int) -> None:
    async with socket_to(chain) as client:
        reply = await ask(client, method, *params)
        assert reply["error"]["code"] == code


async def test_garbage_frames_get_a_parse_error_and_batches_answers(chain: RunningChain) -> None:
    async with socket_to(chain) as client:
        for frame in ("not json", "[" * 50_000, b"\xff\xfe", "[]", "3", "null"):
            await client.send(frame)
            reply = json.loads(await asyncio.wait_for(client.recv(), 10))
            assert reply["error"]["code"] in (-32700, -32600)
        await client.send(json.dumps([{"jsonrpc": "2.0", "id": i, "method": "system_name"} for i in range(3)]))
        assert [r["id"] for r in json.loads(await client.recv())] == [0, 1, 2]


async def test_a_100_mb_frame_closes_its_connection_only(chain: RunningChain) -> None:
    host, port = chain.endpoint.removeprefix("ws://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x81\xff" + (100 << 20).to_bytes(8, "big") + bytes(4) + bytes(1 << 16))
    closing = await asyncio.wait_for(reader.read(), 10)
    assert closing[:1] == b"\x88" and int.from_bytes(closing[2:4], "big") == 1009
    writer.close()
    await still_alive(chain)


async def test_a_thousand_idle_connections(chain: RunningChain) -> None:
    address = chain.endpoint.removeprefix("ws://").split(":")
    idle = []
    try:
        for _ in range(1_000):
            sock = socket.create_connection((address[0], int(address[1])), timeout=10)
            idle.append(sock)
        await still_alive(chain)
    finally:
        for sock in idle:
            sock.close()


async def test_a_subscription_that_is_never_read_does_not_stop_the_chain(chain: RunningChain) -> None:
    async with socket_to(chain) as client:
        for _ in range(20):
            await client.send('{"jsonrpc":"2.0","id":1,"method":"chain_subscribeNewHeads","params":[]}')
        client.transport.pause_reading()
        for _ in range(300):
            await asyncio.wait_for(client.send('{"jsonrpc":"2.0","id":2,"method":"state_getMetadata","params":[]}'), 10)
            if client.transport.get_write_buffer_size() > 0:
                break
        await still_alive(chain)
        client.transport.abort()


async def test_subscriptions_are_limited_per_connection(chain: RunningChain) -> None:
    async with socket_to(chain) as client:
        replies = [await ask(client, "chain_subscribeNewHeads") for _ in range(65)]
        assert "result" in replies[63] and replies[64]["error"]["code"] == -32006
