"""Opens a subnet on a chain for a plan: wallets made and funded, subnet registered, everybody registered and staked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from subnet.chain.owner import Hyperparameters, Owner, open_wallet
from subnet.localnet.plan import Plan

HOTKEY = "default"
OWNER = "owner"
GUEST = "guest"
"""A funded wallet that nobody uses: for the person who attaches a neuron of their own."""
FUNDS_TAO = 5_000.0
"""Enough for the registration cost of a subnet and the stakes below, on our chain and on the official local image."""
VALIDATOR_STAKE_TAO = 20.0
"""Small beside a new subnet's pool of 1,000 TAO: the price hardly moves, so all validators get about the same stake."""
WEIGHTS_RATE_LIMIT_BLOCKS = 5
IMMUNITY_PERIOD_BLOCKS = 1_000


@dataclass(frozen=True, slots=True)
class Opened:
    """The subnet as opened. hotkeys: participant name -> ss58."""

    netuid: int
    wallets: Path
    hotkeys: dict[str, str]


async def found_subnet(owner: Owner, plan: Plan, say: Callable[[str], None]) -> Opened:
    """Makes and funds the wallets and registers the subnet. Raises ChainError with the chain's reason."""
    folder = plan.folder / "wallets"
    owner_wallet, guest_wallet = (open_wallet(folder, name, HOTKEY) for name in (OWNER, GUEST))
    wallets = {p.name: open_wallet(folder, p.name, HOTKEY) for p in plan.participants}
    funded = [owner_wallet, guest_wallet, *wallets.values()]
    say(f"funding {len(funded)} wallets from //Alice")
    await owner.fund([wallet.coldkeypub.ss58_address for wallet in funded], FUNDS_TAO)
    netuid = await owner.register_subnet(owner_wallet)
    say(f"registered subnet {netuid}")
    return Opened(netuid, folder, {name: wallet.hotkey.ss58_address for name, wallet in wallets.items()})


async def fill_subnet(owner: Owner, opened: Opened, plan: Plan, say: Callable[[str], None]) -> None:
    """Sets the subnet's rules, starts it, and registers and stakes everybody. Raises ChainError."""
    netuid = opened.netuid
    wallets = {p: open_wallet(opened.wallets, p.name, HOTKEY) for p in plan.participants}
    await owner.set_hyperparameters(
        netuid,
        Hyperparameters(
            tempo=plan.tempo,
            weights_rate_limit=WEIGHTS_RATE_LIMIT_BLOCKS,
            immunity_period=IMMUNITY_PERIOD_BLOCKS,
            commit_reveal=False,
        ),
    )
    await owner.start(netuid, open_wallet(opened.wallets, OWNER, HOTKEY))
    say(f"started subnet {netuid}: an epoch every {plan.tempo} blocks of {plan.block_time:g} s")
    await asyncio.gather(*(owner.register(netuid, wallet) for wallet in wallets.values()))
    validators = [wallet for p, wallet in wallets.items() if p.is_validator]
    await asyncio.gather(*(owner.stake(netuid, wallet, VALIDATOR_STAKE_TAO) for wallet in validators))
    say(f"registered {len(plan.validators)} validators and {len(plan.miners)} miners")
