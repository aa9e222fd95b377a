"""Scores: bounds, monotonicity, independence of order, and the attacks on them by name."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward.scores import (
    Sample,
    ScoreBook,
    ScoringRules,
    Standing,
    busy_seconds,
    odd_prompts,
    retain,
    score_round,
    trimmed_mean,
    update,
)
from reward.weights import WeightRules, weights
from subnet.errors import RewardError

RULES = ScoringRules()


def answer(
    hotkey: str, quality: float | None = 0.8, rate: float = 50.0, wait: float = 0.2, prompt: str = "p", **changed
):
    """A sample of 100 tokens at `rate` tokens a second, first token after `wait` seconds."""
    fields = {
        "hotkey": hotkey,
        "prompt": prompt,
        "work": 150,
        "answered": True,
        "quality": quality,
        "tokens": 100,
        "sent_at": 0.0,
        "first_token_at": wait,
        "finished_at": 100.0 / rate,
    }
    return Sample(**{**fields, **changed})


def missing(hotkey: str, work: int = 150, prompt: str = "p") -> Sample:
    return Sample(hotkey, prompt, work, answered=False)


HOTKEYS = st.sampled_from(["alice", "bob", "carol", "dave", "erin"])


@st.composite
def samples(draw) -> Sample:
    hotkey = draw(HOTKEYS)
    prompt = draw(st.sampled_from(["p", "q", "r"]))
    work = draw(st.integers(1, 4000))
    if not draw(st.booleans()):
        return Sample(hotkey, prompt, work, answered=False)
    sent = draw(st.floats(0, 1e4))
    took = draw(st.floats(0, 1e3))
    return Sample(
        hotkey,
        prompt,
        work,
        True,
        draw(st.none() | st.floats(0, 1)),
        draw(st.integers(0, 4096)),
        sent,
        draw(st.none() | st.floats(0, took).map(lambda share: sent + share)),
        sent + took,
    )


ROUNDS = st.lists(samples(), max_size=25)


@given(ROUNDS, st.frozensets(HOTKEYS), st.floats(0, 1))
def test_every_term_is_in_bounds(round_, slashed, reference):
    scores, after = score_round(round_, RULES, reference, slashed)
    assert 0.0 <= after <= 1.0
    assert set(scores) == {sample.hotkey for sample in round_}
    for result in scores.values():
        terms = (result.quality, result.speed, result.reliability, result.raw, result.normalised)
        assert all(0.0 <= term <= 1.0 for term in terms), result
        assert result.hotkey not in slashed or result.normalised == 0.0


@given(ROUNDS, st.randoms(use_true_random=False))
def test_order_of_samples_does_not_matter(round_, stream):
    mixed = list(round_)
    stream.shuffle(mixed)
    assert score_round(mixed, RULES) == score_round(round_, RULES)


@given(st.lists(ROUNDS, max_size=6), st.frozensets(HOTKEYS))
def test_unqueried_hotkeys_keep_their_standing(rounds, slashed):
    book = ScoreBook({"zoe": Standing(0.37, 4, 9)})
    for round_ in rounds:
        before = dict(book.standings)
        queried = {sample.hotkey for sample in round_}
        book = update(book, round_, RULES, slashed)
        for hotkey, standing in before.items():
            if hotkey not in queried | slashed:
                assert book.standings[hotkey] == standing
        assert all(0.0 <= standing.score <= 1.0 for standing in book.standings.values())
    assert book.standings["zoe"] == Standing(0.37, 4, 9)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1, 200), st.floats(1, 200))
def test_better_quality_and_speed_never_lower_the_score(low, high, slow, fast):
    low, high = sorted((low, high))
    slow, fast = sorted((slow, fast))
    others = [answer("bob", 0.6, 40), answer("carol", 0.5, 60), answer("dave", 0.7, 50)]
    worse, _ = score_round([answer("alice", low, slow), *others], RULES)
    better, _ = score_round([answer("alice", high, fast), *others], RULES)
    assert better["alice"].quality >= worse["alice"].quality
    # The round's median moves with the miner itself, so speed is compared against the same three others.
    assert better["alice"].speed >= worse["alice"].speed - 1e-12


@given(st.integers(0, 10), st.integers(0, 10))
def test_more_missing_answers_never_raise_reliability(few, more):
    few, more = sorted((few, more))
    results = []
    for count in (few, more):
        round_ = [answer("alice") for _ in range(5)] + [missing("alice") for _ in range(count)]
        results.append(score_round(round_, RULES)[0]["alice"].reliability)
    assert results[1] <= results[0]


def test_refuses_adversary_who_answers_only_cheap_requests_earns_less():
    honest = [answer("honest", work=work) for work in (100, 100, 4000)]
    picky = [answer("picky", work=100), answer("picky", work=100), missing("picky", work=4000)]
    scores, _ = score_round(honest + picky, RULES)
    # It served two thirds of the requests but under a twentieth of the work.
    assert scores["picky"].reliability < 0.01
    assert scores["picky"].normalised < 0.05 * scores["honest"].normalised


def test_offline_miner_scores_zero_and_decays_from_its_old_score():
    book = ScoreBook({"alice": Standing(0.8, 10, 10)}, reference=0.5)
    book = update(book, [missing("alice"), answer("bob")], RULES)
    assert book.standings["alice"].score == pytest.approx(0.8 * (1 - RULES.step))
    assert book.standings["alice"].last.raw == 0.0


def test_slow_miner_is_scored_down_but_not_to_zero():
    scores, _ = score_round([answer("slow", rate=10), answer("a"), answer("b"), answer("c")], RULES)
    assert 0.0 < scores["slow"].speed < scores["a"].speed
    assert scores["slow"].quality == scores["a"].quality


def test_speed_beyond_the_cap_earns_nothing_more():
    others = [answer("a"), answer("b"), answer("c"), answer("d")]
    fast, _ = score_round([answer("x", rate=50 * RULES.speed_cap, wait=0.1), *others], RULES)
    faster, _ = score_round([answer("x", rate=50_000, wait=0.001), *others], RULES)
    assert fast["x"].speed == pytest.approx(faster["x"].speed)


def test_sybil_splitting_one_machine_over_hotkeys_gains_nothing():
    """Hotkeys on one machine share its throughput; below the cap their weights together are those of one, or less."""
    others = [answer(name, rate=60) for name in ("a", "b", "c", "d", "e", "f", "g", "h", "i")]
    for parts in (2, 3, 5):
        alone, _ = score_round([answer("x", rate=60), *others], RULES)
        shared, _ = score_round([*(answer(f"x{i}", rate=60 / parts) for i in range(parts)), *others], RULES)
        one = alone["x"].raw
        many = sum(shared[f"x{i}"].raw for i in range(parts))
        assert many <= one * (1 + 1e-9), (parts, many, one)
        power = WeightRules().power
        total = 9 * alone["a"].raw ** power
        share_one = one**power / (one**power + total)
        earned = sum(shared[f"x{i}"].raw ** power for i in range(parts))
        share_many = earned / (earned + 9 * shared["a"].raw ** power)
        assert share_many < 0.75 * share_one


def test_sybil_splitting_pays_without_the_linear_speed_term():
    """The attack, without the defence: were speed capped at the median, two slow hotkeys would earn twice."""
    flat = replace(RULES, speed_cap=1.0)
    others = [answer(name, rate=20) for name in ("a", "b", "c", "d", "e")]
    alone, _ = score_round([answer("x", rate=60), *others], flat)
    shared, _ = score_round([answer("x0", rate=30), answer("x1", rate=30), *others], flat)
    assert shared["x0"].raw + shared["x1"].raw > 1.9 * alone["x"].raw


def test_concurrent_requests_are_counted_once_in_throughput():
    together = [answer("x", sent_at=0.0, finished_at=4.0, first_token_at=0.2) for _ in range(4)]
    apart = [answer("y", sent_at=4.0 * i, finished_at=4.0 * i + 4.0, first_token_at=4.0 * i + 0.2) for i in range(4)]
    scores, _ = score_round(together + apart, RULES)
    assert scores["x"].tokens_per_second == pytest.approx(100.0)
    assert scores["y"].tokens_per_second == pytest.approx(25.0)


def test_bad_prompts_one_odd_prompt_moves_no_score():
    """A validator's odd prompt that every model answers badly must not cost anybody."""
    usual = [answer(name, 0.8, prompt=label) for name in "abcd" for label in ("p", "q", "r")]
    odd = [answer(name, 0.02, prompt="odd") for name in "abcd"]
    without, _ = score_round(usual, RULES)
    having, _ = score_round(usual + odd, RULES)
    assert odd_prompts(usual + odd, RULES) == {"odd"}
    for name in "abcd":
        assert having[name].quality == without[name].quality
        assert having[name].odd_prompts == 1


def test_bad_prompts_an_odd_prompt_for_one_miner_is_trimmed():
    """Asked of one miner only, an odd prompt cannot be told from a bad answer; trimming bounds what it does."""
    usual = [answer("a", 0.8, prompt=str(i)) for i in range(5)]
    scores, _ = score_round([*usual, answer("a", 0.0, prompt="odd")], RULES)
    assert scores["a"].quality == pytest.approx(0.8)


def test_one_bad_miner_does_not_make_a_prompt_odd():
    round_ = [answer(name, 0.8, prompt=label) for name in "abc" for label in ("p", "q")]
    round_ += [answer("bad", 0.0, prompt=label) for label in ("p", "q")]
    assert odd_prompts(round_, RULES) == frozenset()
    assert score_round(round_, RULES)[0]["bad"].quality == 0.0


def test_miner_queried_alone_is_not_the_best_by_default():
    book = update(ScoreBook(), [answer("good", 0.9), answer("poor", 0.1)], RULES)
    alone, _ = score_round([answer("poor", 0.1)], RULES, book.reference)
    assert alone["poor"].normalised < 0.2


def test_slashed_miner_earns_zero_and_returns_from_zero():
    book = ScoreBook({"x": Standing(0.9, 50, 100)}, reference=0.4)
    book = update(book, [answer("x"), answer("y")], RULES, frozenset({"x"}))
    assert book.standings["x"].score == 0.0
    assert book.standings["x"].payable == 0.0
    book = update(book, [answer("y")], RULES)
    assert not book.standings["x"].slashed
    assert book.standings["x"].score == 0.0
    book = update(book, [answer("x"), answer("y")], RULES)
    assert 0.0 < book.standings["x"].score <= RULES.step


def test_slashed_miners_do_not_set_the_pace():
    """A cheat that answers at once, with garbage, must not make the honest look slow."""
    honest = [answer(name, rate=50) for name in "abc"]
    cheats = [answer(f"cheat{i}", rate=5000, wait=0.001) for i in range(5)]
    clean, _ = score_round(honest, RULES)
    mixed, _ = score_round(honest + cheats, RULES, slashed=frozenset(f"cheat{i}" for i in range(5)))
    assert mixed["a"].speed == clean["a"].speed


def test_hotkey_swap_inherits_nothing():
    book = ScoreBook({"old": Standing(0.9, 50, 100)}, reference=0.4)
    book = retain(book, ["new", "other"])
    assert "old" not in book.standings
    assert book.standing("new", RULES) == Standing(RULES.prior)
    assert book.standing("new", RULES).payable == 0.0


def test_slashed_hotkey_that_registers_again_is_remembered():
    book = ScoreBook({"x": Standing(0.0, 5, 5, slashed=True)})
    book = retain(retain(book, []), ["x"])
    assert book.standings["x"].slashed


def test_new_hotkey_is_paid_only_after_its_first_answer():
    book = update(ScoreBook(), [missing("x"), answer("y")], RULES)
    assert book.standings["x"].score > 0.0
    assert weights(book, {"x": 0, "y": 1}, WeightRules()).shares[0] == 0.0


def test_quality_of_an_abstention_says_nothing():
    scores, _ = score_round([answer("x", 0.8), answer("x", None), answer("y", 0.8)], RULES)
    assert scores["x"].quality == scores["y"].quality


@pytest.mark.parametrize(
    "broken",
    [
        {"work": 0},
        {"quality": 1.5},
        {"finished_at": -1.0},
        {"tokens": -1},
        {"answered": False},
    ],
)
def test_impossible_samples_are_refused(broken):
    with pytest.raises(RewardError):
        answer("x", **broken)


@pytest.mark.parametrize("broken", [{"step": 0.0}, {"prior": 2.0}, {"speed_cap": 0.5}, {"reliability_power": 0.5}])
def test_impossible_rules_are_refused(broken):
    with pytest.raises(RewardError):
        replace(RULES, **broken)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted), max_size=8))
def test_busy_time_is_between_the_longest_span_and_the_sum(spans):
    total = busy_seconds([(a, b) for a, b in spans])
    lengths = [b - a for a, b in spans]
    assert max(lengths, default=0.0) - 1e-9 <= total <= sum(lengths) + 1e-9


@given(st.lists(st.floats(0, 1), min_size=1))
def test_trimmed_mean_lies_within_the_values(values):
    assert min(values) - 1e-12 <= trimmed_mean(values) <= max(values) + 1e-12


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_moving_average_settles_at_the_miner_s_level(seed):
    stream = random.Random(seed)
    book = ScoreBook()
    for _ in range(80):
        good = [answer("good", stream.uniform(0.7, 0.9)) for _ in range(4)]
        poor = [answer("poor", stream.uniform(0.2, 0.4)) for _ in range(4)]
        book = update(book, good + poor, RULES)
    assert book.standings["good"].score > 0.85
    assert 0.2 < book.standings["poor"].score < 0.6
