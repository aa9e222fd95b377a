"""The pure parts of rounds; what they do together is tested with real processes in tests/neurons."""

from subnet.protocol import derive_seed
from subnet.validator.judge import Case
from subnet.validator.rounds import examinee, scored_of
from tests.validator.answers import FakeMiner
from tests.validator.test_suspicion import dropped


def test_scored_answers_are_few_fixed_by_a_later_block_and_never_prefixes():
    miners = [FakeMiner(name) for name in ("Ann", "Ben")]
    cases = [Case(miner.exchange(10 * i + n), True, None) for i, miner in enumerate(miners) for n in range(6)]
    cases.append(dropped(miners[0], 99))
    chosen = scored_of(cases, b"h" * 32, 2)
    assert len(chosen) == 4 and len([n for n in chosen if n < 10]) == 2 and 99 not in chosen
    assert chosen == scored_of(list(reversed(cases)), b"h" * 32, 2)
    others = {scored_of(cases, bytes([salt]) * 32, 2) for salt in range(20)}
    assert len(others) > 5, "which ones depends on the block"
    assert scored_of(cases, b"h" * 32, 64) == frozenset(range(6)) | frozenset(range(10, 16))


def test_a_prefix_is_examined_with_the_secret_that_was_opened_and_not_scored():
    case = dropped(FakeMiner("Ann"), 1, tokens=(7, 8))
    item = examinee(case, True)
    assert item.partial and item.replay and not item.score and item.tokens == (7, 8)
    assert item.seed == derive_seed(case.exchange.asked.request.digest, b"s" * 32)
    whole = examinee(Case(FakeMiner("Ben").exchange(1), False, None), False)
    assert not whole.partial and not whole.replay and not whole.score and whole.tokens == (7, 8, 9, 10)
