"""Scores in words: what a miner is shown that asks why it earned what it earned."""

from __future__ import annotations

from collections.abc import Mapping

from reward.model import RewardScore
from reward.scores import RoundScore, ScoreBook, ScoringRules
from reward.weights import WeightRules, weights


def explain_score(score: RewardScore) -> str:
    """One line for the score and one for each component, with its reason where it is low."""
    lines = [f"reward {score.value:.4f}"]
    for part in score.components:
        lines.append(f"  {part.name:<24} {part.value:.4f}  {part.reason}".rstrip())
    return "\n".join(lines)


def explain_round(result: RoundScore, rules: ScoringRules) -> str:
    """The terms of a miner's last round, and what each was made from."""
    lines = [
        f"last round: {result.answered} of {result.asked} requests answered",
        f"  quality      {result.quality:.4f}  mean reward, a missing answer counting as zero"
        + (", without the worst and the best" if result.asked - result.odd_prompts >= 3 else "")
        + (f"; {result.odd_prompts} on odd prompts left out" if result.odd_prompts else ""),
        f"  speed        {result.speed:.4f}  {result.rate:.1f} tokens/s in the round's window of "
        f"{result.window_seconds:.2f} s, best miner {result.best_rate:.1f}; {result.tokens_per_second:.1f} tokens/s "
        f"in all, first token {_seconds(result.first_token_seconds)}",
        f"  reliability  {result.reliability:.4f}  delivered share of the work asked for, "
        f"to the power {rules.reliability_power:g}",
        f"  raw          {result.raw:.4f}  quality × speed × reliability"
        + ("; zero while slashed" if result.slashed else ""),
        f"  normalised   {result.normalised:.4f}  relative to the best recent miner",
    ]
    return "\n".join(lines)


def explain_standing(
    hotkey: str, book: ScoreBook, rules: ScoringRules, weight_rules: WeightRules, uids: Mapping[str, int]
) -> str:
    """Everything that decides what a hotkey earns: its standing, its last round, its share of the weights."""
    known = book.standings.get(hotkey)
    if known is None:
        return f"{hotkey}: never queried; it starts from {rules.prior:g}, which is not paid, and earns by answering"
    lines = [f"{hotkey}: score {known.score:.4f} after {known.rounds} rounds and {known.answered} answers"]
    if known.slashed:
        lines.append("  slashed: the score is zero until the slash is lifted, and starts from zero then")
    elif known.borrowed > 5e-5:
        lines.append(f"  {known.borrowed:.4f} of it is left of what a new hotkey starts from, and is not paid")
    if not known.slashed and known.answered == 0:
        lines.append("  nothing answered yet: nothing is paid before the first answer")
    if known.last is not None:
        lines.append(explain_round(known.last, rules))
        lines.append(f"moving average: score = {1 - rules.step:g} × old score + {rules.step:g} × normalised")
    if hotkey not in uids:
        lines.append("not registered now: no weight")
        return "\n".join(lines)
    vector = weights(book, uids, weight_rules)
    if not vector:
        lines.append("weight: nobody has earned anything, so no weights are set")
        return "\n".join(lines)
    share = dict(zip(vector.uids, vector.shares, strict=True))[uids[hotkey]]
    lines.append(f"weight: {share:.4%} for uid {uids[hotkey]}, score to the power {weight_rules.power:g} over the sum")
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"after {value:.3f} s"
