from hypothesis import given
from hypothesis import strategies as st

from subnet.validator.questions import choose, synthetic


def words(conversation):
    return tuple(range(len(conversation.question.split())))


@given(st.sets(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=20), st.integers(1, 7))
def test_everybody_has_a_turn_when_only_some_are_asked(hotkeys, sample):
    rounds = -(-len(hotkeys) // sample) + 1
    seen = set()
    for number in range(rounds):
        chosen = choose(list(hotkeys), number, sample)
        assert len(set(chosen)) == len(chosen) == min(sample, len(hotkeys))
        seen.update(chosen)
    assert seen == hotkeys


def test_questions_follow_from_the_seed_and_keep_their_limits():
    first = synthetic(3, b"s" * 32, 4, words, prompt_tokens=40, max_tokens=24)
    assert first == synthetic(3, b"s" * 32, 4, words, prompt_tokens=40, max_tokens=24)
    assert first != synthetic(3, b"t" * 32, 4, words, prompt_tokens=40, max_tokens=24)
    assert len(first) == 4 and len({q.label for q in first}) == 4
    assert all(len(q.prompt) <= 40 and q.max_tokens <= 24 for q in first)


def test_prompts_that_never_fit_end_the_search():
    assert synthetic(1, b"s" * 32, 2, lambda c: (0,) * 99, prompt_tokens=10, max_tokens=8) == ()
