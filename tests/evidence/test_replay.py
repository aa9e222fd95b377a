"""A validator tries to frame an honest miner. Each attack is shown to work where the defence is taken away."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from subnet.engine.replay import ReplayJob, replay_logits
from subnet.errors import EngineError, EvidenceError, ModelError
from subnet.evidence import check, replay
from subnet.evidence.build import KeptAnswer
from subnet.evidence.bundle import Answer, BlockHash, Bundle, Link, SignedBundle, sign_bundle
from subnet.evidence.replay import Report, Result, run_test, verify_bundle
from subnet.evidence.selection import CheckPlan
from subnet.models.manifest import canonical_json
from subnet.protocol import canonical, derive_seed, records
from subnet.sampling import Sampling
from subnet.verify.records import UNIT, TokenRecords, token_records
from tests.evidence.world import (
    World,
    block_hash,
    caught,
    coarse_profile,
    honest_in_coarse_class,
    key,
    load_tiny,
    tiny_model,
    tiny_profile,
    verified,
)
from tests.zoo.engines import CHEATS, HONEST, Cheat


def broken(report: Report) -> set[str]:
    return {finding.check for finding in report.findings if finding.holds is False}


def forged(
    world: World, kept: Sequence[KeptAnswer], shown: Sequence[KeptAnswer] | None = None, **changed
) -> SignedBundle:
    """A bundle put together by a validator that doesn't keep to the rules: `kept` as links, `shown` in full."""
    shown = kept if shown is None else shown
    numbers = {answer.plan.block for answer in kept} | {a.request.beacon_block for a in kept}
    state = run_test([answer.records for answer in shown], changed.pop("profile", world.profile))
    fields = {
        "version": 1,
        "genesis": world.handshake.commitment.genesis,
        "netuid": world.handshake.commitment.netuid,
        "validator": bytes(world.validator.public_key),
        "miner": bytes(world.miner.public_key),
        "model_id": world.manifest.digest,
        "handshake": world.handshake,
        "manifest": canonical_json(world.manifest.to_json()).decode(),
        "profile": world.profile.to_json(indent=None),
        "software": (),
        "blocks": tuple(BlockHash(number, block_hash(number)) for number in sorted(numbers)),
        "rounds": (),
        "previous": kept[0].response.body.previous,
        "links": tuple(
            Link(
                head=records.canonical_bytes(answer.request),
                extensions=dict(answer.request.extensions),
                body=answer.response.body.digest,
                rate_ppm=answer.plan.rate_ppm,
                salt=answer.plan.salt,
                placement=(),
            )
            for answer in kept
        ),
        "answers": tuple(
            Answer(answer.request, answer.response, answer.records.encode() if answer.records else b"")
            for answer in shown
        ),
        "verdict": "inconsistent" if state.accused_at else "consistent",
        "accused_at": state.accused_at or 0,
    }
    return sign_bundle(Bundle(**{**fields, **changed}), world.validator)


def test_the_forger_can_also_make_a_true_bundle() -> None:
    """So that what fails below fails for its own reason."""
    world, kept, _ = caught()
    picked = [answer for answer in kept if answer.plan.selects(block_hash(answer.plan.block), answer.request)]
    last = kept.index(picked[-1]) + 1
    assert verified(forged(world, kept[:last], picked)).result is Result.FOLLOWS


# --- honest miners ---


def test_an_honest_miner_is_consistent() -> None:
    world = World()
    report = verified(world.bundle(world.answers(HONEST)))
    assert (report.result, report.verdict, report.accused_at) == (Result.FOLLOWS, "consistent", None)


def test_an_honest_miner_of_a_coarse_class_is_not_accused() -> None:
    world, kept = honest_in_coarse_class()
    report = verified(world.bundle(kept))
    assert (report.result, report.verdict) == (Result.FOLLOWS, "consistent")
    assert broken(report) == set()


# --- frames_miner ---


def test_frames_miner_by_another_request_under_the_same_counter() -> None:
    """It asks something else with the same numbers, and attaches the honest answer."""
    world = World(rate_ppm=1_000_000)
    kept = world.answers(HONEST, count=3)
    honest = kept[1]
    asked, _ = world.request(1, temperature_milli=1500)
    seed = derive_seed(asked.digest, honest.response.body.secret)
    tokens = honest.response.body.tokens
    logits = replay_logits(tiny_model(), [ReplayJob(asked.prompt, tokens)])[0]
    against = token_records(logits, tokens, seed, Sampling(asked.temperature_milli))
    # Without the binding of answer and request the honest tokens convict:
    assert run_test([against], world.profile).accused_at is not None
    framed = [*kept]
    framed[1] = replace(honest, request=asked, records=against)
    report = verified(forged(world, framed))
    assert report.result is Result.DOES_NOT_FOLLOW
    assert {"chain"} <= broken(report)
    # The original request's link beside the altered one in full doesn't help either.
    good = forged(world, kept, kept)
    altered = replace(good.bundle.answers[1], request=asked)
    answers = (good.bundle.answers[0], altered, good.bundle.answers[2])
    report = verified(sign_bundle(replace(good.bundle, answers=answers), world.validator))
    assert {"answers"} <= broken(report)


def test_frames_miner_by_other_tokens() -> None:
    world = World(rate_ppm=1_000_000)
    kept = world.answers(HONEST, count=3)
    body = kept[2].response.body
    lie = replace(body, tokens=tuple(reversed(body.tokens)))
    kept[2] = replace(kept[2], response=replace(kept[2].response, body=lie))
    assert {"answers"} <= broken(verified(forged(world, kept)))


def test_frames_miner_by_another_key() -> None:
    """It answers in the miner's name and signs with a key of its own."""
    world, liar = World(rate_ppm=1_000_000), World(rate_ppm=1_000_000, miner=key("Liar"))
    kept = liar.answers(CHEATS["wrong_seed"], count=4)
    asked_of_victim = [replace(answer, request=world.request(n)[0]) for n, answer in enumerate(kept)]
    report = verified(forged(world, asked_of_victim))
    assert {"chain"} <= broken(report)
    report = verified(forged(world, kept))
    assert broken(report) >= {"chain"}


def test_frames_miner_by_another_epochs_handshake() -> None:
    world = World(rate_ppm=1_000_000)
    kept = world.answers(HONEST, count=3)
    other = World(rate_ppm=1_000_000, epoch=9).handshake
    assert {"chain"} <= broken(verified(forged(world, kept, handshake=other)))


def test_frames_miner_by_a_handshake_that_the_miner_never_signed() -> None:
    world = World(rate_ppm=1_000_000)
    kept = world.answers(HONEST, count=3)
    own = World(rate_ppm=1_000_000, miner=key("Liar")).handshake
    lie = replace(own, commitment=replace(own.commitment, miner=bytes(world.miner.public_key)))
    assert {"handshake"} <= broken(verified(forged(world, kept, handshake=lie)))


# --- grinds_nonce ---


def test_grinds_nonce_needs_to_know_the_secret() -> None:
    """Where the seed follows from the request, a validator tries nonces until rounding decides the first token."""
    world = World()
    secret, _ = world.tree.open(0)
    logits = replay_logits(tiny_model(), [ReplayJob(world.request(0)[0].prompt, (5,))])[0]
    tries = [world.request(0, nonce=hashlib.sha256(bytes([n])).digest())[0] for n in range(200)]

    def gap(seed: bytes) -> float:
        rows = token_records(logits, (5,), seed, Sampling(800)).rows
        return float(rows["distance"][0, 0]) / UNIT

    known = [hashlib.sha256(request.digest).digest() for request in tries]
    real = [derive_seed(request.digest, secret) for request in tries]
    chosen = sorted(range(len(tries)), key=lambda n: gap(known[n]))[:20]
    # It finds the requests whose first token hangs on rounding, if the seed is the request's digest:
    assert max(gap(known[n]) for n in chosen) < 0.2
    # With the miner's secret inside, what it found is like any other request:
    assert np.median([gap(real[n]) for n in chosen]) > 0.5 * np.median([gap(seed) for seed in real])


def test_grinds_nonce_by_another_secret() -> None:
    world = World(rate_ppm=1_000_000)
    kept = world.answers(HONEST, count=3)
    body = kept[1].response.body
    kept[1] = replace(kept[1], response=replace(kept[1].response, body=replace(body, secret=b"x" * 32)))
    assert broken(verified(forged(world, kept))) >= {"chain"}


# --- cherry_picks ---


def worst(kept: Sequence[KeptAnswer], count: int = 40) -> list[KeptAnswer]:
    """The genuine answers that look worst, in their order."""
    chosen = sorted(kept, key=lambda answer: -answer.records.margins.max())[:count]
    return [answer for answer in kept if answer in chosen]


def test_cherry_picks_would_convict_an_honest_miner() -> None:
    """The attack by itself: a test over the worst of genuine answers accuses, one over all of them doesn't."""
    _, kept = honest_in_coarse_class()
    assert run_test([answer.records for answer in kept], coarse_profile()).accused_at is None
    assert run_test([answer.records for answer in worst(kept)], coarse_profile()).accused_at is not None


def test_cherry_picks_by_leaving_answers_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world, kept = honest_in_coarse_class()
    attack = forged(world, worst(kept))
    assert attack.bundle.verdict == "inconsistent"
    report = verified(attack)
    assert report.result is Result.DOES_NOT_FOLLOW
    assert "chain" in broken(report)
    monkeypatch.setattr(check, "_chain", lambda bundle: "defence taken away")
    monkeypatch.setattr(check, "_rounds", lambda bundle: "")
    assert verified(attack).result is Result.FOLLOWS


def test_cherry_picks_by_calling_the_others_unselected(monkeypatch: pytest.MonkeyPatch) -> None:
    world, kept = honest_in_coarse_class()
    shown = worst(kept)
    attack = forged(world, kept[: kept.index(shown[-1]) + 1], shown)
    report = verified(attack)
    assert broken(report) == {"selection"}
    monkeypatch.setattr(check, "_selection", lambda bundle: "defence taken away")
    assert verified(attack).result is Result.FOLLOWS


def test_cherry_picks_by_choosing_the_rate_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """It claims to have asked the good answers at rate zero. The requests say otherwise."""
    world, kept = honest_in_coarse_class()
    shown = worst(kept)
    lied = [
        answer if answer in shown else replace(answer, plan=CheckPlan(answer.plan.block, 0, answer.plan.salt))
        for answer in kept[: kept.index(shown[-1]) + 1]
    ]
    attack = forged(world, lied, shown)
    assert broken(verified(attack)) == {"selection", "rounds", "blocks"} & broken(verified(attack))
    assert "selection" in broken(verified(attack))
    monkeypatch.setattr(CheckPlan, "opens", lambda plan, extensions: True)
    assert verified(attack).result is Result.FOLLOWS


def test_cherry_picks_by_choosing_the_block_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that select the worst answers alone. A chain tells; without one the report says what it rests on."""
    world = World()
    kept = world.answers(HONEST, count=8)
    good = world.bundle(kept)
    plans = {answer.plan.block for answer in kept}
    lie = tuple(
        BlockHash(block.number, hashlib.sha256(b"mine" + block.hash).digest()) if block.number in plans else block
        for block in good.bundle.blocks
    )
    report = verified(sign_bundle(replace(good.bundle, blocks=lie), world.validator))
    assert "chain's blocks" in broken(report)


def test_cherry_picks_by_shopping_for_a_block() -> None:
    """The block that decides is in the request: it can't be moved to one with a better hash."""
    world = World()
    kept = world.answers(HONEST, count=4)
    moved = [replace(answer, plan=replace(answer.plan, block=answer.plan.block + 1)) for answer in kept]
    assert broken(verified(forged(world, moved))) >= {"selection"}


def test_cherry_picks_by_calling_good_answers_late() -> None:
    """An answer outside of every round is selected like any other."""
    world, kept = honest_in_coarse_class()
    late = [replace(answer, placement=None) for answer in kept]
    report = verified(world.bundle(late))
    assert (report.result, report.verdict) == (Result.FOLLOWS, "consistent")


def test_cherry_picks_by_abstaining_on_good_answers() -> None:
    """It shows every answer, and says that it couldn't replay those that look good. The verifier replays them."""
    world, kept = honest_in_coarse_class()
    shown = worst(kept)
    silent = [answer if answer in shown else replace(answer, records=None) for answer in kept]
    attack = forged(world, silent)
    assert attack.bundle.verdict == "inconsistent"
    report = verified(attack)
    assert report.verdict == "consistent"
    assert broken(report) == {"test", "verdict"}


def test_cherry_picks_by_where_the_piece_begins_gains_nothing() -> None:
    """Any beginning is allowed: the test starts anew at every token anyway."""
    _, kept = honest_in_coarse_class()
    whole = run_test([answer.records for answer in kept[:60]], coarse_profile()).evidence(coarse_profile())
    for first in range(0, 60, 7):
        part = run_test([answer.records for answer in kept[first:60]], coarse_profile())
        assert part.evidence(coarse_profile()) <= whole * (1 + 1e-9)


def test_a_piece_may_begin_in_the_middle_of_an_epoch() -> None:
    world, kept, _ = caught()
    report = verified(world.bundle(kept[3:]))
    assert report.result is Result.FOLLOWS
    assert report.verdict == "inconsistent"


# --- the rules of the test ---


def test_a_validator_does_not_choose_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a profile of its own making, which allows no rounding at all, every honest miner is guilty."""
    world, kept = honest_in_coarse_class()
    strict = replace(tiny_profile(), threshold=1e4, spread=world.profile.spread)
    attack = forged(world, kept, profile=strict)
    attack = sign_bundle(replace(attack.bundle, profile=strict.to_json(indent=None)), world.validator)
    assert attack.bundle.verdict == "inconsistent"
    assert broken(verified(attack)) == {"test parameters"}
    monkeypatch.setattr(check, "_profile", lambda bundle, manifest: strict)
    assert verified(attack).result is Result.FOLLOWS


def test_a_validator_does_not_choose_the_manifest() -> None:
    """A manifest with another profile is another model id, which no request of the chain names."""
    world, kept = honest_in_coarse_class()
    strict = replace(tiny_profile(), threshold=1e4, spread=world.profile.spread)
    manifest = world.manifest.with_profile(json.loads(strict.to_json()))
    attack = forged(
        world, kept, profile=strict, model_id=manifest.digest, manifest=canonical_json(manifest.to_json()).decode()
    )
    attack = sign_bundle(replace(attack.bundle, profile=strict.to_json(indent=None)), world.validator)
    assert verified(attack).result is Result.DOES_NOT_FOLLOW


def test_a_verdict_that_does_not_follow_is_refused() -> None:
    world = World(rate_ppm=1_000_000)
    bundle = world.bundle(world.answers(HONEST, count=4)).bundle
    lie = sign_bundle(replace(bundle, verdict="inconsistent", accused_at=7), world.validator)
    assert broken(verified(lie)) == {"test", "verdict"}


def test_made_up_records_are_refused() -> None:
    world = World(rate_ppm=1_000_000)
    kept = world.answers(HONEST, count=4)
    convicting = world.answers(CHEATS["wrong_seed"], count=4)
    lied = [replace(mine, records=theirs.records) for mine, theirs in zip(kept, convicting, strict=True)]
    report = verified(forged(world, lied))
    assert report.verdict == "consistent"
    assert "records" in broken(report)
    assert "verdict" in broken(report)


def test_a_stated_spread_is_the_verifiers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calling contexts calmer than they are makes an honest miner's near misses look bad."""
    world, kept = honest_in_coarse_class()
    assert len({int(spread) for answer in kept for spread in answer.records.rows["spread"]}) > 100
    slightly = forged(world, [replace(a, records=a.records.with_spreads(a.records.spreads * 0.9)) for a in kept])
    assert broken(verified(slightly)) == {"records"}
    framing = [replace(a, records=a.records.with_spreads(a.records.spreads * 0.2)) for a in kept]
    monkeypatch.setattr(replay, "SPREAD_TOLERANCE", float("inf"))
    report = verified(forged(world, framing))
    assert report.verdict == "consistent"
    assert broken(report) == {"verdict"}


# --- spares_friends ---


def test_spares_friends_the_round_holds_what_was_left_out() -> None:
    """Once the round's root is committed, no other set of answers has it, and no other commitment replaces it."""
    from subnet.evidence.ledger import Entry, EntryKind, Log, leaf_hash, verify_consistency
    from subnet.evidence.rounds import in_round, round_leaf
    from subnet.protocol import merkle

    world = World()
    kept = world.answers(CHEATS["wrong_seed"], count=4)
    signed, index, path = kept[1].placement
    said = signed.commitment
    assert in_round(kept[1].response.link, index, path, said)
    without = [round_leaf(answer.response.link) for answer in kept if answer is not kept[1]]
    assert merkle.root(without) != said.root
    entry = Entry(EntryKind.ROUND, said.block, bytes(32), said.validator, signed.commitment.digest)
    spared = replace(entry, digest=replace(said, root=merkle.root(without), count=3).digest)
    honest, rewritten = Log().append(entry.to_bytes()), Log().append(spared.to_bytes())
    proof = (leaf_hash(spared.to_bytes()),)
    assert not verify_consistency(1, honest.root, 1, rewritten.root, proof)


def test_a_round_that_was_fixed_too_late_proves_nothing() -> None:
    from subnet.evidence.rounds import sign_round

    world, kept, _ = caught()
    late = []
    for answer in kept:
        signed, index, path = answer.placement
        after = sign_round(replace(signed.commitment, block=answer.plan.block), world.validator)
        late.append(replace(answer, placement=(after, index, path)))
    assert broken(verified(world.bundle(late))) == {"rounds"}


# --- our own failures ---


def test_a_model_that_is_missing_is_an_abstention() -> None:
    def missing(manifest):
        raise ModelError("no file")

    _, _, signed = caught()
    report = verify_bundle(signed, missing, block_hash)
    assert (report.result, report.verdict) == (Result.ABSTAINS, None)


def test_another_model_is_an_abstention() -> None:
    _, _, signed = caught()
    report = verify_bundle(signed, lambda manifest: replace(tiny_model(), model_id=b"x" * 32), block_hash)
    assert report.result is Result.ABSTAINS


def test_a_replay_that_breaks_is_an_abstention() -> None:
    def broken_model(manifest):
        model = load_tiny(manifest)
        return model.with_weights({"model.norm.weight": model.weights["model.norm.weight"] * float("nan")})

    _, _, signed = caught()
    assert verify_bundle(signed, broken_model, block_hash).result is Result.ABSTAINS


@pytest.mark.parametrize("failure", [EngineError("no"), RuntimeError("no kernel"), MemoryError("no memory")])
def test_whatever_breaks_the_replay_is_an_abstention(failure: Exception) -> None:
    def breaking(manifest):
        raise failure

    _, _, signed = caught()
    assert verify_bundle(signed, breaking, block_hash).result is Result.ABSTAINS


def test_a_replay_is_not_started_for_a_bundle_that_does_not_hold() -> None:
    """Work for nothing is a way to keep validators busy."""

    def never(manifest):
        raise AssertionError("the model was loaded")

    _, _, signed = caught()
    spoiled = replace(signed, signature=bytes(64))
    assert verify_bundle(spoiled, never, block_hash).result is Result.DOES_NOT_FOLLOW


def test_malformed_answers_are_no_evidence() -> None:
    """Padding after the end is a fault of service: it takes its place in the chain and counts for nothing."""
    world = World(rate_ppm=1_000_000)
    kept = world.answers(CHEATS["pads"], count=12, tokens=64)
    malformed = [answer for answer in kept if answer.records is None]
    assert malformed, "the tiny model ends some answers early"
    report = verified(world.bundle(kept))
    assert (report.result, report.verdict) == (Result.FOLLOWS, "consistent")
    assert report.tokens == sum(len(answer.records) for answer in kept if answer.records)


def test_records_of_a_malformed_answer_are_refused() -> None:
    world = World(rate_ppm=1_000_000)
    kept = world.answers(CHEATS["pads"], count=12, tokens=64)
    sound = next(answer for answer in kept if answer.records)
    lied = [answer if answer.records else replace(answer, records=sound.records) for answer in kept]
    assert "records" in broken(verified(forged(world, lied)))


def test_progress_is_told() -> None:
    world, kept, _ = caught()
    told: list[tuple[int, int]] = []
    report = verify_bundle(world.bundle(kept), load_tiny, block_hash, lambda done, total: told.append((done, total)))
    assert told[-1] == (report.tokens, report.tokens)


# --- making bundles ---


def test_no_bundle_is_made_with_a_hole() -> None:
    world, kept, _ = caught()
    with pytest.raises(EvidenceError, match="missing"):
        world.bundle([*kept[:2], *kept[3:]])


def test_no_bundle_is_made_without_evidence() -> None:
    world = World(rate_ppm=0)
    with pytest.raises(EvidenceError, match="none of the answers"):
        world.bundle(world.answers(HONEST, count=3))


def test_no_bundle_is_made_without_a_deciding_block() -> None:
    world, kept, _ = caught()
    far = [replace(answer, plan=replace(answer.plan, block=2_000_000)) for answer in kept]
    with pytest.raises(EvidenceError, match="block 2000000"):
        world.bundle(far)


def test_a_bundle_ends_with_the_accusation() -> None:
    _, kept, signed = caught()
    full = [answer for answer in kept if answer.records is not None]
    assert len(signed.bundle.answers) < len(full)
    before = sum(len(answer.response.body.tokens) for answer in signed.bundle.answers[:-1])
    assert before < signed.bundle.accused_at <= before + len(signed.bundle.answers[-1].response.body.tokens)


def test_a_bundle_begins_where_it_needs_to() -> None:
    """A miner with a long honest past begins to cheat: nobody has to replay its past."""
    world = World(rate_ppm=1_000_000)

    def turns(model, jobs, batch):
        honest, cheat = HONEST.engine(model), CHEATS["wrong_seed"].engine(model)
        return [*honest.decode(jobs[:12], batch), *cheat.decode(jobs[12:], batch)]

    kept = world.answers(Cheat(decode=turns), count=16)
    signed = world.bundle(kept)
    assert signed.bundle.verdict == "inconsistent"
    first = len(kept[:12]) + 1 - len(signed.bundle.links)
    assert first >= 11
    assert signed.bundle.previous == kept[first - 1].response.link
    assert verified(signed).result is Result.FOLLOWS


def test_unselected_prompts_are_not_published() -> None:
    world = World(rate_ppm=300_000)
    kept = world.answers(CHEATS["temperature_high"], count=48, tokens=3)
    signed = world.bundle(kept)
    shown = {answer.request.counter for answer in signed.bundle.answers}
    hidden = [answer for answer in kept[: len(signed.bundle.links)] if answer.request.counter not in shown]
    raw = signed.to_bytes()
    assert hidden
    for answer in hidden:
        assert json.dumps(list(answer.request.prompt), separators=(",", ":")).encode() not in raw
        assert json.dumps(list(answer.response.body.tokens), separators=(",", ":")).encode() not in raw


def test_a_contract_can_check_one_token() -> None:
    """Its record is a leaf of fixed width under the root that the bundle's canonical bytes hold."""
    from subnet.evidence.bundle import RECORD_BYTES, row_leaves
    from subnet.protocol import merkle

    _, _, signed = caught()
    answer = signed.bundle.answers[-1]
    leaves = row_leaves(answer.records)
    root = records.canonical_bytes(answer)[-32:]
    record = answer.records[3 * RECORD_BYTES : 4 * RECORD_BYTES]
    leaf = hashlib.sha256(b"\x00" + canonical.uint(3, 4) + record).digest()
    assert merkle.verify_path(leaf, 3, len(leaves), merkle.path(leaves, 3), root)


@pytest.mark.parametrize("cheat", [HONEST, CHEATS["wrong_seed"], CHEATS["greedy"]])
def test_records_say_the_same_thing_twice(cheat) -> None:
    """Outcome and margin of every real record agree: the check on stated ones refuses no honest validator."""
    from subnet.evidence.replay import _coherent

    world = World(rate_ppm=1_000_000)
    for answer in world.answers(cheat, count=4):
        assert _coherent(answer.records)
        assert TokenRecords.decode(answer.records.encode()) == answer.records
