"""From what a miner did in a round to its score.

All functions here are pure: the state of the scores is a frozen value keyed by hotkey, and
`update` gives the next one. For each miner that was asked something in a round

    raw        = quality * speed * reliability                      each in [0, 1]
    normalised = raw / reference                                    in [0, 1]
    score      = (1 - step) * score + step * normalised             moving average

- quality: mean reward of what it was asked without the worst and the best (from three on); a
  missing answer counts as zero, so that who dislikes an answer and hangs up gains nothing.
  Prompts on which the median miner did badly are left out: they tell about the prompt.
- speed: the tokens that the miner delivered, each counted for less the later it came, relative to
  the round's best. A token that came within the round's window counts in full, one that came after
  n windows 1/n^4; the window is the time in which the fastest miner delivered a fifth of what a
  usual miner delivers in all. Time runs from the request, so the wait for the first token counts.
  It is a sum over tokens, the same for all miners, on purpose: n hotkeys on one machine deliver
  what one would that is asked as much, so together they earn what it would, however the machine
  arranges its work. There is no cap, for the same reason.
- reliability: the share of the work asked for that was delivered, squared. Work is counted in
  tokens, so that who answers only the cheap requests is scored down.
- reference: the best raw score of the round, or the decayed best of the rounds before if that is
  more, so that a miner queried alone is not the best by default. Its speed is then its last one.

A slashed miner's score is zero and stays zero until it is pardoned; then it starts from zero.
A hotkey never seen before starts from the prior, which is not paid: weight comes from what was
earned alone, or many new hotkeys would earn by being new. A miner that was not queried keeps its
score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from types import MappingProxyType

from subnet.errors import RewardError


@dataclass(frozen=True, slots=True)
class ScoringRules:
    """The constants of the formulas above. Changing any changes what every miner earns."""

    step: float = 0.1
    """Weight of the newest round in the moving average, in (0, 1]."""
    prior: float = 0.2
    """Normalised score that a new hotkey starts from; what is left of it in the average is never paid."""
    window_share: float = 0.2
    """The window is the time in which the fastest miner delivered this share of a usual miner's tokens, in (0, 1)."""
    lateness_power: float = 4.0
    """How a token loses value after the window: window / time to this power; above 1."""
    lone_speed: float = 0.5
    """Speed of a miner whose first round had no other miner in it."""
    reliability_power: float = 2.0
    """Exponent of the delivered share; at least 1."""
    reference_decay: float = 0.99
    """What remains of the best raw score after a round without a better one."""
    odd_prompt_ratio: float = 0.5
    """A prompt is left out when its median quality is below this share of the round's median."""
    odd_prompt_answers: int = 3
    """Answers by different miners that a prompt needs before it can be called odd."""

    def __post_init__(self) -> None:
        checks = (
            ("step", 0.0 < self.step <= 1.0),
            ("prior", 0.0 <= self.prior <= 1.0),
            ("window_share", 0.0 < self.window_share < 1.0),
            ("lateness_power", 1.0 < self.lateness_power <= 8.0),
            ("lone_speed", 0.0 <= self.lone_speed <= 1.0),
            ("reliability_power", self.reliability_power >= 1.0),
            ("reference_decay", 0.0 <= self.reference_decay <= 1.0),
            ("odd_prompt_ratio", 0.0 <= self.odd_prompt_ratio <= 1.0),
            ("odd_prompt_answers", self.odd_prompt_answers >= 2),
        )
        for name, holds in checks:
            if not holds:
                raise RewardError(f"scoring rule {name} = {getattr(self, name)!r} is out of range")


@dataclass(frozen=True, slots=True)
class Sample:
    """One request to one miner, and what came back.

    `work` is what was asked for, in tokens (prompt tokens plus max_tokens, at least 1). Times are in
    seconds on one clock of the validator's, taken at the socket write, the first token and the last
    byte, so that no delay of ours counts as the miner's. `quality` is the reward of the answer, or
    None where it was not scored (an abstention: it says nothing about quality). A request that got
    no usable answer has `tokens` 0 and `answered` False. Requests that failed through our own fault
    must not be given at all. `arrivals` are (time, tokens so far) as they came in, ascending; without
    them every token came at the end.
    """

    hotkey: str
    prompt: str
    """Label of the prompt; samples of different miners with the same label were asked the same."""
    work: int
    answered: bool
    quality: float | None = None
    tokens: int = 0
    sent_at: float = 0.0
    first_token_at: float | None = None
    finished_at: float = 0.0
    arrivals: tuple[tuple[float, int], ...] = ()

    def __post_init__(self) -> None:
        if self.work < 1:
            raise RewardError(f"work of a sample is {self.work}; count at least one token")
        if self.quality is not None and not 0.0 <= self.quality <= 1.0:
            raise RewardError(f"quality {self.quality!r} is outside [0, 1]")
        if self.answered and not (math.isfinite(self.sent_at) and self.finished_at >= self.sent_at):
            raise RewardError(f"answer finished at {self.finished_at} but was asked at {self.sent_at}")
        if self.tokens < 0 or (self.tokens and not self.answered):
            raise RewardError(f"{self.tokens} tokens in a sample with answered={self.answered}")
        if any(not 0 <= count <= self.tokens for _, count in self.arrivals):
            raise RewardError(f"more tokens arrived than the {self.tokens} of the answer: {self.arrivals[-3:]}")


@dataclass(frozen=True, slots=True)
class RoundScore:
    """What one round said about one miner; every term is in [0, 1]."""

    hotkey: str
    asked: int
    answered: int
    quality: float
    speed: float
    reliability: float
    raw: float
    normalised: float
    tokens_per_second: float
    """Tokens delivered over the time from the first request to the last byte, as they came."""
    rate: float
    """Tokens a second over the window, each by its value: what speed is made of."""
    best_rate: float
    window_seconds: float
    first_token_seconds: float | None
    odd_prompts: int
    """How many of its answers were left out because the prompt was odd."""
    slashed: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """The score of one hotkey: `score` in [0, 1], rounds and answers seen, and the last round's terms."""

    score: float
    rounds: int = 0
    answered: int = 0
    slashed: bool = False
    last: RoundScore | None = None
    borrowed: float = 0.0
    """What is left of the prior in `score`."""

    @property
    def payable(self) -> float:
        """What may be turned into weight: what was earned, nothing while slashed or before the first answer."""
        return 0.0 if self.slashed or self.answered == 0 else max(0.0, self.score - self.borrowed)


@dataclass(frozen=True, slots=True)
class ScoreBook:
    """All standings, keyed by hotkey (ss58 or hex, as the caller likes, but always the same)."""

    standings: Mapping[str, Standing] = field(default_factory=dict)
    reference: float = 0.0
    rounds: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "standings", MappingProxyType(dict(self.standings)))

    def standing(self, hotkey: str, rules: ScoringRules) -> Standing:
        """The standing of a hotkey; the prior for one that was never queried."""
        return self.standings.get(hotkey) or newcomer(rules)


def newcomer(rules: ScoringRules) -> Standing:
    """The standing of a hotkey that was never queried."""
    return Standing(rules.prior, borrowed=rules.prior)


def odd_prompts(samples: Sequence[Sample], rules: ScoringRules) -> frozenset[str]:
    """Labels of prompts on which the median miner did far worse than on the median prompt."""
    by_prompt: dict[str, dict[str, list[float]]] = {}
    for sample in samples:
        if sample.answered and sample.quality is not None:
            by_prompt.setdefault(sample.prompt, {}).setdefault(sample.hotkey, []).append(sample.quality)
    level = {
        prompt: median(median(values) for values in miners.values())
        for prompt, miners in by_prompt.items()
        if len(miners) >= rules.odd_prompt_answers
    }
    if len(level) < 2:
        return frozenset()
    usual = median(level.values())
    return frozenset(prompt for prompt, value in level.items() if value < rules.odd_prompt_ratio * usual)


def trimmed_mean(values: Sequence[float]) -> float:
    """Mean without one smallest and one largest value, from three values on; 0 of nothing."""
    ordered = sorted(values)
    kept = ordered[1:-1] if len(ordered) >= 3 else ordered
    return math.fsum(kept) / len(kept) if kept else 0.0


@dataclass(frozen=True, slots=True)
class _Service:
    quality: float
    reliability: float
    tokens: int
    seconds: float
    first_token: float | None
    asked: int
    answered: int
    odd: int


def _service(samples: Sequence[Sample], odd: frozenset[str], rules: ScoringRules) -> _Service:
    answered = [sample for sample in samples if sample.answered]
    judged = [s for s in samples if not s.answered or s.quality is not None]
    # Where every prompt was odd, better the odd ones than nothing.
    counted = [s for s in judged if s.prompt not in odd] or judged
    work = sum(sample.work for sample in samples)
    delivered = sum(sample.work for sample in answered)
    waits = [s.first_token_at - s.sent_at for s in answered if s.first_token_at is not None]
    return _Service(
        quality=trimmed_mean([s.quality or 0.0 for s in counted]),
        reliability=(delivered / work) ** rules.reliability_power,
        tokens=sum(sample.tokens for sample in answered),
        seconds=max((s.finished_at - s.sent_at for s in answered if s.tokens), default=0.0),
        first_token=max(median(waits), 1e-4) if waits else None,
        asked=len(samples),
        answered=len(answered),
        odd=sum(sample.prompt in odd for sample in answered),
    )


def weighted_quantile(values: Iterable[tuple[float, float]], share: float) -> float | None:
    """The smallest value at or below which lies this share of the weight; None of nothing. values: (value, weight)."""
    ordered = sorted(values)
    total = math.fsum(weight for _, weight in ordered)
    reached = 0.0
    for value, weight in ordered:
        reached += weight
        if weight > 0.0 and reached >= share * total * (1 - 1e-12):
            return value
    return None


def _arrivals(sample: Sample) -> Iterator[tuple[float, int]]:
    """(seconds since it was asked, tokens that came then) of an answer."""
    before = 0
    for moment, count in (*sample.arrivals, (sample.finished_at, sample.tokens)):
        if count > before:
            yield max(moment - sample.sent_at, 1e-6), count - before
            before = count


def window_of(samples: Iterable[Sample], share: float) -> float:
    """Seconds in which the fastest miner delivered this share of what a usual miner delivers in all; 0 of nothing.

    Usual: half of the round's tokens are of miners that delivered at least as much. So neither many slow
    hotkeys nor late tokens make the window longer, and who delivers little does not make it shorter.
    """
    came: dict[str, list[tuple[float, int]]] = {}
    for sample in samples:
        came.setdefault(sample.hotkey, []).extend(_arrivals(sample))
    totals = [float(sum(count for _, count in arrivals)) for arrivals in came.values()]
    usual = weighted_quantile(((total, total) for total in totals), 0.5)
    if usual is None:
        return 0.0
    reached = []
    for arrivals in came.values():
        count = 0
        for age, fresh in sorted(arrivals):
            count += fresh
            if count >= share * usual:
                reached.append(age)
                break
    return min(reached)


def delivered_value(samples: Iterable[Sample], window: float, rules: ScoringRules) -> float:
    """The tokens of these answers, each by its value: a sum over tokens, whoever they are of."""
    return math.fsum(
        count * min(1.0, window / age) ** rules.lateness_power for sample in samples for age, count in _arrivals(sample)
    )


def score_round(
    samples: Sequence[Sample], rules: ScoringRules, reference: float = 0.0, slashed: frozenset[str] = frozenset(),
    speeds: Mapping[str, float] = MappingProxyType({}),
) -> tuple[dict[str, RoundScore], float]:  # fmt: skip
    """Scores of all miners that were asked something, and the round's new reference.

    The order of the samples does not matter. `reference` is the one from the round before, `speeds`
    are the miners' last ones: a round with one miner in it says nothing about speed.
    """
    odd = odd_prompts(samples, rules)
    by_miner: dict[str, list[Sample]] = {}
    for sample in samples:
        by_miner.setdefault(sample.hotkey, []).append(sample)
    services = {hotkey: _service(group, odd, rules) for hotkey, group in sorted(by_miner.items())}
    # Slashed miners do not set the pace: their answers may not be the model's at all.
    honest = {hotkey: service for hotkey, service in services.items() if hotkey not in slashed}
    pace = [s for s in samples if s.hotkey not in slashed]
    window = window_of(pace, rules.window_share)
    rates = {
        hotkey: delivered_value(group, window, rules) / window if window else 0.0 for hotkey, group in by_miner.items()
    }
    best = max((rates[hotkey] for hotkey in honest), default=0.0)

    def speed_of(hotkey: str) -> float:
        if not rates[hotkey] or not best:
            return 0.0
        return min(1.0, rates[hotkey] / best) if len(honest) > 1 else speeds.get(hotkey) or rules.lone_speed

    raw = {
        hotkey: 0.0 if hotkey in slashed else service.quality * speed_of(hotkey) * service.reliability
        for hotkey, service in services.items()
    }
    reference = max(rules.reference_decay * reference, max(raw.values(), default=0.0))
    scores = {
        hotkey: RoundScore(
            hotkey=hotkey,
            asked=service.asked,
            answered=service.answered,
            quality=service.quality,
            speed=speed_of(hotkey),
            reliability=service.reliability,
            raw=raw[hotkey],
            normalised=min(1.0, raw[hotkey] / reference) if reference > 0.0 else 0.0,
            tokens_per_second=service.tokens / max(service.seconds, 1e-3) if service.tokens else 0.0,
            rate=rates[hotkey],
            best_rate=best,
            window_seconds=window,
            first_token_seconds=service.first_token,
            odd_prompts=service.odd,
            slashed=hotkey in slashed,
        )
        for hotkey, service in services.items()
    }
    return scores, reference


def update(
    book: ScoreBook, samples: Sequence[Sample], rules: ScoringRules, slashed: frozenset[str] = frozenset()
) -> ScoreBook:
    """The book after a round. Only queried hotkeys and slashed ones change.

    `slashed` holds every hotkey that is slashed now, not only the new ones: a hotkey that is no
    longer in it is pardoned, and starts again from zero.
    """
    speeds = {hotkey: standing.last.speed for hotkey, standing in book.standings.items() if standing.last is not None}
    scores, reference = score_round(samples, rules, book.reference, slashed, speeds)
    standings = dict(book.standings)
    for hotkey, standing in book.standings.items():
        if standing.slashed and hotkey not in slashed:
            standings[hotkey] = replace(standing, score=0.0, slashed=False, borrowed=0.0)
    for hotkey, result in scores.items():
        old = standings.get(hotkey) or newcomer(rules)
        standings[hotkey] = Standing(
            score=(1.0 - rules.step) * old.score + rules.step * result.normalised,
            rounds=old.rounds + 1,
            answered=old.answered + result.answered,
            slashed=False,
            last=result,
            borrowed=(1.0 - rules.step) * old.borrowed,
        )
    for hotkey in slashed:
        old = standings.get(hotkey) or Standing(0.0)
        standings[hotkey] = replace(old, score=0.0, slashed=True, borrowed=0.0)
    return ScoreBook(standings, reference, book.rounds + 1)


def retain(book: ScoreBook, hotkeys: Iterable[str]) -> ScoreBook:
    """The book with only these hotkeys: called when the metagraph changes.

    A hotkey that leaves loses its standing, except that a slashed one is remembered, so that
    registering it again does not wash it clean. A new hotkey on an old uid gets nothing of the old.
    """
    present = frozenset(hotkeys)
    kept = {hotkey: s for hotkey, s in book.standings.items() if hotkey in present or s.slashed}
    return ScoreBook(kept, book.reference, book.rounds)
