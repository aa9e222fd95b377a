"""From stored answers to a bundle that others verify, and to the ledger."""

from dataclasses import replace

import pytest

from reward import Conversation, ScoringRules
from subnet.evidence.bundle import SignedBundle
from subnet.evidence.ledger import Entry, EntryKind
from subnet.evidence.replay import Result
from subnet.evidence.rounds import round_leaf, sign_round
from subnet.evidence.slashing import Policy, Reason
from subnet.protocol import merkle, ss58_address
from subnet.validator.accuse import Accuser, Maker, bundle_path, judged_runs, used_evidence, write_bundle
from subnet.validator.judge import Bench, is_out, standing_of
from subnet.validator.state import Store
from subnet.validator.state.store import ChainAnswer
from subnet.validator.values import Asked, Bundle, Judged, Miner, Phase, Placed, Round, Settlement, Times
from subnet.verify.verdict import Verdict
from tests.evidence.world import NETUID, ROUND_SIZE, World, block_hash, caught, verified


def bench_of(world):
    return Bench(bytes(world.validator.public_key), 7, world.profile, Policy(10, 10, 10, 5), ScoringRules())


def fill(store, world, kept, settled=99, pieces=None):
    """Stores these answers as the rounds that asked them would have; rounds from `settled` on are still open."""
    hotkey = ss58_address(bytes(world.miner.public_key))
    chain = store.open_chain(hotkey, world.handshake)
    for first in range(0, len(kept), ROUND_SIZE):
        part, number = kept[first : first + ROUND_SIZE], 1 + first // ROUND_SIZE
        block = part[0].plan.block
        opened = Round(number, Phase.ASKING, block - 5, block, b"s" * 32, 0.0)
        asked = [
            Asked(number, hotkey, f"{number}:{i}", Conversation.of("hello"), answer.request, answer.plan)
            for i, answer in enumerate(part)
        ]
        exchanges = store.begin_round(opened, asked)
        for exchange, answer in zip(exchanges, part, strict=True):
            store.record_answer(exchange.id, answer.response, Times(0.0, 0.1, 1.0), timed=True)
        signed = part[0].placement[0]
        entry = Entry(EntryKind.ROUND, block - 3, bytes(32), bytes(world.validator.public_key), signed.commitment.root)
        store.close_round(number, signed, {e.id: a.placement[1] for e, a in zip(exchanges, part, strict=True)}, entry)
        places = tuple(Placed(e.id, first + i, pieces[first + i] if pieces else 0) for i, e in enumerate(exchanges))
        judged = tuple(
            Judged(e.id, a.records is not None, records=a.records.encode() if a.records is not None else None)
            for e, a in zip(exchanges, part, strict=True)
        )
        if number <= settled:
            chain = replace(chain, last_link=part[-1].response.link, length=first + len(part))
            store.settle(Settlement(number, block_hash(block), 1.0, judged, (Miner(hotkey),), (chain,), places))
        else:  # placed by a later round's settlement, not judged yet
            with store._db.transaction() as db:
                db.executemany(
                    "UPDATE exchanges SET position = ?, piece = ? WHERE id = ?",
                    [(p.position, p.piece, p.exchange) for p in places],
                )
    return hotkey


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    yield made
    made.close()


def accuser_of(store, world):
    return Accuser(store, Maker(world.manifest, world.validator, world.software))


def test_stored_answers_of_a_cheat_become_a_bundle_that_a_stranger_verifies(store):
    world, kept, _ = caught()
    hotkey = fill(store, world, kept)
    bundle, pending = accuser_of(store, world).evidence(hotkey, bench_of(world))
    assert bundle is not None and not pending
    report = verified(bundle)
    assert report.result is Result.FOLLOWS and report.verdict == Verdict.INCONSISTENT.value
    assert bundle.bundle.netuid == NETUID and bundle.bundle.rounds, "with the rounds that fixed the answers"
    assert bundle.bundle.software == world.software


def test_an_honest_miners_answers_give_no_bundle(store):
    world = World()
    hotkey = fill(store, world, world.answers(count=8))
    assert accuser_of(store, world).evidence(hotkey, bench_of(world)) == (None, False)


def test_what_was_used_once_accuses_no_second_time(store):
    world, kept, _ = caught()
    hotkey = fill(store, world, kept)
    store.update_miners((), meta=used_evidence(hotkey, [store.newest_piece(hotkey)]), new_piece=hotkey)
    assert accuser_of(store, world).evidence(hotkey, bench_of(world)) == (None, False)
    assert store.newest_piece(hotkey) == (world.epoch, 1)
    assert used_evidence(hotkey, []) == {f"accused:{hotkey}": f"{0:020}:{0:010}"}


def test_answers_of_an_open_round_are_waited_for_only_where_the_rest_does_not_convict(store):
    world, kept, _ = caught()
    hotkey = fill(store, world, kept, settled=len(kept) // ROUND_SIZE - 1)
    bundle, _ = accuser_of(store, world).evidence(hotkey, bench_of(world))
    assert bundle is not None and verified(bundle).result is Result.FOLLOWS
    assert len(bundle.bundle.links) <= len(kept) - ROUND_SIZE


def test_an_open_round_may_still_bring_evidence(store):
    world = World()
    hotkey = fill(store, world, world.answers(count=8), settled=1)
    assert accuser_of(store, world).evidence(hotkey, bench_of(world)) == (None, True)


def test_a_hole_in_the_chain_gives_no_bundle_and_does_not_stop_older_evidence(store):
    world, kept, _ = caught()
    hotkey = fill(store, world, world.placed([*kept[:8]]), pieces=[0] * 4 + [1] * 4)
    bundle, _ = accuser_of(store, world).evidence(hotkey, bench_of(world))
    assert bundle is None or verified(bundle).result is Result.FOLLOWS


def test_an_answer_that_came_after_its_round_is_shown_without_a_place_in_it(store):
    world, kept, _ = caught()
    on_time = [replace(answer, placement=None) for answer in kept[:3]]
    signed = world.placed(on_time)[0].placement[0]
    leaves = [round_leaf(answer.response.link) for answer in on_time]
    placed = [
        replace(answer, placement=(signed, index, merkle.path(leaves, index))) for index, answer in enumerate(on_time)
    ]
    late = replace(kept[3], placement=(signed, None, ()))
    hotkey = fill(store, world, [*placed, late, *kept[4:]])
    stored = store.chain_answers(hotkey, world.epoch, 0)
    rounds = {number: store.round(number) for number in range(1, 5)}
    made = [accuser_of(store, world)._kept(answer, rounds).placement for answer in stored]
    assert made[:3] == [(signed, index, tuple(merkle.path(leaves, index))) for index in range(3)] and made[3] is None


def resigned(world, answer, **changed):
    return sign_round(replace(answer.placement[0].commitment, **changed), world.validator)


def test_a_round_that_was_fixed_only_at_its_check_block_gives_its_answers_no_place(store):
    """By then the validator knows which answers are checked: it could have left out some after that."""
    world, kept, _ = caught()
    known = [
        replace(a, placement=(resigned(world, a, block=a.plan.block), *a.placement[1:])) if number < 4 else a
        for number, a in enumerate(kept)
    ]
    hotkey = fill(store, world, known)
    rounds = {number: store.round(number) for number in range(1, 5)}
    made = [accuser_of(store, world)._kept(a, rounds) for a in store.chain_answers(hotkey, world.epoch, 0)]
    assert [answer.placement is None for answer in made] == [number < 4 for number in range(len(kept))]


@pytest.mark.parametrize("lost", ["DELETE FROM chains", "UPDATE rounds SET select_hash = NULL"])
def test_answers_whose_handshake_or_selecting_hash_is_gone_give_no_bundle(store, lost):
    world, kept, _ = caught()
    hotkey = fill(store, world, kept)
    with store._db.transaction() as db:
        db.execute(lost)
    assert accuser_of(store, world).evidence(hotkey, bench_of(world)) == (None, False)


def test_evidence_is_used_up_to_the_newest_piece_of_the_newest_epoch():
    assert used_evidence("h", [(3, 9), (4, 0), (2, 1)]) == {"accused:h": f"{4:020}:{0:010}"}


def test_a_bundles_folder_is_made_with_the_folders_above_it(tmp_path):
    _, _, bundle = caught()
    assert write_bundle(tmp_path / "new" / "bundles", bundle).read_bytes() == bundle.to_bytes()


def test_runs_end_at_answers_without_a_judgement_and_the_newest_come_first():
    def answers(*selected):
        return [ChainAnswer(None, value, None) for value in selected]

    lengths = [[a.selected for a in run] for run in judged_runs(answers(True, None, False, True, None, None, True))]
    assert lengths == [[True], [False, True], [True]]
    assert judged_runs(answers(None)) == [] and judged_runs([]) == []


def test_a_bundle_is_written_whole_under_its_digest(tmp_path):
    _, _, bundle = caught()
    path = write_bundle(tmp_path / "bundles", bundle)
    assert path == bundle_path(tmp_path / "bundles", bundle.bundle.digest)
    assert SignedBundle.from_bytes(path.read_bytes()) == bundle
    assert [file.name for file in path.parent.iterdir()] == [f"{bundle.bundle.digest.hex()}.assay"]
    assert write_bundle(tmp_path / "bundles", bundle) == path


def test_an_accusation_with_a_bundle_can_cost_the_bond_and_one_without_never(store):
    world, _, bundle = caught()
    accuser, bench = accuser_of(store, world), bench_of(world)
    hotkey = ss58_address(bytes(world.miner.public_key))
    block = bundle.bundle.last_block + 3
    miner, entries, rows, _ = accuser.accuse(Miner(hotkey, test="{}"), bundle, bench, block)
    [case] = standing_of(miner).cases
    assert is_out(miner) and case.portable and case.bundle == bundle.bundle.digest and case.forfeits_at == block + 10
    assert case.opinions[0].stake == 7 and case.accuser == bench.validator
    assert rows == (Bundle(case.bundle, hotkey, world.validator.ss58_address, block, Verdict.INCONSISTENT),)
    assert bundle_path(store.folder / "bundles", case.bundle).is_file()
    first = entries[0]
    assert (first.kind, first.reason, first.digest) == (EntryKind.ACCUSATION, Reason.ACCUSED, case.bundle)
    assert first.block == block and first.author == bench.validator and first.subject == bytes(world.miner.public_key)

    local, entries, rows, _ = accuser.accuse(Miner(hotkey, test="{}"), None, bench, block)
    [case] = standing_of(local).cases
    assert is_out(local) and not case.portable and case.forfeits_at is None and rows == ()
    assert entries[0].digest == case.bundle and len(case.bundle) == 32
    other, _, _, _ = accuser.accuse(Miner(hotkey, test='{"x": 1}'), None, bench, block)
    assert standing_of(other).cases[0].bundle != case.bundle


def test_an_old_bundle_of_a_punished_offence_opens_no_second_case(store):
    world, _, bundle = caught()
    accuser, bench = accuser_of(store, world), bench_of(world)
    hotkey = ss58_address(bytes(world.miner.public_key))
    block = bundle.bundle.last_block + 3
    once, _, _, _ = accuser.accuse(Miner(hotkey), None, bench, block)
    twice, entries, _, _ = accuser.accuse(once, bundle, bench, block + 1)
    assert len(standing_of(twice).cases) == 1 and len(standing_of(twice).waiting) == 1
    assert [e.kind for e in entries] == [EntryKind.ACCUSATION]
