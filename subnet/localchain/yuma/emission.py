"""How a subnet's alpha is split: each block into four pending pots, each epoch among owner, miners and validators.

All arithmetic is U96F32 (`subnet.localchain.yuma.fixed`), as in the coinbase of runtime spec 425. Amounts are rao of
the subnet's alpha. Child keys, leases and subnets with several mechanisms are not modelled.

Collateral follows the description that the SDK 11.3 gives of it (runtime spec 435 and later): `drain_ratio` alpha leave
the lock for each alpha of incentive earned, never below the floor, and while the lock is under its floor the incentive
itself is captured into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from subnet.localchain.yuma.consensus import EpochResult, in_range
from subnet.localchain.yuma.fixed import FRACTION, ONE, U16_MAX, U64_MAX, div, mul

RAO = 1_000_000_000
TOTAL_SUPPLY = 21_000_000 * RAO
DEFAULT_OWNER_CUT = 11_796
DEFAULT_BLOCK_EMISSION = RAO


@dataclass(frozen=True, slots=True)
class BlockEmission:
    """What one block adds to a subnet's pending pots, in rao of alpha."""

    server: int
    validator: int
    root: int
    owner_cut: int


@dataclass(frozen=True, slots=True)
class SubnetPending:
    """The four pending pots of a subnet, in rao of alpha."""

    server: int = 0
    validator: int = 0
    root: int = 0
    owner_cut: int = 0

    def add(self, block: BlockEmission) -> SubnetPending:
        """The pots after one more block."""
        return SubnetPending(
            server=self.server + block.server,
            validator=self.validator + block.validator,
            root=self.root + block.root,
            owner_cut=self.owner_cut + block.owner_cut,
        )

    @property
    def epoch_emission(self) -> int:
        """What an epoch is run with: everything but the owner's cut."""
        return self.server + self.validator + self.root


@dataclass(frozen=True, slots=True)
class HotkeyStake:
    """Stake and delegate take of one hotkey: rao on the subnet, rao on root, take as u16 / 65535."""

    alpha: int
    tao: int = 0
    take: int = 0


@dataclass(frozen=True, slots=True)
class EpochPayout:
    """Who is paid what, in rao of alpha; sequences have one entry per uid.

    Attributes:
        owner_cut: staked to the subnet owner's hotkey, for the owner's coldkey.
        incentives: staked to the miner's hotkey (or its auto-stake destination), for its coldkey; 0 for owner hotkeys.
        withheld: the incentives of owner hotkeys, to be burned or recycled.
        takes: the validator's take of its dividends, staked to it for its own coldkey.
        dividends: the rest, shared among all who staked to it by their shares.
        root_takes, root_dividends: the same from the root pot (the second is claimable by its root stakers).
    """

    owner_cut: int
    incentives: tuple[int, ...]
    withheld: int
    takes: tuple[int, ...]
    dividends: tuple[int, ...]
    root_takes: tuple[int, ...]
    root_dividends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Collateral:
    """A miner's locked registration collateral; rao of alpha, the ratio as U64F64 bits (2**64 = one for one)."""

    locked: int
    drain_ratio: int
    min_locked: int = 0
    earned: int = 0


def block_emission(issuance: int, total_supply: int = TOTAL_SUPPLY, initial: int = DEFAULT_BLOCK_EMISSION) -> int:
    """Rao emitted in a block at an issuance: `initial`, halved at each halving of what is left to issue."""
    if issuance >= total_supply:
        return 0
    left = ONE - div(issuance << FRACTION, 21_000_000 * RAO << FRACTION)
    halvings = (div(ONE, left) >> FRACTION).bit_length() - 1
    return mul(div(ONE, ONE << halvings), initial)


def root_proportion(root_tao: int, tao_weight: int, alpha_issuance: int) -> int:
    """Share of a subnet's validator emission that belongs to root stake, as U96F32 bits.

    Args:
        root_tao: rao staked on root.
        tao_weight: u64; a TAO on root counts as x / (2**64 - 1) alpha.
        alpha_issuance: rao of the subnet's alpha in existence.
    """
    weighted = mul(root_tao << FRACTION, div(tao_weight, U64_MAX))
    return div(weighted, weighted + (alpha_issuance << FRACTION))


def split_block_emission(
    alpha_out: int, root_share: int, owner_cut: int = DEFAULT_OWNER_CUT, owner_cut_enabled: bool = True
) -> BlockEmission:
    """Splits one block's alpha: the owner's cut, then half to miners and half to validators, of which root its share.

    Args:
        alpha_out: rao of alpha emitted to participants in this block.
        root_share: U96F32 bits from `root_proportion`.
        owner_cut: u16; the owner's part is x / 65535.
        owner_cut_enabled: False leaves the owner's part with miners and validators.
    """
    in_range("alpha_out", alpha_out, U64_MAX)
    whole = alpha_out << FRACTION
    cut = mul(whole, div(owner_cut, U16_MAX)) if owner_cut_enabled else 0
    rest = whole - cut
    server = rest >> 1
    root = mul(root_share, rest) >> 1
    validator = max(rest - server - root, 0)
    return BlockEmission(*(amount >> FRACTION for amount in (server, validator, root, cut)))


def distribute(
    pending: SubnetPending,
    result: EpochResult,
    stakes: Sequence[HotkeyStake],
    tao_weight: int,
    owner_uids: Iterable[int] = (),
) -> EpochPayout:
    """Splits the drained pots of an epoch by its result.

    Validators get the validators' and the root pot, each in proportion to the part of their dividend that their alpha
    and their root stake earned. Where consensus gave no miner anything, validators get the miners' pot as well.

    Args:
        pending: the pots as drained.
        result: the epoch that was run with `pending.epoch_emission`.
        stakes: stake and take of each uid's hotkey.
        tao_weight: u64, as in the epoch.
        owner_uids: uids of hotkeys of the subnet owner's coldkey; their mining incentive is withheld.
    """
    owners = frozenset(owner_uids)
    incentives = result.server_emission
    validator_pot = pending.validator if any(incentives) else pending.validator + pending.server
    weight = div(tao_weight, U64_MAX)
    alpha_parts, root_parts = [], []
    for dividend, stake in zip(result.validator_emission, stakes, strict=True):
        root_alpha = mul(stake.tao << FRACTION, weight)
        root_part = mul(dividend << FRACTION, div(root_alpha, (stake.alpha << FRACTION) + root_alpha))
        root_parts.append(root_part)
        alpha_parts.append((dividend << FRACTION) - root_part)
    takes, dividends = _share_pot(validator_pot, alpha_parts, stakes)
    root_takes, root_dividends = _share_pot(pending.root, root_parts, stakes)
    return EpochPayout(
        owner_cut=pending.owner_cut,
        incentives=tuple(0 if uid in owners else amount for uid, amount in enumerate(incentives)),
        withheld=sum(amount for uid, amount in enumerate(incentives) if uid in owners),
        takes=takes,
        dividends=dividends,
        root_takes=root_takes,
        root_dividends=root_dividends,
    )


def _share_pot(
    pot: int, parts: Sequence[int], stakes: Sequence[HotkeyStake]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The pot by U96F32 parts, each split into the validator's take and what its stakers share."""
    total = sum(parts)
    takes, rests = [], []
    for part, stake in zip(parts, stakes, strict=True):
        amount = mul(pot << FRACTION, div(part, total))
        take = mul(div(stake.take, U16_MAX), amount)
        takes.append(take >> FRACTION)
        rests.append((amount - take) >> FRACTION)
    return tuple(takes), tuple(rests)


def drain_collateral(collateral: Collateral, incentive: int) -> tuple[Collateral, int, int]:
    """Applies one epoch's incentive to a miner's lock.

    While the lock is under its floor, incentive is captured into it; with what is left of the incentive the lock
    drains at its ratio down to the floor. The incentive is paid as stake in either case: locked alpha is stake that
    cannot leave.

    Returns:
        The collateral after, rao captured into the lock, and rao released from it.
    """
    captured = min(max(collateral.min_locked - collateral.locked, 0), incentive)
    locked = collateral.locked + captured
    released = min(mul(incentive - captured, collateral.drain_ratio, 64), max(locked - collateral.min_locked, 0))
    after = replace(collateral, locked=locked - released, earned=min(collateral.earned + incentive, U64_MAX))
    return after, captured, released
