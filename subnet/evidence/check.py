"""Everything about a bundle that can be checked without the model.

Signatures, chain, secrets, blocks, selection and rounds: each check is one finding. It holds, it does not, or it could
not be made here; what could not be checked never counts against a miner.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from subnet.errors import AssayError, EvidenceError
from subnet.evidence.bundle import Answer, Bundle, Link, SignedBundle, chain_links
from subnet.evidence.rounds import in_round
from subnet.evidence.selection import CheckPlan, check_block
from subnet.models.manifest import Manifest, canonical_json
from subnet.protocol import check_response
from subnet.verify.profile import ToleranceProfile, load_profile, shipped_profiles

BlockSource = Callable[[int], bytes | None]
"""Number of a block -> its 32-byte hash, or None where it is not known. May raise an AssayError: then it is unknown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `holds` is None where it could not be made. `detail` is for people."""

    check: str
    holds: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """The findings, and what a replay needs where they hold.

    seeds: of every answer, in order. manifest, profile: None where they could not be read.
    """

    findings: tuple[Finding, ...]
    seeds: tuple[bytes, ...] = ()
    manifest: Manifest | None = None
    profile: ToleranceProfile | None = None

    @property
    def broken(self) -> bool:
        """Whether some check failed."""
        return any(finding.holds is False for finding in self.findings)


class _Broken(EvidenceError):
    """A check failed: the text says why."""


def inspect(signed: SignedBundle, block_hash: BlockSource | None = None) -> Inspection:
    """Check everything that needs no model. `block_hash` is a chain's view; None takes the bundle's own hashes."""
    bundle = signed.bundle
    findings: list[Finding] = []
    manifest: Manifest | None = None
    profile: ToleranceProfile | None = None
    seeds: tuple[bytes, ...] = ()

    def run(check: str, made: Callable[[], str]) -> bool:
        try:
            findings.append(Finding(check, True, made()))
        except AssayError as error:
            findings.append(Finding(check, False, str(error)))
            return False
        return True

    def read_model() -> str:
        nonlocal manifest
        manifest = _manifest(bundle)
        return f"{manifest.name}, class {manifest.tolerance.tolerance_class}"

    def read_profile() -> str:
        nonlocal profile
        profile = _profile(bundle, manifest)
        return f"{profile.name}, one false accusation in {profile.threshold:.0e} tokens at most"

    def open_answers() -> str:
        nonlocal seeds
        seeds = tuple(_open_answers(bundle))
        return f"{len(seeds)} answers in full, signed by the miner over their requests, secrets opened"

    run("signature", lambda: _signature(signed))
    run("handshake", lambda: _handshake(bundle))
    if run("model", read_model):
        run("test parameters", read_profile)
    if run("chain", lambda: _chain(bundle)):
        run("answers", open_answers)
        run("selection", lambda: _selection(bundle))
        run("rounds", lambda: _rounds(bundle))
    run("blocks", lambda: _blocks(bundle))
    findings.append(_against_chain(bundle, block_hash))
    return Inspection(tuple(findings), seeds, manifest, profile)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _Broken(otherwise)


def _signature(signed: SignedBundle) -> str:
    signed.require_valid()
    return "the validator signed the bundle"


def _handshake(bundle: Bundle) -> str:
    bundle.handshake.require_valid()
    said = bundle.handshake.commitment
    _require(said.validator == bundle.validator, "the handshake is with another validator")
    _require(said.miner == bundle.miner, "the handshake is another miner's")
    _require((said.genesis, said.netuid) == (bundle.genesis, bundle.netuid), "the handshake is of another network")
    return f"the miner committed to {said.size} secrets for epoch {said.epoch}"


def _manifest(bundle: Bundle) -> Manifest:
    manifest = Manifest.from_json(_strict_json(bundle.manifest, "manifest"))
    _require(manifest.digest == bundle.model_id, "the manifest's digest is not the model id of the bundle")
    return manifest


def _profile(bundle: Bundle, manifest: Manifest | None) -> ToleranceProfile:
    """The test's parameters, which the validator may not choose: they are the manifest's, or shipped with the code."""
    raw = _strict_json(bundle.profile, "profile")
    profile = ToleranceProfile.from_json(bundle.profile)
    _require(manifest is not None, "there is no manifest to take the class from")
    assert manifest is not None
    _require(
        profile.tolerance_class == manifest.tolerance.tolerance_class,
        f"the profile is of class {profile.tolerance_class}, the model of {manifest.tolerance.tolerance_class}",
    )
    published = manifest.tolerance.profile
    if published:
        _require(canonical_json(raw) == canonical_json(dict(published)), "the profile is not the manifest's")
        return profile
    known = {load_profile(name).digest() for name in shipped_profiles()}
    _require(profile.digest() in known, f"the profile {profile.name} is neither in the manifest nor known here")
    return profile


def _strict_json(text: str, what: str) -> object:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Broken(f"the {what} is not JSON: {error}") from error
    _require(canonical_json(raw) == text.encode(), f"the {what} is not in canonical form")
    return raw


def _chain(bundle: Bundle) -> str:
    """Every link is of this validator, miner, epoch and network; the full answers sit where their links are."""
    commitment = bundle.handshake.commitment
    seen: set[int] = set()
    for number, link in enumerate(bundle.links):
        head = link.read()
        _require(
            (head.genesis, head.netuid, head.validator, head.miner, head.epoch)
            == (bundle.genesis, bundle.netuid, bundle.validator, bundle.miner, commitment.epoch),
            f"link {number} is of another network, validator, miner or epoch",
        )
        _require(head.counter < commitment.size, f"link {number} has counter {head.counter}, beyond the last secret")
        _require(head.counter not in seen, f"counter {head.counter} is there twice")
        seen.add(head.counter)
    following = chain_links(bundle.previous, bundle.links)
    places = {answer.response.link: answer for answer in bundle.answers}
    _require(len(places) == len(bundle.answers), "an answer is there twice")
    order = [link for link in following if link in places]
    _require(
        order == [answer.response.link for answer in bundle.answers],
        "an answer in full does not belong to the chain, or stands in another order",
    )
    _require(bool(order) and following[-1] == order[-1], "the chain does not end with an answer in full")
    return f"{len(bundle.links)} answers in the order in which the miner signed them, none left out"


def _open_answers(bundle: Bundle) -> Iterator[bytes]:
    commitment = bundle.handshake.commitment
    for answer in bundle.answers:
        request = answer.request
        _require(
            request.validator == bundle.validator and request.miner == bundle.miner,
            f"the request {request.counter} is between others",
        )
        yield check_response(request, answer.response, commitment)


def links_by_answer(bundle: Bundle) -> dict[bytes, Answer]:
    """The full answers by the digest of their request."""
    return {answer.request.digest: answer for answer in bundle.answers}


def _selection(bundle: Bundle) -> str:
    """Shown in full is exactly what the public function picks, at rates that were fixed before the answers."""
    hashes = {block.number: block.hash for block in bundle.blocks}
    shown = links_by_answer(bundle)
    picked = 0
    for link in bundle.links:
        head = link.read()
        if head.model_id != bundle.model_id:
            _require(link.request_digest not in shown, f"answer {head.counter} is of another model")
            continue
        plan = link_plan(link)
        _require(plan.block > head.beacon_block, f"answer {head.counter}: its deciding block is not after its request")
        _require(plan.block in hashes, f"the hash of block {plan.block} is missing")
        chosen = plan.selects_counter(hashes[plan.block], bundle.validator, bundle.miner, head.epoch, head.counter)
        _require(
            chosen == (link.request_digest in shown),
            f"answer {head.counter} was {'picked and is not shown' if chosen else 'not picked and is shown'}",
        )
        picked += chosen
    return f"{picked} of {len(bundle.links)} answers were picked by hashes of later blocks, and these are shown"


def link_plan(link: Link) -> CheckPlan:
    """The plan under which a link's request was asked. Raises EvidenceError where it does not open."""
    block = check_block(link.extensions)
    _require(block is not None, f"request {link.read().counter} does not fix how it is checked")
    assert block is not None
    plan = CheckPlan(block, link.rate_ppm, link.salt)
    _require(plan.opens(link.extensions), f"request {link.read().counter} was asked at another checking rate")
    return plan


def _rounds(bundle: Bundle) -> str:
    numbers = [signed.commitment.round for signed in bundle.rounds]
    _require(numbers == sorted(set(numbers)), "the rounds are not in ascending order, each once")
    for signed in bundle.rounds:
        signed.require_valid()
        said = signed.commitment
        _require(
            (said.genesis, said.netuid, said.validator) == (bundle.genesis, bundle.netuid, bundle.validator),
            f"round {said.round} is of another network or validator",
        )
    fixed = 0
    for item, link in zip(bundle.links, chain_links(bundle.previous, bundle.links), strict=True):
        for place in item.placement:
            _require(place.round < len(bundle.rounds), f"round {place.round} of {len(bundle.rounds)} does not exist")
            said = bundle.rounds[place.round].commitment
            _require(in_round(link, place.index, place.path, said), f"an answer is not in round {said.round}")
            _require(
                said.block < link_plan(item).block, f"round {said.round} was fixed after it was known what is checked"
            )
            fixed += 1
    return f"{fixed} of {len(bundle.links)} answers were fixed in a round before it was known which are checked"


def _blocks(bundle: Bundle) -> str:
    numbers = [block.number for block in bundle.blocks]
    _require(numbers == sorted(set(numbers)), "the blocks are not in ascending order, each once")
    hashes = {block.number: block.hash for block in bundle.blocks}
    needed: set[int] = set()
    for link in bundle.links:
        head = link.read()
        needed |= {head.beacon_block, link_plan(link).block}
        _require(
            hashes.get(head.beacon_block, head.beacon_hash) == head.beacon_hash,
            f"block {head.beacon_block} has another hash in the request {head.counter}",
        )
    _require(set(numbers) == needed, "the blocks are not those that the requests and the selection use")
    seen_by_miner = {link.read().beacon_block for link in bundle.links}
    vouched = sum(block.number in seen_by_miner for block in bundle.blocks)
    return f"{len(numbers)} block hashes, {vouched} of them in requests that the miner accepted"


def _against_chain(bundle: Bundle, block_hash: BlockSource | None) -> Finding:
    if block_hash is None:
        return Finding(
            "chain's blocks", True, "not asked for: the verdict holds given the hashes above (check with --endpoint)"
        )
    unknown = 0
    try:
        genesis = block_hash(0)
        if genesis is not None and genesis != bundle.genesis:
            return Finding("chain's blocks", False, f"the chain's genesis is {genesis.hex()}, not the bundle's")
        for block in bundle.blocks:
            found = block_hash(block.number)
            if found is None:
                unknown += 1
            elif found != block.hash:
                return Finding("chain's blocks", False, f"block {block.number} is {found.hex()} on the chain")
    except AssayError as error:
        return Finding("chain's blocks", None, f"the chain could not be asked: {error}")
    if unknown:
        return Finding("chain's blocks", None, f"the chain does not know {unknown} of {len(bundle.blocks)} blocks")
    return Finding("chain's blocks", True, f"all {len(bundle.blocks)} hashes are the chain's")
