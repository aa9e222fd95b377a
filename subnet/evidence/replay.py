"""Whether a bundle's verdict follows: the checks without a model, then a replay of its own and the test again.

Imports torch. The verdict is always that of the verifier's own replay; the records in the bundle only show where two
machines differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from subnet.engine.causal import CausalModel
from subnet.errors import EngineError, ModelError, ProtocolError
from subnet.evidence.bundle import Answer, Bundle, SignedBundle
from subnet.evidence.check import BlockSource, Finding, Inspection, inspect
from subnet.models.manifest import Manifest
from subnet.sampling import Sampling
from subnet.verify.detector import TestState, start, update
from subnet.verify.profile import ToleranceProfile
from subnet.verify.records import FAR, NONE, UNIT, TokenRecords
from subnet.verify.replaying import Claim, check_claim, replayed
from subnet.verify.verdict import verdict

LoadModel = Callable[[Manifest], CausalModel]
"""Gives the model of a manifest, every hash checked. Raises ModelError where it can't: then the verifier abstains."""

Progress = Callable[[int, int], None]
"""Called with the number of replayed tokens so far, and of all."""

ANSWERS_PER_REPLAY = 8
RECORD_TOLERANCE = {"fp32": 0.05, "bf16": 2.0}
"""Logits by which the stated margin of a token may differ from the verifier's. Honest fp32 differs by under 0.001."""

SPREAD_TOLERANCE = 0.05
"""Share by which a stated spread may differ from the verifier's. Two float32 replays agree to a thousandth or two."""


class Result(Enum):
    """What a verifier says about a bundle: its verdict follows, does not follow, or could not be checked."""

    FOLLOWS = "follows"
    DOES_NOT_FOLLOW = "does not follow"
    ABSTAINS = "abstains"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome with all findings.

    verdict: what the verifier's own replay says ("consistent", "inconsistent", "abstain"), None where it made none.
    tokens: replayed tokens. accused_at: number of the token at which the verifier's own test accuses, or None.
    evidence: the test's statistic at its end, to be compared with the profile's threshold.
    """

    result: Result
    findings: tuple[Finding, ...]
    verdict: str | None = None
    tokens: int = 0
    accused_at: int | None = None
    evidence: float = 0.0


def verify_bundle(
    signed: SignedBundle,
    load_model: LoadModel,
    block_hash: BlockSource | None = None,
    progress: Progress | None = None,
) -> Report:
    """Derive everything in the bundle again, from the bytes to the verdict.

    Raises nothing of ours: what fails is a finding. A model that is missing, altered or breaks is an abstention.
    """
    seen = inspect(signed, block_hash)
    findings = list(seen.findings)
    if seen.broken or seen.manifest is None or seen.profile is None:
        return Report(Result.DOES_NOT_FOLLOW, tuple(findings))
    try:
        model = load_model(seen.manifest)
        if model.model_id != signed.bundle.model_id:
            raise ModelError("the loaded model is another one than the bundle's")
        own = _replay(signed.bundle, seen, model, progress)
    except (ModelError, EngineError, RuntimeError, MemoryError) as error:  # the last two: torch, out of memory
        findings.append(Finding("replay", None, f"not replayed: {error}"))
        return Report(Result.ABSTAINS, tuple(findings))
    return _judge(signed.bundle, seen.profile, own, findings)


def _claim(answer: Answer, seed: bytes) -> Claim:
    request, body = answer.request, answer.response.body
    sampling = Sampling(request.temperature_milli, request.min_p_ppm)
    return Claim(request.prompt, body.tokens, seed, sampling, request.max_tokens, body.finish)


def _replay(
    bundle: Bundle, seen: Inspection, model: CausalModel, progress: Progress | None
) -> list[TokenRecords | None]:
    """Own records of every answer; None for one that is malformed: a fault of service, and no evidence."""
    claims = [_claim(answer, seed) for answer, seed in zip(bundle.answers, seen.seeds, strict=True)]
    sound: list[int] = []
    for number, claim in enumerate(claims):
        try:
            check_claim(claim, model.vocab_size, model.max_positions, model.eos_ids)
        except ProtocolError:
            continue
        sound.append(number)
    spread = seen.profile.spread if seen.profile else None
    total, done = sum(len(claims[number].tokens) for number in sound), 0
    own: list[TokenRecords | None] = [None] * len(claims)
    for first in range(0, len(sound), ANSWERS_PER_REPLAY):
        part = sound[first : first + ANSWERS_PER_REPLAY]
        found = replayed(model, [claims[number] for number in part], spread)
        for number, records in zip(part, found, strict=True):
            own[number] = records
            done += len(records)
        if progress:
            progress(done, total)
    return own


def _judge(
    bundle: Bundle, profile: ToleranceProfile, own: Sequence[TokenRecords | None], findings: list[Finding]
) -> Report:
    state = run_test(own, profile)
    said = verdict(state, profile).value
    findings.append(_same_records(bundle, profile, own))
    findings.append(_arithmetic(bundle, profile, own))
    at = f" at token {state.accused_at}" if state.accused_at else ""
    findings.append(
        Finding(
            "verdict",
            said == bundle.verdict,
            f"own replay of {state.tokens} tokens: {said}{at}; the bundle says {bundle.verdict}",
        )
    )
    holds = all(finding.holds is not False for finding in findings)
    known = all(finding.holds is not None for finding in findings)
    result = Result.DOES_NOT_FOLLOW if not holds else Result.FOLLOWS if known else Result.ABSTAINS
    return Report(result, tuple(findings), said, state.tokens, state.accused_at, state.evidence(profile))


def run_test(answers: Sequence[TokenRecords | None], profile: ToleranceProfile) -> TestState:
    """The portable test over the records of answers in the order of the chain, from its beginning."""
    state = start(profile)
    for records in answers:
        if records is not None:
            state = update(state, records, profile)
    return state


def _stated(answer: Answer, own: TokenRecords | None) -> TokenRecords | None:
    """The records in the bundle; the verifier's own where the validator abstained: leaving out answers helps nobody."""
    if own is None or not answer.records:
        return own
    return TokenRecords.decode(answer.records)


def _same_records(bundle: Bundle, profile: ToleranceProfile, own: Sequence[TokenRecords | None]) -> Finding:
    allowed = RECORD_TOLERANCE[profile.tolerance_class]
    worst = 0.0
    for answer, mine in zip(bundle.answers, own, strict=True):
        counter = answer.response.counter
        if mine is None and answer.records:
            return Finding("records", False, f"answer {counter} is malformed and has records all the same")
        try:
            theirs = _stated(answer, mine)
        except ProtocolError as error:
            return Finding("records", False, f"answer {counter}: {error}")
        if mine is None or theirs is None:
            continue
        if len(theirs) != len(mine):
            return Finding("records", False, f"answer {counter}: {len(theirs)} records for {len(mine)} tokens")
        if not _coherent(theirs):
            return Finding("records", False, f"answer {counter}: a stated outcome contradicts its own margin")
        apart = float(np.abs(theirs.spreads / mine.spreads - 1.0).max(initial=0.0))
        if apart > SPREAD_TOLERANCE:
            return Finding("records", False, f"answer {counter}: a stated spread is off by {100 * apart:.0f} %")
        worst = max(worst, _difference(theirs, mine))
    if worst > allowed:
        return Finding("records", False, f"a stated record differs by {worst:.3g} logits; {allowed} are allowed")
    return Finding("records", True, f"stated records differ from the own ones by at most {worst:.2g} logits")


def _coherent(records: TokenRecords) -> bool:
    """Whether every margin is the one that the stated outcome has."""
    rows = records.rows
    outcome = rows["outcome"].astype(np.intp)
    listed = np.concatenate((np.zeros((len(rows), 1)), rows["distance"].astype(np.float64)), axis=1)
    expected = listed[np.arange(len(rows)), outcome]
    margin = rows["margin"].astype(np.float64)
    return bool(np.where(outcome == FAR, margin >= expected, margin == expected).all())


def _difference(theirs: TokenRecords, mine: TokenRecords) -> float:
    """The largest difference, in logits, of a margin or of a distance that both have."""
    worst = float(np.abs(theirs.margins - mine.margins).max(initial=0.0))
    one, other = theirs.rows["distance"], mine.rows["distance"]
    both = (one != NONE) & (other != NONE)
    apart = np.abs(one.astype(np.float64) - other.astype(np.float64)) / UNIT
    return max(worst, float(apart[both].max(initial=0.0)))


def _arithmetic(bundle: Bundle, profile: ToleranceProfile, own: Sequence[TokenRecords | None]) -> Finding:
    """Whether verdict and position follow from the records in the bundle, whoever is right about them."""
    try:
        stated = [_stated(answer, mine) for answer, mine in zip(bundle.answers, own, strict=True)]
        state = run_test(stated, profile)
    except ProtocolError as error:
        return Finding("test", False, str(error))
    found = (verdict(state, profile).value, state.accused_at or 0)
    said = (bundle.verdict, bundle.accused_at)
    detail = f"the stated records give {found[0]}" + (f" at token {found[1]}" if found[1] else "")
    return Finding("test", found == said, detail if found == said else f"{detail}, the bundle says {said}")
