"""What happens in every block: prices decay, emission accrues, epochs run and pay."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from loguru import logger

from subnet.localchain.defaults import RAO
from subnet.localchain.model import KeyValue
from subnet.localchain.pallets import balances, swap
from subnet.localchain.pallets.subtensor import staking, weights
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.runtime import Runtime
from subnet.localchain.yuma import (
    Collateral,
    EpochParams,
    EpochPayout,
    EpochResult,
    EpochState,
    HotkeyStake,
    SubnetPending,
    block_emission,
    distribute,
    drain_collateral,
    root_proportion,
    run_epoch,
    should_run_epoch,
    split_block_emission,
)

_MOVING_PRICE_WEIGHT = 3_600
"""Blocks over which the moving price follows the spot price (a plain exponential average here)."""

_NO_COMMIT = (1 << 64) - 1


def on_initialize(rt: Runtime) -> None:
    """The block step of every subnet but root."""
    networks = [netuid for (netuid,), added in st.NetworksAdded.items(rt.state) if added and netuid]
    _inject(rt, networks)
    budget = st.MaxEpochsPerBlock.get(rt.state)
    for netuid in networks:
        _prices(rt, netuid)
        _accrue(rt, netuid)
        since = st.BlocksSinceLastStep.get(rt.state, netuid) + 1
        st.BlocksSinceLastStep.put(rt.state, netuid, since)
        due = should_run_epoch(
            rt.block,
            st.Tempo.get(rt.state, netuid),
            st.LastEpochBlock.get(rt.state, netuid),
            st.PendingEpochAt.get(rt.state, netuid),
            since,
        )
        if due and budget:
            budget -= 1
            if not rt.isolated(f"epoch of netuid {netuid}", partial(step, rt, netuid)):
                st.LastEpochBlock.put(rt.state, netuid, rt.block)
        elif due:
            st.PendingEpochAt.put(rt.state, netuid, rt.block + 1)


def _prices(rt: Runtime, netuid: int) -> None:
    """Registration counters start over; the registration price halves every half-life down to its floor."""
    state = rt.state
    if st.RegistrationsThisBlock.get(state, netuid):
        st.RegistrationsThisBlock.put(state, netuid, 0)
    burn, floor = st.Burn.get(state, netuid), st.MinBurn.get(state, netuid)
    if burn > floor:
        factor = 0.5 ** (1 / max(1, st.BurnHalfLife.get(state, netuid)))
        st.Burn.put(state, netuid, max(floor, int(burn * factor)))


def started(state: KeyValue, netuid: int, block: int) -> bool:
    first = st.FirstEmissionBlockNumber.get(state, netuid)
    return first is not None and first <= block


def alpha_issuance(state: KeyValue, netuid: int) -> int:
    """All alpha of a subnet: in the pool and out of it."""
    return st.SubnetAlphaIn.get(state, netuid) + st.SubnetAlphaOut.get(state, netuid)


def _inject(rt: Runtime, networks: Sequence[int]) -> None:
    """Split the block's TAO over the started subnets by moving price, and put it into their pools with alpha."""
    state = rt.state
    weights_by_net = {
        netuid: st.SubnetMovingPrice.get(state, netuid)["bits"]
        for netuid in networks
        if started(state, netuid, rt.block) and st.SubnetEmissionEnabled.get(state, netuid)
    }
    total = sum(weights_by_net.values())
    if not total:
        return
    issued = 0
    block_tao = st.BlockEmission.get(state)
    for netuid, weight in weights_by_net.items():
        price = swap.price(state, netuid)
        tao, alpha = swap.reserves(state, netuid)
        if not price:
            continue
        tao_in = block_tao * weight // total
        alpha_in = tao_in * alpha // tao
        cap = block_emission(alpha_issuance(state, netuid))
        if alpha_in > cap:
            alpha_in, tao_in = cap, cap * tao // alpha
        st.SubnetTAO.put(state, netuid, tao + tao_in)
        st.SubnetAlphaIn.put(state, netuid, alpha + alpha_in)
        if st.SubnetTaoInEmission.get(state, netuid) != tao_in:
            st.SubnetTaoInEmission.put(state, netuid, tao_in)
        if st.SubnetAlphaInEmission.get(state, netuid) != alpha_in:
            st.SubnetAlphaInEmission.put(state, netuid, alpha_in)
        spot = (price << 32) // RAO
        if spot != weight:
            step_ = (spot - weight) // _MOVING_PRICE_WEIGHT
            st.SubnetMovingPrice.put(state, netuid, {"bits": weight + step_})
        issued += tao_in
    balances.issue(rt, issued)
    st.TotalIssuance.put(state, st.TotalIssuance.get(state) + issued)


def _accrue(rt: Runtime, netuid: int) -> None:
    """Add this block's alpha to the four pending pots."""
    state = rt.state
    if not started(state, netuid, rt.block):
        return
    issuance = alpha_issuance(state, netuid)
    alpha = block_emission(issuance)
    share = root_proportion(st.SubnetTAO.get(state, 0), st.TaoWeight.get(state), issuance)
    parts = split_block_emission(alpha, share, st.SubnetOwnerCut.get(state), st.OwnerCutEnabled.get(state, netuid))
    for item, amount in (
        (st.PendingServerEmission, parts.server),
        (st.PendingValidatorEmission, parts.validator),
        (st.PendingRootAlphaDivs, parts.root),
        (st.PendingOwnerCut, parts.owner_cut),
    ):
        if amount:
            item.put(state, netuid, item.get(state, netuid) + amount)
    st.SubnetAlphaOut.put(state, netuid, st.SubnetAlphaOut.get(state, netuid) + alpha)
    if st.SubnetAlphaOutEmission.get(state, netuid) != alpha:
        st.SubnetAlphaOutEmission.put(state, netuid, alpha)


def step(rt: Runtime, netuid: int) -> None:
    """Run one subnet's epoch: reveal, consensus, payout."""
    state = rt.state
    st.SubnetEpochIndex.put(state, netuid, st.SubnetEpochIndex.get(state, netuid) + 1)
    weights.reveal_due(rt, netuid)
    pending = _drain(rt, netuid)
    hotkeys = [st.Keys.get(state, netuid, uid) for uid in range(st.SubnetworkN.get(state, netuid))]
    if hotkeys:
        epoch_state = gather(rt, netuid, hotkeys)
        result = run_epoch(epoch_state, parameters(state, netuid), pending.epoch_emission)
        _store(rt, netuid, result)
        _pay(rt, netuid, hotkeys, pending, result, epoch_state)
    else:
        _withhold(rt, netuid, pending.epoch_emission + pending.owner_cut)
    st.LastEpochBlock.put(state, netuid, rt.block)
    st.LastMechansimStepBlock.put(state, netuid, rt.block)
    st.BlocksSinceLastStep.put(state, netuid, 0)
    if st.PendingEpochAt.get(state, netuid):
        st.PendingEpochAt.put(state, netuid, 0)
    logger.debug("epoch on netuid {} at block {}: {} rao of alpha", netuid, rt.block, pending.epoch_emission)


def _drain(rt: Runtime, netuid: int) -> SubnetPending:
    amounts = []
    items = (st.PendingServerEmission, st.PendingValidatorEmission, st.PendingRootAlphaDivs, st.PendingOwnerCut)
    for item in items:
        amounts.append(item.get(rt.state, netuid))
        if amounts[-1]:
            item.put(rt.state, netuid, 0)
    return SubnetPending(*amounts)


def parameters(state: KeyValue, netuid: int) -> EpochParams:
    """The subnet's hyperparameters, as the consensus takes them."""
    low, high = st.AlphaValues.get(state, netuid)
    factor, tempo = st.ActivityCutoffFactorMilli.get(state, netuid), st.Tempo.get(state, netuid)
    return EpochParams(
        kappa=st.Kappa.get(state, netuid),
        bonds_moving_average=st.BondsMovingAverage.get(state, netuid),
        bonds_penalty=st.BondsPenalty.get(state, netuid),
        liquid_alpha=st.LiquidAlphaOn.get(state, netuid),
        alpha_low=low,
        alpha_high=high,
        alpha_sigmoid_steepness=st.AlphaSigmoidSteepness.get(state, netuid),
        yuma3=st.Yuma3On.get(state, netuid),
        activity_cutoff=max(factor * tempo // 1000, 1),
        max_allowed_validators=st.MaxAllowedValidators.get(state, netuid),
        stake_threshold=st.StakeThreshold.get(state),
        tao_weight=st.TaoWeight.get(state),
    )


def gather(rt: Runtime, netuid: int, hotkeys: Sequence[bytes]) -> EpochState:
    """The storage that one epoch reads."""
    state = rt.state
    n = len(hotkeys)
    return EpochState(
        block=rt.block,
        tempo=st.Tempo.get(state, netuid),
        alpha_stake=[st.TotalHotkeyAlpha.get(state, hotkey, netuid) for hotkey in hotkeys],
        tao_stake=[st.TotalHotkeyAlpha.get(state, hotkey, 0) for hotkey in hotkeys],
        weights={uid: row for (uid,), row in st.Weights.items(state, netuid) if uid < n},
        bonds={uid: row for (uid,), row in st.Bonds.items(state, netuid) if uid < n},
        validator_permit=st.ValidatorPermit.get(state, netuid),
        last_update=st.LastUpdate.get(state, netuid),
        block_at_registration=[st.BlockAtRegistration.get(state, netuid, uid) for uid in range(n)],
        owner_uid=st.Uids.get(state, netuid, st.SubnetOwnerHotkey.get(state, netuid)),
        last_step_block=st.LastMechansimStepBlock.get(state, netuid),
        first_commit_block=_first_commits(rt, netuid, hotkeys),
    )


def _first_commits(rt: Runtime, netuid: int, hotkeys: Sequence[bytes]) -> list[int] | None:
    """Block of each neuron's earliest pending timelocked commit; None where commit-reveal is off."""
    if not st.CommitRevealWeightsEnabled.get(rt.state, netuid):
        return None
    earliest: dict[bytes, int] = {}
    for _, queue in st.TimelockedWeightCommits.items(rt.state, netuid):
        for hotkey, block, _, _ in queue:
            earliest[hotkey] = min(block, earliest.get(hotkey, _NO_COMMIT))
    return [earliest.get(hotkey, _NO_COMMIT) for hotkey in hotkeys]


def _store(rt: Runtime, netuid: int, result: EpochResult) -> None:
    state = rt.state
    for item, values in (
        (st.Active, result.active), (st.StakeWeight, result.stake_weight), (st.Consensus, result.consensus),
        (st.Incentive, result.incentive), (st.Dividends, result.dividends), (st.Emission, result.emission),
        (st.ValidatorTrust, result.validator_trust), (st.ValidatorPermit, result.validator_permit),
    ):  # fmt: skip
        item.put(state, netuid, values)
    for (uid,), _ in list(st.Bonds.items(state, netuid)):
        if uid not in result.bonds:
            st.Bonds.kill(state, netuid, uid)
    for uid, row in result.bonds.items():
        st.Bonds.put(state, netuid, uid, row)


def owner_uids(state: KeyValue, netuid: int, hotkeys: Sequence[bytes]) -> frozenset[int]:
    """Uids whose mining incentive is withheld: the owner's own hotkeys."""
    owner = st.SubnetOwner.get(state, netuid)
    return frozenset(uid for uid, hotkey in enumerate(hotkeys) if st.Owner.get(state, hotkey) == owner)


def _pay(
    rt: Runtime,
    netuid: int,
    hotkeys: Sequence[bytes],
    pending: SubnetPending,
    result: EpochResult,
    epoch_state: EpochState,
) -> None:
    state = rt.state
    stakes = [
        HotkeyStake(alpha, tao, st.Delegates.get(state, hotkey))
        for hotkey, alpha, tao in zip(hotkeys, epoch_state.alpha_stake, epoch_state.tao_stake, strict=True)
    ]
    payout = distribute(pending, result, stakes, st.TaoWeight.get(state), owner_uids(state, netuid, hotkeys))
    st.AlphaDividendsPerSubnet.kill_prefix(state, netuid)
    paid = 0
    for uid, hotkey in enumerate(hotkeys):
        paid += _pay_hotkey(rt, netuid, uid, hotkey, payout)
    if payout.owner_cut:
        staking.add(
            rt, st.SubnetOwnerHotkey.get(state, netuid), st.SubnetOwner.get(state, netuid), netuid, payout.owner_cut
        )
    _withhold(rt, netuid, pending.epoch_emission - paid)


def _pay_hotkey(rt: Runtime, netuid: int, uid: int, hotkey: bytes, payout: EpochPayout) -> int:
    """Pay one neuron; returns what it got, in rao of alpha."""
    own = payout.incentives[uid] + payout.takes[uid] + payout.root_takes[uid]
    shared = payout.dividends[uid] + payout.root_dividends[uid]
    if not own and not shared:
        return 0
    if shared:
        staking.share_out(rt, hotkey, netuid, shared)
    dividends = shared + payout.takes[uid] + payout.root_takes[uid]
    if dividends:
        st.AlphaDividendsPerSubnet.put(rt.state, netuid, hotkey, dividends)
    if own:
        coldkey = st.Owner.get(rt.state, hotkey)
        staking.add(rt, hotkey, coldkey, netuid, own)
        _drain_collateral(rt, netuid, hotkey, coldkey, own)
    st.LastHotkeyEmissionOnNetuid.put(rt.state, hotkey, netuid, own + shared)
    return own + shared


def _drain_collateral(rt: Runtime, netuid: int, hotkey: bytes, coldkey: bytes, earned: int) -> None:
    entry = st.MinerCollateral.get(rt.state, netuid, hotkey, coldkey)
    if entry is None:
        return
    before = Collateral(entry["locked"], entry["drain_ratio"]["bits"], entry["min_locked"], entry["earned"])
    after, _, _ = drain_collateral(before, earned)
    entry.update(locked=after.locked, earned=after.earned)
    st.MinerCollateral.put(rt.state, netuid, hotkey, coldkey, entry)
    total = st.ColdkeyMinerCollateral.get(rt.state, coldkey, netuid)
    st.ColdkeyMinerCollateral.put(rt.state, coldkey, netuid, max(0, total + after.locked - before.locked))


def _withhold(rt: Runtime, netuid: int, alpha: int) -> None:
    """Alpha that nobody earned: recycled out of issuance, or burned in place."""
    if alpha > 0 and st.RecycleOrBurn.get(rt.state, netuid) == "Recycle":
        out = st.SubnetAlphaOut.get(rt.state, netuid)
        st.SubnetAlphaOut.put(rt.state, netuid, max(0, out - alpha))
