"""A bundle from what a validator keeps of one miner's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from subnet.errors import EvidenceError
from subnet.evidence.bundle import (
    BUNDLE_VERSION,
    Answer,
    BlockHash,
    Bundle,
    Link,
    Placement,
    SignedBundle,
    sign_bundle,
)
from subnet.evidence.rounds import SignedRound
from subnet.evidence.selection import CheckPlan
from subnet.models.manifest import Manifest, canonical_json
from subnet.protocol import CompletionRequest, SignedCommitment, SignedResponse, Signer, records
from subnet.verify.detector import TestState, start, update
from subnet.verify.profile import ToleranceProfile
from subnet.verify.records import TokenRecords
from subnet.verify.verdict import verdict


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """One answer as a validator keeps it.

    plan: under which it was asked. placement: the round that fixed it, its leaf's number there and its path; None where
    it came after its round. records: of every token, None where it was not selected or could not be replayed.
    """

    request: CompletionRequest
    response: SignedResponse
    plan: CheckPlan
    placement: tuple[SignedRound, int, tuple[bytes, ...]] | None = None
    records: TokenRecords | None = None


def make_bundle(
    kept: Sequence[KeptAnswer],
    handshake: SignedCommitment,
    manifest: Manifest,
    profile: ToleranceProfile,
    blocks: Mapping[int, bytes],
    software: Sequence[str],
    signer: Signer,
) -> SignedBundle:
    """The signed bundle over a contiguous piece of one miner's chain.

    kept: every answer of the piece in the order in which the miner signed them; what follows the accusation, and what
    before it isn't needed to convict, is dropped. blocks: hashes of the blocks that decide selection, by number.
    Raises EvidenceError where an answer or a block is missing, so that no bundle is made that others reject.
    """
    for before, after in pairwise(kept):
        if after.response.body.previous != before.response.link:
            raise EvidenceError(f"the answer before number {after.response.counter} is missing: start after it")
    piece, state = _convicting_piece(kept, blocks, manifest, profile)
    rounds = sorted(
        {answer.placement[0].commitment.round: answer.placement[0] for answer in piece if answer.placement}.items()
    )
    place = {number: index for index, (number, _) in enumerate(rounds)}
    full = [answer for answer in piece if _is_selected(answer, blocks, manifest)]
    commitment = handshake.commitment
    bundle = Bundle(
        version=BUNDLE_VERSION,
        genesis=commitment.genesis,
        netuid=commitment.netuid,
        validator=commitment.validator,
        miner=commitment.miner,
        model_id=manifest.digest,
        handshake=handshake,
        manifest=canonical_json(manifest.to_json()).decode(),
        profile=profile.to_json(indent=None),
        software=tuple(software),
        blocks=_blocks(piece, blocks),
        rounds=tuple(signed for _, signed in rounds),
        previous=piece[0].response.body.previous,
        links=tuple(_link(answer, place) for answer in piece),
        answers=tuple(_answer(answer) for answer in full),
        verdict=verdict(state, profile).value,
        accused_at=state.accused_at or 0,
    )
    return sign_bundle(bundle, signer)


def _convicting_piece(
    kept: Sequence[KeptAnswer], blocks: Mapping[int, bytes], manifest: Manifest, profile: ToleranceProfile
) -> tuple[list[KeptAnswer], TestState]:
    """The piece that ends with the accusation and begins as late as convicts, with the test's state at its end.

    Without an accusation it is everything up to the last selected answer. A miner may have a long honest past: nobody
    needs to replay it. Beginnings are tried backwards from the end, each time over twice as many answers.
    """
    selected = [number for number, answer in enumerate(kept) if _is_selected(answer, blocks, manifest)]
    if not selected:
        raise EvidenceError("none of the answers was selected: there is no evidence to show")
    state, used = _tested(kept, selected, profile)
    if state.accused_at is None:
        return list(kept[: selected[-1] + 1]), state
    shown = selected[:used]
    size = 1
    while size < len(shown):
        part, _ = _tested(kept, shown[-size:], profile)
        if part.accused_at is not None:
            return list(kept[shown[-size] : shown[-1] + 1]), part
        size *= 2
    return list(kept[: shown[-1] + 1]), state


def _tested(kept: Sequence[KeptAnswer], chosen: Sequence[int], profile: ToleranceProfile) -> tuple[TestState, int]:
    """The test over some answers up to its accusation, and how many of them it took."""
    state = start(profile)
    for used, number in enumerate(chosen, start=1):
        records = kept[number].records
        if records is not None:
            state = update(state, records, profile)
        if state.accused_at is not None:
            return state, used
    return state, len(chosen)


def _is_selected(answer: KeptAnswer, blocks: Mapping[int, bytes], manifest: Manifest) -> bool:
    request = answer.request
    if request.model_id != manifest.digest:
        return False
    if answer.plan.block not in blocks:
        raise EvidenceError(
            f"the hash of block {answer.plan.block}, which decides answer {request.counter}, is missing"
        )
    return answer.plan.selects(blocks[answer.plan.block], request)


def _blocks(piece: Sequence[KeptAnswer], blocks: Mapping[int, bytes]) -> tuple[BlockHash, ...]:
    needed = {answer.request.beacon_block: answer.request.beacon_hash for answer in piece}
    for answer in piece:
        if answer.plan.block not in blocks:
            raise EvidenceError(f"the hash of block {answer.plan.block} is missing")
        needed[answer.plan.block] = blocks[answer.plan.block]
    return tuple(BlockHash(number, needed[number]) for number in sorted(needed))


def _link(answer: KeptAnswer, place: Mapping[int, int]) -> Link:
    request = answer.request
    placement: tuple[Placement, ...] = ()
    if answer.placement:
        signed, index, path = answer.placement
        placement = (Placement(place[signed.commitment.round], index, path),)
    return Link(
        head=records.canonical_bytes(request),
        extensions=dict(request.extensions),
        body=answer.response.body.digest,
        rate_ppm=answer.plan.rate_ppm,
        salt=answer.plan.salt,
        placement=placement,
    )


def _answer(answer: KeptAnswer) -> Answer:
    encoded = answer.records.encode() if answer.records is not None else b""
    return Answer(answer.request, answer.response, encoded)
