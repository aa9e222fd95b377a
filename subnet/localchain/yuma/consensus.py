"""One epoch of Yuma Consensus, bit for bit as the chain computes it.

Values in, values out: `run_epoch` takes what storage holds before the epoch and returns what the chain writes after it.
It knows nothing of hotkeys, storage or blocks beyond their numbers.

The chain walks sparse rows with one entry at a time; here the rows that hold anything become one dense matrix of I32F32
bits (rows x n) beside a mask of which entries exist. The mask matters in one place only: with liquid alpha the moving
average visits the entries of the weight row, so a bond to a miner that the row no longer names vanishes at once, while
an explicit zero lets it decay. Sums are exact integers, so their order is free.

Rules. `Rules.SPEC_425` (June 2026) is the default; `Rules.SPEC_293` (July 2025) is what `tests/vectors/yuma.json` was
measured on. They differ here in three things: under 425 the subnet owner's hotkey always holds a validator permit and
is exempt from the stake threshold; bonds are masked against the block of the last epoch that ran, not `block - tempo`;
and rank and trust are no longer stored (they are zero in the result).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from subnet.errors import ChainError
from subnet.localchain.yuma import fixed
from subnet.localchain.yuma.fixed import ONE, U16_MAX, U64_MAX, Bits

Mask = NDArray[np.bool_]
Row = Sequence[tuple[int, int]] | NDArray[np.int64]
"""Entries (target uid, u16) of a row; an array has shape [entries, 2]."""

DEFAULT_TAO_WEIGHT = 971_718_665_099_567_868
MAX_NEURONS = 4_096


class EpochInputError(ChainError):
    """What was given to an epoch is not a state that a chain can be in."""


class Rules(Enum):
    """Which runtime's epoch to compute."""

    SPEC_293 = 293
    SPEC_425 = 425


CURRENT_RULES = Rules.SPEC_425


@dataclass(frozen=True, slots=True)
class EpochParams:
    """A subnet's consensus hyperparameters, in the units of storage.

    Attributes:
        kappa: u16; the consensus majority is kappa / 65535 of active stake.
        bonds_moving_average: the bonds keep x / 1,000,000 of their old value in an epoch.
        bonds_penalty: u16; 0 grows bonds from the weights as set, 65535 from the weights as clipped.
        liquid_alpha: a rate of its own for every bond; only has an effect together with `yuma3`.
        alpha_low, alpha_high: u16 / 65535, the range of that rate.
        alpha_sigmoid_steepness: i16 / 100, how fast it goes from low to high.
        yuma3: Yuma 3 bonds (per pair, dividends from stake times bond share) instead of Yuma 2.
        activity_cutoff: blocks without a weight update after which a validator counts as inactive.
        max_allowed_validators: number of validator permits.
        stake_threshold: rao of stake weight below which a hotkey counts as having none.
        tao_weight: u64; a TAO on root counts as x / (2**64 - 1) alpha.
    """

    kappa: int = 32_767
    bonds_moving_average: int = 900_000
    bonds_penalty: int = U16_MAX
    liquid_alpha: bool = False
    alpha_low: int = 45_875
    alpha_high: int = 58_982
    alpha_sigmoid_steepness: int = 1_000
    yuma3: bool = False
    activity_cutoff: int = 5_000
    max_allowed_validators: int = 64
    stake_threshold: int = 0
    tao_weight: int = DEFAULT_TAO_WEIGHT

    def __post_init__(self) -> None:
        for name in ("kappa", "bonds_penalty", "alpha_low", "alpha_high", "max_allowed_validators"):
            in_range(name, getattr(self, name), U16_MAX)
        in_range("bonds_moving_average", self.bonds_moving_average, 1_000_000)
        for name in ("activity_cutoff", "stake_threshold", "tao_weight"):
            in_range(name, getattr(self, name), U64_MAX)
        if not -32_768 <= self.alpha_sigmoid_steepness <= 32_767:
            raise EpochInputError(f"alpha_sigmoid_steepness is an i16; got {self.alpha_sigmoid_steepness}")
        if self.alpha_low > self.alpha_high:
            raise EpochInputError(f"alpha_low {self.alpha_low} is above alpha_high {self.alpha_high}")


@dataclass(frozen=True, slots=True)
class EpochState:
    """Storage before the epoch. Every sequence has one entry per uid.

    Attributes:
        block: the block in which the epoch runs.
        tempo: blocks between epochs.
        alpha_stake: rao of subnet alpha on each hotkey (inherited stake included where there are child keys).
        tao_stake: rao on root of each hotkey.
        weights: uid -> its row of (target uid, u16); a missing uid has an empty row.
        bonds: the same for bonds as stored (Yuma 2: column max-upscaled, Yuma 3: share of u16).
        validator_permit: who may set weights in this epoch.
        last_update: block of each uid's last weight update.
        block_at_registration: block in which each uid was registered.
        owner_uid: uid of the subnet owner's hotkey, None where it has none.
        last_step_block: block of the last epoch that ran, 0 where none did (425 only).
        first_commit_block: block of each uid's earliest unexpired weight commit, 2**64 - 1 where it has none;
            None where commit-reveal is off.
    """

    block: int
    tempo: int
    alpha_stake: Sequence[int]
    tao_stake: Sequence[int]
    weights: Mapping[int, Row]
    bonds: Mapping[int, Row]
    validator_permit: Sequence[bool]
    last_update: Sequence[int]
    block_at_registration: Sequence[int]
    owner_uid: int | None = None
    last_step_block: int = 0
    first_commit_block: Sequence[int] | None = None

    def __post_init__(self) -> None:
        n = len(self.alpha_stake)
        if n > MAX_NEURONS:
            raise EpochInputError(f"an epoch of {n} neurons: at most {MAX_NEURONS} are supported")
        for name in ("tao_stake", "validator_permit", "last_update", "block_at_registration", "first_commit_block"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise EpochInputError(f"{name} has {len(values)} entries for {n} neurons")
        if self.owner_uid is not None and not 0 <= self.owner_uid < n:
            raise EpochInputError(f"owner_uid {self.owner_uid} is not among {n} neurons")

    @property
    def n(self) -> int:
        """Number of neurons."""
        return len(self.alpha_stake)


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What the chain stores and pays after the epoch; one entry per uid.

    `server_emission` is the miner's part and `validator_emission` the validator's, in rao; `emission` is the combined
    figure that is stored (its sum is at most the emission given). `bonds` replaces all bond rows of the subnet: it has
    non-empty rows only, each in order of target (with liquid alpha the chain keeps the weight row's order). `rank` and
    `trust` are zero under rules that no longer store them.
    """

    active: tuple[bool, ...]
    stake_weight: tuple[int, ...]
    rank: tuple[int, ...]
    trust: tuple[int, ...]
    consensus: tuple[int, ...]
    validator_trust: tuple[int, ...]
    incentive: tuple[int, ...]
    dividends: tuple[int, ...]
    emission: tuple[int, ...]
    server_emission: tuple[int, ...]
    validator_emission: tuple[int, ...]
    validator_permit: tuple[bool, ...]
    bonds: dict[int, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class _Sparse:
    """Rows of a sparse matrix as a dense one: bits and existence of entry (row, column), and the uid of each row."""

    rows: NDArray[np.int64]
    bits: Bits
    present: Mask

    def keep(self, mask: Mask) -> _Sparse:
        present = self.present & mask
        return _Sparse(self.rows, np.where(present, self.bits, 0), present)

    def with_bits(self, bits: Bits) -> _Sparse:
        return _Sparse(self.rows, bits, self.present)


def run_epoch(state: EpochState, params: EpochParams, emission: int, rules: Rules = CURRENT_RULES) -> EpochResult:
    """Computes one epoch.

    Args:
        state: storage before the epoch.
        params: the subnet's hyperparameters.
        emission: rao of alpha for miners and validators together.
        rules: whose rules to follow.

    Raises:
        EpochInputError: a row names a uid twice or holds something that is not a u16, or emission is not a u64.
    """
    in_range("emission", emission, U64_MAX)
    active = np.array([min(u + params.activity_cutoff, U64_MAX) >= state.block for u in state.last_update], dtype=bool)
    stake = _normalised_stake(state, params, rules)
    permits, new_permits = _permits(state, params, stake, rules)
    active_stake = fixed.normalise(np.where(active & permits, stake, 0))

    weights = _masked_weights(state, permits, active_stake)
    row_stake = active_stake[weights.rows]
    consensus = _consensus(row_stake, weights.bits, fixed.from_u16_share(params.kappa))
    clipped = weights.keep((weights.bits <= consensus) | (consensus > 0))
    clipped = clipped.with_bits(np.minimum(clipped.bits, consensus))
    ranks = fixed.vmul(clipped.bits, row_stake[:, None]).sum(axis=0)
    incentive = fixed.normalise(ranks)

    grown = _weights_for_bonds(weights, clipped, fixed.from_u16_share(params.bonds_penalty))
    bonds = _masked_bonds(state, params, rules, weights.rows)
    step = _yuma3 if params.yuma3 else _yuma2
    stored_bonds, row_dividends = step(params, grown, bonds, consensus, incentive, row_stake)
    dividends = fixed.normalise(_scatter(state.n, weights.rows, row_dividends))

    server, validator, combined = _emission_shares(incentive, dividends, stake, active_stake)
    old_rules = rules is Rules.SPEC_293
    trust = _trust(ranks, weights, row_stake) if old_rules else np.zeros(state.n, dtype=np.int64)
    return EpochResult(
        active=tuple(active.tolist()),
        stake_weight=_u16s(stake),
        rank=_u16s(incentive) if old_rules else (0,) * state.n,
        trust=_u16s(trust),
        consensus=_u16s(consensus),
        validator_trust=_u16s(_scatter(state.n, weights.rows, clipped.bits.sum(axis=1))),
        incentive=_u16s(incentive),
        dividends=_u16s(dividends),
        emission=_rao(combined, emission),
        server_emission=_rao(server, emission),
        validator_emission=_rao(validator, emission),
        validator_permit=tuple(new_permits.tolist()),
        bonds=_bond_rows(stored_bonds, new_permits),
    )


def stake_weight_bits(alpha_stake: int, tao_stake: int, tao_weight: int) -> int:
    """Stake weight of a hotkey as I64F64 bits: alpha + tao * tao_weight, with tao_weight kept at 32 fractional bits."""
    share = fixed.div(tao_weight, U64_MAX) << 32
    return min((alpha_stake << 64) + fixed.mul(tao_stake << 64, share, 64), (1 << 127) - 1)


def in_range(name: str, value: int, maximum: int) -> None:
    """Raises EpochInputError unless 0 <= value <= maximum."""
    if not 0 <= value <= maximum:
        raise EpochInputError(f"{name} must be between 0 and {maximum}; got {value}")


def _normalised_stake(state: EpochState, params: EpochParams, rules: Rules) -> Bits:
    exempt = state.owner_uid if rules is Rules.SPEC_425 else None
    totals = []
    for uid, (alpha, tao) in enumerate(zip(state.alpha_stake, state.tao_stake, strict=True)):
        total = stake_weight_bits(alpha, tao, params.tao_weight)
        totals.append(total if uid == exempt or total >> 64 >= params.stake_threshold else 0)
    whole = sum(totals)
    shares = [fixed.div(total, whole, 64) >> 32 if whole else total >> 32 for total in totals]
    return np.array(shares, dtype=np.int64)


def _permits(state: EpochState, params: EpochParams, stake: Bits, rules: Rules) -> tuple[Mask, Mask]:
    """Permits that count in this epoch, and permits from the next: the `max_allowed_validators` largest stakes."""
    now = np.array(state.validator_permit, dtype=bool)
    after = stake != 0
    surplus = state.n - params.max_allowed_validators
    if surplus > 0:
        after[np.argsort(stake, kind="stable")[:surplus]] = False
    if rules is Rules.SPEC_425 and state.owner_uid is not None:
        now[state.owner_uid] = True
        after[state.owner_uid] = True
    return now, after


def _dense(n: int, rows: NDArray[np.int64], stored: Mapping[int, Row], convert: Callable[[Bits], Bits]) -> _Sparse:
    bits = np.zeros((len(rows), n), dtype=np.int64)
    present = np.zeros((len(rows), n), dtype=bool)
    for index, uid in enumerate(rows.tolist()):
        entries = stored.get(uid)
        if entries is None or not len(entries):
            continue
        flat = entries.ravel() if isinstance(entries, np.ndarray) else _flat(entries)
        targets, values = flat[::2], flat[1::2]
        if values.min() < 0 or values.max() > U16_MAX or targets.min() < 0:
            raise EpochInputError(f"the row of uid {uid} holds something that is not a pair of u16")
        inside = targets < n
        targets = targets[inside]
        bits[index, targets] = values[inside]
        present[index, targets] = True
        if np.count_nonzero(present[index]) != len(targets):
            raise EpochInputError(f"the row of uid {uid} names a uid twice")
    return _Sparse(rows, convert(bits), present)


def _flat(entries: Sequence[tuple[int, int]]) -> Bits:
    return np.fromiter(chain.from_iterable(entries), dtype=np.int64, count=2 * len(entries))


def _masked_weights(state: EpochState, permits: Mask, active_stake: Bits) -> _Sparse:
    """Row-normalised weights: of permitted validators, not on themselves (the owner may), not on newer registrations.

    A row is kept for whoever has weights or bonds, and for all active stake: a validator without weights gives every
    column a zero, which counts in the median.
    """
    used = {
        uid for rows in (state.weights, state.bonds) for uid, row in rows.items() if len(row) and 0 <= uid < state.n
    }
    rows = np.array(sorted(used | set(np.flatnonzero(active_stake).tolist())), dtype=np.int64)
    weights = _dense(state.n, rows, state.weights, lambda u16: u16 * ONE)
    columns = np.arange(state.n)
    own = (rows[:, None] == columns) & (rows[:, None] != (-1 if state.owner_uid is None else state.owner_uid))
    registered = np.array(state.block_at_registration, dtype=np.uint64)
    updated = np.array(state.last_update, dtype=np.uint64)[rows]
    keep = permits[rows][:, None] & ~own & (updated[:, None] > registered)
    if state.first_commit_block is not None:
        keep &= np.array(state.first_commit_block, dtype=np.uint64)[rows][:, None] >= registered
    weights = weights.keep(keep)
    return weights.with_bits(fixed.normalise_rows(weights.bits))


def _consensus(row_stake: Bits, weights: Bits, kappa: int) -> Bits:
    """Stake-weighted median of every column: the largest weight that more than kappa of active stake gives at least.

    The chain finds it by bisection of the scores; the cumulative form returns the same entry because stakes are
    positive and their sums exact. Where the minority 1 - kappa is not below all stake,
    it is the largest score; where it is negative, the smallest.
    """
    voters = row_stake > 0
    if not voters.any():
        return np.zeros(weights.shape[1], dtype=np.int64)
    stake = fixed.normalise(row_stake[voters])
    minority = int(stake.sum()) - kappa
    scores = weights[voters]
    order = np.argsort(scores, axis=0, kind="stable")
    passed = np.cumsum(stake[order], axis=0) > minority
    index = np.where(passed[-1], np.argmax(passed, axis=0), len(stake) - 1)
    columns = np.arange(weights.shape[1])
    return scores[order[index, columns], columns]


def _weights_for_bonds(weights: _Sparse, clipped: _Sparse, penalty: int) -> _Sparse:
    if penalty == 0:
        return weights
    if penalty == ONE:
        return clipped
    bits = weights.bits + fixed.vmul(clipped.bits - weights.bits, penalty)
    return _Sparse(weights.rows, np.maximum(bits, 0), bits > 0)


def _masked_bonds(state: EpochState, params: EpochParams, rules: Rules, rows: NDArray[np.int64]) -> _Sparse:
    """Stored bonds without those to neurons that registered since the last epoch."""
    if rules is Rules.SPEC_425 and state.last_step_block:
        last_epoch = state.last_step_block + 1
    else:
        last_epoch = max(state.block - state.tempo, 0)
    convert = (lambda u16: fixed.vdiv(u16, U16_MAX)) if params.yuma3 else (lambda u16: u16 * ONE)
    older = np.array(state.block_at_registration, dtype=np.uint64) < np.uint64(last_epoch)
    return _dense(state.n, rows, state.bonds, convert).keep(older[None, :])


def _bonds_rate(params: EpochParams) -> int:
    """1 - bonds_moving_average / 1,000,000 as I32F32 bits."""
    return ONE - (fixed.div(params.bonds_moving_average, 1_000_000, 64) >> 32)


def _moving_average(new: Bits, old: Bits, rate: Bits | int) -> Bits:
    return fixed.vmul(new, rate) + fixed.vmul(old, ONE - rate)


def _yuma2(
    params: EpochParams, grown: _Sparse, bonds: _Sparse, consensus: Bits, incentive: Bits, row_stake: Bits
) -> tuple[_Sparse, Bits]:
    """Bonds as shares of a column; returns bonds to store (column max-upscaled) and each row's raw dividends."""
    old = fixed.normalise_columns(bonds.bits)
    new = fixed.normalise_columns(fixed.vmul(grown.bits, row_stake[:, None]))
    averaged = _moving_average(new, old, _bonds_rate(params))
    present = averaged > 0
    shares = fixed.normalise_columns(averaged)
    dividends = fixed.vmul(shares, incentive).sum(axis=1)
    return _Sparse(grown.rows, fixed.upscale_columns(shares), present), dividends


def _yuma3(
    params: EpochParams, grown: _Sparse, bonds: _Sparse, consensus: Bits, incentive: Bits, row_stake: Bits
) -> tuple[_Sparse, Bits]:
    """Bonds per pair; returns bonds to store and each row's raw dividends (bond shares x incentive x stake)."""
    if params.liquid_alpha and consensus.any():
        rate = _liquid_rate(params, grown.bits, bonds.bits, consensus)
        averaged = np.minimum(_moving_average(grown.bits, bonds.bits, rate), ONE)
        averaged = np.where(grown.present, averaged, 0)
    else:
        averaged = _moving_average(grown.bits, bonds.bits, _bonds_rate(params))
    shares = fixed.normalise_columns(averaged)
    total = fixed.vmul(shares, incentive).sum(axis=1)
    return _Sparse(grown.rows, averaged, averaged > 0), fixed.vmul(total, row_stake)


def _liquid_rate(params: EpochParams, weights: Bits, bonds: Bits, consensus: Bits) -> Bits:
    """The bond rate of every pair: a sigmoid of how far the weight leads consensus, or the bond exceeds the weight."""
    low, high = fixed.from_u16_share(params.alpha_low), fixed.from_u16_share(params.alpha_high)
    buying = np.clip(weights - consensus, 0, ONE)
    selling = np.clip(bonds - weights, 0, ONE)
    distance = np.where(weights >= bonds, buying, selling)
    slope = fixed.div(params.alpha_sigmoid_steepness * ONE, -100 * ONE)
    # Most pairs share a handful of distances, and the exponential is the dearest step of an epoch.
    distinct, where = np.unique(distance, return_inverse=True)
    exponential = fixed.vexp(fixed.vmul(distinct - fixed.HALF, slope))
    sigmoid = fixed.vdiv(np.full_like(exponential, ONE), exponential + ONE)
    rate = np.clip(low + fixed.vmul(sigmoid, high - low), low, high)
    return rate[where].reshape(distance.shape)


def _emission_shares(incentive: Bits, dividends: Bits, stake: Bits, active_stake: Bits) -> tuple[Bits, Bits, Bits]:
    """Shares of emission for servers, validators and both; by stake where consensus gives nothing to anyone."""
    combined = incentive + dividends
    total = int(combined.sum())
    if total:
        return fixed.vdiv(incentive, total), fixed.vdiv(dividends, total), fixed.vdiv(combined, total)
    fallback = active_stake if active_stake.any() else stake
    return incentive, fallback, fallback


def _trust(ranks: Bits, weights: _Sparse, row_stake: Bits) -> Bits:
    return fixed.vdiv(ranks, fixed.vmul(weights.bits, row_stake[:, None]).sum(axis=0))


def _scatter(n: int, rows: NDArray[np.int64], values: Bits) -> Bits:
    full = np.zeros(n, dtype=np.int64)
    full[rows] = values
    return full


def _u16s(shares: Bits) -> tuple[int, ...]:
    return tuple(fixed.to_u16(shares).tolist())


def _rao(shares: Bits, emission: int) -> tuple[int, ...]:
    return tuple(min(fixed.mul(share, emission), U64_MAX) for share in shares.tolist())


def _bond_rows(bonds: _Sparse, permits: Mask) -> dict[int, tuple[tuple[int, int], ...]]:
    """Rows to store: of those that keep or gain a permit; every entry that exists, even one that rounds to zero."""
    values = fixed.to_u16(bonds.bits)
    stored = {}
    for index, uid in enumerate(bonds.rows.tolist()):
        columns = np.flatnonzero(bonds.present[index])
        if permits[uid] and len(columns):
            stored[uid] = tuple(zip(columns.tolist(), values[index, columns].tolist(), strict=True))
    return stored
