"""The chain as the neurons use it. With `connection`, `wallet` and `owner`, the only place that imports bittensor.

Every method has a deadline and raises ChainAway (try again) or ChainRejected (the chain said no).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import bittensor as bt
from bittensor.metagraph import MetagraphNeuron, fetch_commitments

from subnet.chain.connection import Connection
from subnet.chain.errors import ChainAway, ChainRejected
from subnet.chain.heads import Heads
from subnet.chain.values import (
    Endpoint,
    EpochInfo,
    Head,
    MetagraphSnapshot,
    Neuron,
    Published,
    WeightRules,
    WeightsOutcome,
    WeightsReason,
)  # fmt: skip
from subnet.chain.wallet import Hotkey
from subnet.chain.weights import U16_MAX, quantise, reason_of, refusal, same_row

MECHANISM = 0
SUBMIT_FACTOR = 4
"""A submit waits for its block and for finality: it gets this many times the deadline of a read."""
LOST_IN_THE_MIDDLE = "may already be on chain"
"""What the SDK says where the connection went between a submit and its block; it calls that a chain error too."""
SERVE_PROTOCOL = 4
NO_CERTIFICATE = b"\x00"
"""Published in place of a neuron certificate that is taken back: the chain cannot delete one."""
COMMITMENT_LIMIT = 128
"""Longest text of a commitment, in bytes (the largest Raw variant of the Commitments pallet)."""

_state = bt.storage.SubtensorModule


class Chain:
    """Reads, subscriptions and hotkey-signed extrinsics of one subnet's neurons."""

    def __init__(self, target: str, *, timeout_s: float = 20.0) -> None:
        self._connection = Connection(target, timeout_s=timeout_s)
        self.heads = Heads(self._block_numbers, self.block_hash, stall_s=max(60.0, 3 * timeout_s))

    @property
    def endpoint(self) -> str:
        return self._connection.endpoint

    @property
    def failures(self) -> int:
        """Calls that failed since the last one that was answered."""
        return self._connection.failures

    async def close(self) -> None:
        await self.heads.stop()
        await self._connection.close()

    # Reads

    async def head(self) -> Head:
        """The newest finalised block."""
        number = await self._connection.call("reading the head", lambda client: client.finalized_block())
        return Head(number, await self.block_hash(number))

    async def block_hash(self, number: int) -> bytes:
        """The 32-byte hash of block `number`."""
        substrate = self._connection
        text = await self._connection.call(
            f"reading the hash of block {number}", lambda _: substrate.substrate.block_hash(number)
        )
        if not text:
            raise ChainRejected(f"the chain knows no block {number}")
        return bytes.fromhex(str(text).removeprefix("0x"))

    async def genesis(self) -> bytes:
        return await self.block_hash(0)

    async def block_time(self) -> float:
        """Seconds between blocks."""
        return await self._connection.call("reading the block time", lambda client: client.block_time())

    async def clock(self) -> float:
        """The chain's own time at its head, in seconds since 1970."""
        moment = await self._connection.call("reading the chain's clock", lambda client: client.timestamp())
        return moment.timestamp()

    async def snapshot(self, netuid: int, block: int | None = None) -> MetagraphSnapshot:
        """The subnet at one block. Raises ChainRejected where the subnet does not exist."""
        graph, published = await self._connection.call(
            f"reading the metagraph of subnet {netuid}",
            lambda client: asyncio.gather(
                client.subnets.metagraph(netuid, block, commitments=False),
                client.query_map(("SubtensorModule", "NeuronCertificates"), [netuid], block=block),
            ),
        )
        if graph is None:
            raise ChainRejected(f"there is no subnet {netuid} on {self.endpoint}; see: btcli subnets list")
        certificates = {hotkey: _certificate(value) for hotkey, value in published}
        neurons = tuple(_neuron(row, certificates.get(row.hotkey)) for row in graph.neurons)
        return MetagraphSnapshot(netuid, graph.block, graph.tempo, graph.owner_hotkey, graph.max_uids, neurons)

    async def epoch(self, netuid: int) -> EpochInfo:
        read = await self._connection.call(
            f"reading the epoch of subnet {netuid}", lambda client: client.read("epoch_status", netuid=netuid)
        )
        block_time = await self.block_time()
        return EpochInfo(
            read["block"], read["tempo"], read["epoch_index"], read["last_epoch_block"],
            read["next_epoch_start_block"], block_time,
        )  # fmt: skip

    async def weight_rules(self, netuid: int, hotkey: str) -> WeightRules:
        """What the subnet asks of this hotkey's weights, all read at one block."""

        async def read(client: bt.Client) -> WeightRules:
            view = await client.at()
            uid, permits, updates, *rules = await asyncio.gather(
                view.query(_state.Uids, [netuid, hotkey]),
                view.query(_state.ValidatorPermit, [netuid]),
                view.query(_state.LastUpdate, [netuid]),
                view.query(_state.WeightsSetRateLimit, [netuid]),
                view.query(_state.MinAllowedWeights, [netuid]),
                view.query(_state.MaxWeightsLimit, [netuid]),
                view.query(_state.WeightsVersionKey, [netuid]),
                view.query(_state.CommitRevealWeightsEnabled, [netuid]),
                view.query(_state.RevealPeriodEpochs, [netuid]),
            )
            rate, least, limit, version, commit, reveal = rules
            at = None if uid is None else int(uid)
            return WeightRules(
                view.block, at, bool(_entry(permits, at)), int(_entry(updates, at) or 0), int(rate or 0),
                int(least or 0), (U16_MAX if limit is None else int(limit)) / U16_MAX, int(version or 0), bool(commit),
                int(reveal or 1),
            )  # fmt: skip

        return await self._connection.call(f"reading the weight rules of subnet {netuid}", read)

    async def weight_row(self, netuid: int, uid: int) -> tuple[tuple[int, int], ...]:
        """The (uid, u16) weights that the chain holds for a validator."""
        row = await self._connection.call(
            f"reading the weights of uid {uid}",
            lambda client: client.query(("SubtensorModule", "Weights"), [netuid, uid]),
        )
        return tuple((int(target), int(value)) for target, value in row or ())

    async def sealed_weights(self, netuid: int, hotkey: str) -> frozenset[int]:
        """The blocks of this hotkey's weight commits that the chain has not opened yet."""
        queues = await self._connection.call(
            f"reading the weight commits of subnet {netuid}",
            lambda client: client.query_map(("SubtensorModule", "TimelockedWeightCommits"), [netuid]),
        )
        return frozenset(int(entry[1]) for _, queue in queues for entry in queue or () if entry[0] == hotkey)

    async def published(self, netuid: int) -> dict[str, Published]:
        """Every commitment of the subnet that can be read now, by hotkey."""
        found = await self._connection.call(
            f"reading the commitments of subnet {netuid}", lambda client: fetch_commitments(client, netuid)
        )
        return {hotkey: Published(hotkey, item.block, item.value) for hotkey, item in found.items() if item.value}

    async def _block_numbers(self) -> AsyncIterator[int]:
        stream = await self._connection.call("subscribing to blocks", _finalised)
        try:
            async for header in stream:
                yield header.number
        except bt.BittensorError as error:
            raise ChainAway(f"the block subscription ended: {error}") from error
        finally:
            await stream.aclose()  # type: ignore[attr-defined]

    # Extrinsics, signed by the hotkey

    async def set_weights(
        self, netuid: int, shares: Mapping[int, float], hotkey: Hotkey, version_key: int = 0
    ) -> WeightsOutcome:
        """Plans a row within the subnet's rules, submits it and reads it back. Never raises for a refusal."""
        planned: tuple[tuple[int, int], ...] = ()
        try:
            rules = await self.weight_rules(netuid, hotkey.ss58_address)
            key = version_key or rules.version_key
            planned = quantise(shares, rules.max_share)
            reason = refusal(rules, planned, key)
            if reason is not None:
                return WeightsOutcome(reason, planned, rules.block)
            await self._submit_weights(netuid, planned, hotkey, key)
            return await self._read_back(netuid, rules, planned, hotkey.ss58_address)
        except ChainRejected as error:
            lost = error.name is None and LOST_IN_THE_MIDDLE in str(error)
            reason = WeightsReason.CHAIN_AWAY if lost else reason_of(error.name)
            return WeightsOutcome(reason, planned, message=str(error))
        except ChainAway as error:
            return WeightsOutcome(WeightsReason.CHAIN_AWAY, planned, message=str(error))

    async def _submit_weights(
        self, netuid: int, planned: tuple[tuple[int, int], ...], hotkey: Hotkey, version_key: int
    ) -> None:
        intent = bt.SetWeights(
            netuid=netuid, uids=[uid for uid, _ in planned], weights=[float(value) for _, value in planned],
            version_key=version_key,
        )  # fmt: skip
        await self._submit("setting weights", lambda client: client.execute(intent, hotkey, retries=1))

    async def _read_back(
        self, netuid: int, before: WeightRules, planned: tuple[tuple[int, int], ...], address: str
    ) -> WeightsOutcome:
        assert before.uid is not None
        after = await self.weight_rules(netuid, address)
        if after.last_update <= before.last_update:
            return WeightsOutcome(WeightsReason.NOT_READ_BACK, planned, after.block, "the last update did not move")
        if before.commit_reveal:
            return WeightsOutcome(WeightsReason.COMMITTED, planned, after.last_update)
        stored = await self.weight_row(netuid, before.uid)
        if not same_row(planned, stored):
            return WeightsOutcome(WeightsReason.NOT_READ_BACK, planned, after.block, f"the chain holds {stored}")
        return WeightsOutcome(WeightsReason.SET, planned, after.last_update)

    async def serve_axon(
        self, netuid: int, endpoint: Endpoint, hotkey: Hotkey, version: int = 1, *, withdraw: bool = False
    ) -> None:
        """Publishes where this neuron listens, with its certificate if it has one; `withdraw` takes back one that was
        published before. Raises ChainRejected, by name ServingRateLimitExceeded for example."""
        axon = {"ip": endpoint.ip, "port": endpoint.port, "protocol": SERVE_PROTOCOL, "version": version}
        certificate = endpoint.certificate or (NO_CERTIFICATE if withdraw else None)
        intent: bt.ServeAxon | bt.ServeAxonTls
        if certificate is None:
            intent = bt.ServeAxon(netuid=netuid, **axon)
        else:
            intent = bt.ServeAxonTls(netuid=netuid, certificate="0x" + certificate.hex(), **axon)
        await self._submit(f"publishing {endpoint}", lambda client: client.execute(intent, hotkey, retries=1))

    async def publish(self, netuid: int, text: str, hotkey: Hotkey) -> None:
        """Commits a short text under the hotkey. Raises ChainRejected where the pallet's rate or space says no."""
        data = text.encode()
        if not 0 < len(data) <= COMMITMENT_LIMIT:
            raise ChainRejected(f"a commitment takes 1 to {COMMITMENT_LIMIT} bytes, not {len(data)}")
        info = {"fields": [[{f"Raw{len(data)}": "0x" + data.hex()}]]}
        call = bt.calls.Commitments.set_commitment(netuid=netuid, info=info)
        await self._submit("publishing a commitment", lambda client: client.submit_call(call, hotkey, signer="hotkey"))

    async def _submit(self, what: str, operation: Any) -> None:
        result = await self._connection.call(what, operation, timeout_s=SUBMIT_FACTOR * self._connection.timeout_s)
        if not result.success:
            error = result.error
            raise ChainRejected(f"{what}: {result.message}", error.name if error is not None else None)


async def _finalised(client: bt.Client) -> AsyncIterator[Any]:
    return client.blocks(finalized=True)


def _entry(values: Any, index: int | None) -> Any:
    return values[index] if index is not None and values and index < len(values) else None


def _neuron(row: MetagraphNeuron, certificate: bytes | None) -> Neuron:
    return Neuron(
        uid=row.uid, hotkey=row.hotkey, coldkey=row.coldkey, stake=_amount(row.total_stake),
        validator_permit=row.validator_permit, active=row.active, last_update=row.last_update,
        registered_at=row.block_at_registration, incentive=row.incentive, dividends=row.dividends,
        consensus=row.consensus, trust=row.trust, emission=_amount(row.emission),
        collateral=_amount(row.collateral_locked),
        axon=_endpoint(row.axon, certificate),
    )  # fmt: skip


def _amount(balance: bt.Balance | None) -> float:
    return 0.0 if balance is None else balance.rao / 1e9


def _endpoint(text: str | None, certificate: bytes | None) -> Endpoint | None:
    host, _, port = (text or "").rpartition(":")
    return Endpoint(host.strip("[]"), int(port), certificate) if host and port.isdigit() and int(port) else None


def _certificate(value: Any) -> bytes | None:
    """Algorithm byte and key; None for one that was taken back, which the chain keeps as an entry without a key."""
    key = value["public_key"]
    raw = bytes.fromhex(key.removeprefix("0x")) if isinstance(key, str) else bytes(key)
    return bytes([value["algorithm"]]) + raw if raw else None
