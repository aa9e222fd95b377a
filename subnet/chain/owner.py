"""What a subnet owner does on a chain to open a subnet: fund keys, register, start, stake, set hyperparameters.

The neurons never need any of it; the localnet and people who open a subnet of their own do.
Amounts are in TAO. Every function raises ChainError with the chain's own reason when an extrinsic fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bittensor as bt
from bittensor.keyfiles import Keypair

from subnet.errors import ChainError

SUBMIT_DEADLINE_S = 60.0
"""A submit that is not finalized within this many seconds is given up (a public chain needs about two blocks)."""

CONNECT_DEADLINE_S = 15.0
CLOSE_DEADLINE_S = 2.0


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Values a new subnet is given. `None` leaves the chain's own default.

    tempo: blocks between epochs. weights_rate_limit: least blocks between two weight vectors of one hotkey.
    immunity_period: blocks in which a new uid cannot be pruned.
    """

    tempo: int | None = None
    weights_rate_limit: int | None = None
    immunity_period: int | None = None
    commit_reveal: bool | None = None


def development_key(name: str) -> Keypair:
    """The well-known development key `//name` (Alice, Bob, ...): funded on local chains, worthless elsewhere."""
    return Keypair.create_from_uri(f"//{name}")


def open_wallet(path: Path, name: str, hotkey: str) -> bt.Wallet:
    """Loads the wallet `name/hotkey` under `path`, making unencrypted keys where they are missing (localnet only)."""
    wallet = bt.Wallet(name=name, hotkey=hotkey, path=str(path))
    if not wallet.coldkey_file.exists_on_device():
        wallet.create_new_coldkey(use_password=False, suppress=True)
    if not wallet.hotkey_file.exists_on_device():
        wallet.create_new_hotkey(use_password=False, suppress=True)
    return wallet


@asynccontextmanager
async def connected(endpoint: str, signer: Any) -> AsyncIterator[Owner]:
    """An Owner over a fresh connection to `endpoint`. Raises ChainError when nothing answers there."""
    client = bt.Client(endpoint)
    try:
        # not wait_for, which on Python 3.11 swallows a cancellation that comes together with the answer
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            await client.connect()
    except (TimeoutError, OSError, bt.BittensorError) as error:
        raise ChainError(f"no chain answers at {endpoint}: {error or 'timed out'}") from error
    try:
        yield Owner(client, signer)
    finally:
        # close() can hang for ever on Python 3.11, so it is given a deadline and then left behind
        await asyncio.wait({asyncio.create_task(client.close())}, timeout=CLOSE_DEADLINE_S)


class Owner:
    """The owner's calls over one connected client. `signer` pays and owns the subnet."""

    def __init__(self, client: bt.Client, signer: Any) -> None:
        self._client = client
        self._signer = signer

    async def fund(self, coldkeys: Sequence[str], amount_tao: float) -> None:
        """Transfers `amount_tao` TAO from the signer to each coldkey (ss58), in one batch extrinsic."""
        transfers = [
            bt.calls.Balances.transfer_keep_alive(dest=coldkey, value=bt.tao(amount_tao).rao) for coldkey in coldkeys
        ]
        composed = [await self._client.compose(call) for call in transfers]
        await self._submit(bt.calls.Utility.batch_all(calls=composed), self._signer, "fund the wallets")

    async def register_subnet(self, wallet: Any) -> int:
        """Registers a new subnet owned by `wallet` and returns its netuid."""
        result = await self._bounded(
            self._client.execute(bt.RegisterSubnet(), wallet, retries=1), "register the subnet"
        )
        netuid = result.data.get("netuid")
        if netuid is None:
            raise ChainError(f"the chain registered a subnet but did not say its netuid: {result.data}")
        return int(netuid)

    async def start(self, netuid: int, wallet: Any) -> None:
        """Activates the subnet, waiting out the chain's start delay."""
        delay = int(await self._client.constant(bt.constants.SubtensorModule.InitialStartCallDelay))
        registered_at: Any = bt.storage.SubtensorModule.NetworkRegisteredAt
        registered = int(await self._client.query(registered_at, [netuid]))
        await self._client.wait_for_block(registered + delay + 1, timeout=SUBMIT_DEADLINE_S + 13.0 * delay)
        await self._submit(bt.calls.SubtensorModule.start_call(netuid=netuid), wallet, "start the subnet")

    async def register(self, netuid: int, wallet: Any) -> None:
        """Registers the wallet's hotkey on the subnet, paid by its coldkey."""
        call = bt.calls.SubtensorModule.burned_register(netuid=netuid, hotkey=wallet.hotkey.ss58_address)
        await self._submit(call, wallet, f"register {wallet.name}/{wallet.hotkey_str} on subnet {netuid}")

    async def stake(self, netuid: int, wallet: Any, amount_tao: float) -> None:
        """Stakes `amount_tao` TAO of the wallet's coldkey on its hotkey in the subnet."""
        call = bt.calls.SubtensorModule.add_stake(
            hotkey=wallet.hotkey.ss58_address, netuid=netuid, amount_staked=bt.tao(amount_tao).rao
        )
        await self._submit(call, wallet, f"stake on {wallet.name}/{wallet.hotkey_str}")

    async def set_hyperparameters(self, netuid: int, values: Hyperparameters) -> None:
        """Sets hyperparameters through sudo (the signer must be the chain's sudo key)."""
        admin = bt.calls.AdminUtils
        calls = []
        if values.tempo is not None:
            calls.append(admin.sudo_set_tempo(netuid=netuid, tempo=values.tempo))
        if values.weights_rate_limit is not None:
            calls.append(
                admin.sudo_set_weights_set_rate_limit(netuid=netuid, weights_set_rate_limit=values.weights_rate_limit)
            )
        if values.immunity_period is not None:
            calls.append(admin.sudo_set_immunity_period(netuid=netuid, immunity_period=values.immunity_period))
        if values.commit_reveal is not None:
            calls.append(admin.sudo_set_commit_reveal_weights_enabled(netuid=netuid, enabled=values.commit_reveal))
        await self.sudo(calls, f"set {values}")

    async def sudo(self, calls: Sequence[Any], what: str) -> None:
        """Runs calls as root, together in one extrinsic; `what` says in words what for."""
        composed = [await self._client.compose(call) for call in calls]
        together = await self._client.compose(bt.calls.Utility.batch_all(calls=composed))
        await self._submit(bt.calls.Sudo.sudo(call=together), self._signer, what)

    async def _submit(self, call: Any, signer: Any, what: str) -> None:
        await self._bounded(self._client.submit_call(call, signer), what)

    async def _bounded(self, work: Any, what: str) -> Any:
        try:
            async with asyncio.timeout(SUBMIT_DEADLINE_S):
                result = await work
        except TimeoutError:
            raise ChainError(f"could not {what}: the chain did not finalize it in {SUBMIT_DEADLINE_S:.0f} s") from None
        except bt.BittensorError as error:
            raise ChainError(f"could not {what}: {error}") from error
        if not result.success:
            raise ChainError(f"could not {what}: {result.error or result.message}")
        return result
