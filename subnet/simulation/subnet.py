"""A subnet over many epochs: requests, checks, accusations, weights, Yuma Consensus, pay and cost.

One `run` is one world: its miners are honest or cheat in some way, its validators check answers at one rate and set
weights by score. Amounts are alpha. All miners earn in the same world, so what a cheat gains is its profit less that of
an honest miner beside it.

Simplifications, each in the cheat's favour or neutral: when a world begins everybody in it has been there for long and
has full scores; a cheat's answers score no worse than honest ones; an accused
miner that waits switches its machine off; a new hotkey takes over the uid of the old one at once; selection is
independent per answer; every validator's test starts from its own draw of the measured delays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from subnet.errors import ConfigError
from subnet.localchain.yuma import EpochParams, EpochState, run_epoch, split_block_emission
from subnet.localchain.yuma.emission import RAO
from subnet.simulation.cheats import Cheat, Strategy, slower
from subnet.verify.selection import NEWCOMER_TOKENS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
NEVER = -(10**9)


@dataclass(frozen=True, slots=True)
class World:
    """What stays the same in a run.

    Attributes:
        validators, miners: neurons of each kind; uids of validators come first.
        epochs, tempo: length of the run, and blocks in an epoch.
        requests: answers that a validator asks of a miner in an epoch, synthetic and organic.
        tokens: tokens in an answer.
        check_rate: probability that an answer of an old, clean miner with an average income is replayed. Others are
            checked more, by the protocol's own rule: see `subnet.verify.selection.checking_rate`.
        slash_epochs, probation_epochs: epochs out after an accusation, then epochs in which everything is checked.
        sharing: validators re-verify each other's evidence and act on it an epoch later.
        registration: alpha that a new hotkey costs. bond: alpha that it posts and loses when it is accused.
        cost_share: an honest miner's compute as a share of what it earns in a subnet of honest miners.
        speed_reward: how much higher a cheat scores that saves all compute, because it answers sooner.
        score_memory: share of the moving score that an epoch leaves.
        score_power: weight is score to this power.
        score_noise: relative noise of a validator's score in an epoch.
        captured: share of validators' stake that belongs to the cheats: rates them only, and accuses nobody.
        params: the subnet's consensus hyperparameters.
        seed: of all chance in the run.
    """

    validators: int = 64
    miners: int = 192
    epochs: int = 120
    tempo: int = 360
    requests: int = 12
    tokens: int = 128
    check_rate: float = 0.05
    slash_epochs: int = 20
    probation_epochs: int = 20
    sharing: bool = True
    registration: float = 1.0
    bond: float = 0.0
    cost_share: float = 0.7
    speed_reward: float = 0.25
    score_memory: float = 0.7
    score_power: float = 1.5
    score_noise: float = 0.02
    captured: float = 0.0
    params: EpochParams = field(default_factory=EpochParams)
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("check_rate", "cost_share", "score_memory", "captured"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a share between 0 and 1; got {getattr(self, name)}")
        for name in ("validators", "miners", "epochs", "tempo", "requests", "tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}")

    @property
    def emission(self) -> int:
        """Rao of alpha for miners and validators in an epoch."""
        block = split_block_emission(RAO, 0)
        return self.tempo * (block.server + block.validator)

    @property
    def fair_pay(self) -> float:
        """Alpha an epoch that each of only honest miners earns."""
        return self.emission / RAO / 2 / self.miners


@dataclass(frozen=True, slots=True)
class Miner:
    """What a miner is; no cheat is an honest one."""

    cheat: Cheat | None = None
    strategy: Strategy | None = None


@dataclass(frozen=True, slots=True)
class GroupOutcome:
    """The mean miner of a group in one run.

    Attributes:
        miner: what it is.
        count: how many there were.
        revenue, cost, fees: alpha an epoch; fees are registrations and lost bonds.
        accusations: accusations by the first validator to have its evidence, per miner and run.
        epochs_to_accusation: median epochs from starting to cheat to the first accusation; NaN where there was none.
    """

    miner: Miner
    count: int
    revenue: float
    cost: float
    fees: float
    accusations: float
    epochs_to_accusation: float

    @property
    def profit(self) -> float:
        """Alpha an epoch."""
        return self.revenue - self.cost - self.fees


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: its groups in the order given, honest first, and the checking that validators did.

    `checks` is replayed answers an epoch and validator; `false_accusations` bounds the expected number of honest miners
    accused in the whole run (checked tokens / A, over all validators).
    """

    world: World
    groups: tuple[GroupOutcome, ...]
    checks: float
    false_accusations: float

    @property
    def honest(self) -> GroupOutcome:
        """The honest miners."""
        return next(group for group in self.groups if group.miner.cheat is None)

    def gain(self, group: GroupOutcome) -> float:
        """What a miner of the group gains by cheating, as a share of an honest miner's revenue."""
        return (group.profit - self.honest.profit) / self.honest.revenue


def run(world: World, population: Sequence[Miner], on_epoch: Callable[[int], None] | None = None) -> Outcome:
    """Plays a world for all its epochs.

    Args:
        world: the setting.
        population: what each miner is; as many as `world.miners`.
        on_epoch: called after each epoch with its number, for a progress bar.

    Raises:
        ConfigError: the population doesn't fit the world, or nobody in it is honest.
    """
    if len(population) != world.miners:
        raise ConfigError(f"{len(population)} miners given for a world of {world.miners}")
    if all(miner.cheat for miner in population):
        raise ConfigError("a world needs honest miners to compare with")
    state = _State(world, population)
    for epoch in range(world.epochs):
        state.play(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
    return state.outcome()


ACCUSATION_BOUND = 1e9


class _State:
    """The arrays of a run; [v, m] is validator by miner."""

    def __init__(self, world: World, population: Sequence[Miner]) -> None:
        self.world = world
        self.population = population
        self.rng = np.random.default_rng(world.seed)
        shape = (world.validators, world.miners)
        self.stake = self._stakes()
        self.friendly = np.arange(world.validators) >= world.validators - self._captured_validators()
        self.cheats = np.array([miner.cheat is not None for miner in population])
        self.share = np.array([miner.strategy.share if miner.strategy else 0.0 for miner in population])
        self.patience = np.array([miner.strategy.honest_epochs if miner.strategy else 0 for miner in population])
        self.rejoins = np.array([bool(miner.strategy and miner.strategy.rejoins) for miner in population])
        self.saving = np.array([miner.cheat.saving if miner.cheat else 0.0 for miner in population])
        self.score = np.ones(shape)
        self.checked = np.zeros(shape)
        self.verified = np.full(shape, math.inf)
        self.delay = np.full(shape, math.inf)
        self.out_until = np.full(shape, NEVER)
        self.registered = np.zeros(world.miners, dtype=np.int64)
        self.bonds: dict[int, tuple[tuple[int, int], ...]] = {}
        self.revenue, self.cost, self.fees = (np.zeros(world.miners) for _ in range(3))
        self.accusations = np.zeros(world.miners)
        self.first_caught = np.full(world.miners, math.nan)
        self.total_checks = 0.0
        self.honest_checks = 0.0
        for index in np.flatnonzero(self.cheats):
            self._start_tests(int(index), np.ones(world.validators, dtype=bool))

    def _stakes(self) -> Floats:
        """Stakes as uneven as on live subnets: the n-th largest is proportional to 1 / n; captured ones are equal."""
        captured = self._captured_validators()
        own = 1 / np.arange(1, self.world.validators - captured + 1)
        own *= (1 - self.world.captured if captured else 1) / own.sum()
        return np.concatenate([own, np.full(captured, self.world.captured / max(captured, 1))]) * 1e6

    def _captured_validators(self) -> int:
        return math.ceil(self.world.captured * self.world.validators)

    def _start_tests(self, index: int, validators: Flags) -> None:
        """Some validators' tests of a cheat start over, each with its own draw of when it will accuse."""
        miner = self.population[index]
        assert miner.cheat is not None and miner.strategy is not None
        draws = miner.cheat.delays.draw(self.rng, (self.world.validators,)) * slower(miner.cheat, miner.strategy.share)
        draws[self.friendly] = math.inf
        self.delay[validators, index] = draws[validators]
        self.checked[validators, index] = 0

    def play(self, epoch: int) -> None:
        """One epoch: ask and check, accuse, set weights, run consensus, pay, and let the accused react."""
        world = self.world
        out = self.out_until > epoch
        self._return(epoch)
        working: Flags = ~np.all(out[~self.friendly], axis=0)
        cheating = self.cheats & working & (epoch - self.registered >= self.patience)
        answers = self._check(epoch, working, cheating, out)
        accused = (self.checked >= self.delay) & cheating & ~out
        self._accuse(epoch, accused)
        out |= accused
        target = np.where(cheating, 1 + world.speed_reward * self.saving * self.share, 1.0)
        self.score = world.score_memory * self.score + (1 - world.score_memory) * target * working
        self.score[out] = 0.0
        self._pay(epoch, out)
        spent = world.cost_share * world.fair_pay * (1 - self.saving * self.share * cheating)
        self.cost += spent * working
        self.total_checks += float(answers.sum()) / world.validators
        self._react(epoch, accused)

    def _check(self, epoch: int, working: Flags, cheating: Flags, out: Flags) -> NDArray[np.int64]:
        """Replays answers at each miner's rate; returns how many, [v, m]."""
        world = self.world
        # The protocol's rule: newcomers start at everything and halve towards the base; income raises the base.
        newcomer = 0.5 ** (self.verified / NEWCOMER_TOKENS)
        weights = self.score**world.score_power * ~out
        income = weights / np.maximum(weights.mean(axis=1, keepdims=True), 1e-12)
        rate = np.minimum(np.maximum(newcomer, world.check_rate * np.maximum(income, 1.0)), 1.0)
        rate[(epoch >= self.out_until) & (epoch < self.out_until + world.probation_epochs)] = 1.0
        rate[self.friendly] = 0.0
        answers = self.rng.binomial(world.requests, rate) * (working & ~out)
        self.verified += answers * world.tokens
        self.checked += answers * world.tokens * cheating
        self.honest_checks += float(answers[:, ~self.cheats].sum())
        return answers

    def _accuse(self, epoch: int, accused: Flags) -> None:
        caught = accused.any(axis=0)
        self.out_until[accused] = epoch + self.world.slash_epochs
        fresh = caught & np.isnan(self.first_caught)
        self.first_caught[fresh] = (epoch - self.registered - self.patience + 1)[fresh]
        self.accusations += caught
        if self.world.bond:
            self.fees += self.world.bond * caught

    def _return(self, epoch: int) -> None:
        """Whoever comes back today starts with a new test; its score is still zero."""
        back = self.out_until == epoch
        for index in np.flatnonzero(back.any(axis=0) & self.cheats):
            self._start_tests(int(index), back[:, index])

    def _react(self, epoch: int, accused: Flags) -> None:
        world = self.world
        known = accused.any(axis=0)
        if world.sharing:
            others = ~self.friendly[:, None] & known & (self.out_until <= epoch)
            self.out_until[others] = epoch + world.slash_epochs
        # A cheat gives a hotkey up once validators with most of the stake have it out.
        shunned = (self.stake[:, None] * (self.out_until > epoch)).sum(axis=0) > self.stake.sum() / 2
        for index in np.flatnonzero(shunned & self.rejoins):
            self.registered[index] = epoch + 1
            self.out_until[:, index] = NEVER
            self.score[:, index] = 0.0
            self.verified[:, index] = 0.0
            self.fees[index] += world.registration
            self._start_tests(int(index), np.ones(world.validators, dtype=bool))

    def _pay(self, epoch: int, out: Flags) -> None:
        world = self.world
        n = world.validators + world.miners
        block = 1 + (epoch + 1) * world.tempo
        registered = np.where(self.registered > 0, 1 + self.registered * world.tempo, 0)
        state = EpochState(
            block=block,
            tempo=world.tempo,
            alpha_stake=[int(stake * RAO) for stake in self.stake] + [0] * world.miners,
            tao_stake=[0] * n,
            weights=self._weights(out),
            bonds=self.bonds,
            validator_permit=[uid < world.validators for uid in range(n)],
            last_update=[block] * n,
            block_at_registration=[0] * world.validators + registered.tolist(),
            last_step_block=epoch and block - world.tempo,
        )
        result = run_epoch(state, world.params, world.emission)
        self.bonds = result.bonds
        self.revenue += np.array(result.server_emission[world.validators :]) / RAO

    def _weights(self, out: Flags) -> dict[int, NDArray[np.int64]]:
        noise = np.exp(self.world.score_noise * self.rng.standard_normal(self.score.shape))
        weights = (self.score * noise) ** self.world.score_power
        weights[out] = 0.0
        weights[self.friendly] = self.cheats.astype(float)
        largest = np.maximum(weights.max(axis=1, keepdims=True), 1e-12)
        scaled = np.rint(weights / largest * 65_535).astype(np.int64)
        targets = np.arange(self.world.validators, self.world.validators + self.world.miners)
        return {uid: np.stack([targets, row], axis=1) for uid, row in enumerate(scaled)}

    def outcome(self) -> Outcome:
        """What the run came to."""
        kinds = list(dict.fromkeys(self.population))
        kinds.sort(key=lambda miner: miner.cheat is not None)
        groups = tuple(self._group(kind) for kind in kinds)
        tokens = self.honest_checks * self.world.tokens
        return Outcome(self.world, groups, self.total_checks / self.world.epochs, tokens / ACCUSATION_BOUND)

    def _group(self, kind: Miner) -> GroupOutcome:
        members = np.array([miner == kind for miner in self.population])
        mean = {name: float(getattr(self, name)[members].mean()) for name in ("revenue", "cost", "fees", "accusations")}
        caught = self.first_caught[members]
        caught = caught[~np.isnan(caught)]
        return GroupOutcome(
            miner=kind,
            count=int(members.sum()),
            revenue=mean["revenue"] / self.world.epochs,
            cost=mean["cost"] / self.world.epochs,
            fees=mean["fees"] / self.world.epochs,
            accusations=mean["accusations"],
            epochs_to_accusation=float(np.median(caught)) if len(caught) else math.nan,
        )
