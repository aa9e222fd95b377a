"""Scores of small rounds, worked out by hand, and the edges of what the rules allow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reward.scores import (
    RoundScore,
    Sample,
    ScoreBook,
    ScoringRules,
    Standing,
    delivered_value,
    odd_prompts,
    retain,
    score_round,
    trimmed_mean,
    update,
    weighted_quantile,
    window_of,
)
from subnet.errors import RewardError

RULES = ScoringRules()
FAST = Sample("fast", "p", 100, True, 0.8, 10, 0.0, 0.5, 1.0, ((0.5, 2), (1.0, 10)))
"""Two tokens at 0.5 s, eight more at 1 s."""
SLOW = Sample("slow", "p", 100, True, 0.4, 10, 10.0, 12.0, 12.0)
"""All ten tokens after 2 s."""
LOST = Sample("slow", "q", 100, False)


def graded(hotkey: str, prompt: str, quality: float | None) -> Sample:
    return Sample(hotkey, prompt, 10, True, quality, 10, 0.0, 1.0, 1.0)


def test_every_term_of_a_small_round_is_what_the_formulas_say():
    """A fifth of the usual ten tokens came within 0.5 s: that is the window, and lateness counts to the power 4."""
    scores, reference = score_round([FAST, SLOW, LOST], RULES, reference=0.5)
    assert reference == pytest.approx(0.8)
    assert scores["fast"] == RoundScore(
        "fast", 1, 1, quality=0.8, speed=1.0, reliability=1.0, raw=0.8, normalised=1.0, tokens_per_second=10.0,
        rate=5.0, best_rate=5.0, window_seconds=0.5, first_token_seconds=0.5, odd_prompts=0, slashed=False,
    )  # fmt: skip
    raw = 0.2 * (0.078125 / 5) * 0.25
    assert scores["slow"] == RoundScore(
        "slow", 2, 1, quality=pytest.approx(0.2), speed=pytest.approx(0.078125 / 5), reliability=0.25,
        raw=pytest.approx(raw), normalised=pytest.approx(raw / 0.8), tokens_per_second=5.0, rate=0.078125,
        best_rate=5.0, window_seconds=0.5, first_token_seconds=2.0, odd_prompts=0, slashed=False,
    )  # fmt: skip


def test_the_best_of_earlier_rounds_fades_by_a_hundredth_a_round():
    scores, reference = score_round([FAST, SLOW], RULES, reference=1.0)
    assert reference == pytest.approx(0.99) and scores["fast"].normalised == pytest.approx(0.8 / 0.99)
    assert score_round([], RULES, reference=1.0) == ({}, 0.99)


def test_a_slashed_miner_has_no_raw_score_and_does_not_become_the_reference():
    scores, reference = score_round([FAST, SLOW, replace(SLOW, hotkey="third")], RULES, 0.0, frozenset({"fast"}))
    assert (scores["fast"].raw, scores["fast"].normalised, scores["fast"].slashed) == (0.0, 0.0, True)
    assert scores["slow"].best_rate == scores["slow"].rate and scores["slow"].speed == 1.0
    assert reference == pytest.approx(0.4) and not scores["slow"].slashed


def test_where_only_one_miner_is_not_slashed_its_speed_is_its_last_one():
    scores, _ = score_round([FAST, SLOW], RULES, 0.0, frozenset({"fast"}), {"slow": 0.3})
    assert scores["slow"].speed == 0.3


def test_a_round_moves_the_score_by_a_tenth_and_the_prior_fades_with_it():
    book = ScoreBook({"fast": Standing(0.5, 3, 7, borrowed=0.1), "idle": Standing(0.4, 2, 2)}, 0.5, 11)
    after = update(book, [FAST, SLOW, LOST], RULES)
    scores, _ = score_round([FAST, SLOW, LOST], RULES, 0.5)
    assert after.standings["fast"] == Standing(
        pytest.approx(0.55), 4, 8, last=scores["fast"], borrowed=pytest.approx(0.09)
    )
    assert after.standings["slow"] == Standing(
        pytest.approx(0.18 + 0.1 * scores["slow"].normalised), 1, 1, last=scores["slow"], borrowed=pytest.approx(0.18)
    )
    assert after.standings["idle"] == Standing(0.4, 2, 2)
    assert (after.reference, after.rounds) == (pytest.approx(0.8), 12)


def test_slashing_takes_score_and_prior_and_a_pardon_gives_neither_back():
    book = ScoreBook({"a": Standing(0.7, 3, 4, borrowed=0.2), "b": Standing(0.6, 3, 4, True, None, 0.2)})
    after = update(book, [], RULES, frozenset({"a", "new"}))
    assert after.standings["a"] == Standing(0.0, 3, 4, slashed=True)
    assert after.standings["new"] == Standing(0.0, slashed=True)
    assert after.standings["b"] == Standing(0.0, 3, 4, slashed=False)


def test_a_slashed_miner_that_answers_stays_at_zero_and_its_answers_are_counted():
    after = update(ScoreBook({"fast": Standing(0.7, 3, 4)}), [FAST, SLOW], RULES, frozenset({"fast"}))
    standing = after.standings["fast"]
    assert (standing.score, standing.slashed, standing.rounds, standing.answered) == (0.0, True, 4, 5)


@pytest.mark.parametrize(
    ("standing", "paid"),
    [
        (Standing(0.5, 1, 1), 0.5),
        (Standing(0.5, 1, 0), 0.0),
        (Standing(0.5, 1, 1, slashed=True), 0.0),
        (Standing(0.5, 1, 1, borrowed=0.2), 0.3),
        (Standing(0.1, 1, 1, borrowed=0.2), 0.0),
    ],
)
def test_only_what_an_unslashed_miner_earned_by_an_answer_is_paid(standing, paid):
    assert standing.payable == pytest.approx(paid)


def test_a_book_keeps_its_standings_whatever_becomes_of_what_it_was_made_of():
    given = {"a": Standing(0.5, 1, 1)}
    book = ScoreBook(given)
    given["a"] = Standing(0.9, 1, 1)
    assert book.standings["a"].score == 0.5
    with pytest.raises(TypeError):
        book.standings["a"] = Standing(0.9, 1, 1)


def test_those_who_left_are_forgotten_unless_they_are_slashed():
    book = ScoreBook({"here": Standing(0.1), "left": Standing(0.2), "out": Standing(0.0, slashed=True)}, 0.3, 4)
    assert retain(book, ["here"]) == ScoreBook({"here": Standing(0.1), "out": Standing(0.0, slashed=True)}, 0.3, 4)


def test_a_prompt_is_odd_below_half_of_the_usual_quality_and_not_at_half():
    usual = [graded(name, label, 0.8) for name in "abc" for label in "pq"]
    for quality, odd in ((0.4, frozenset()), (0.39, frozenset({"r"}))):
        assert odd_prompts([*usual, *(graded(name, "r", quality) for name in "abc")], RULES) == odd


def test_a_prompt_is_odd_only_where_three_miners_answered_it():
    usual = [graded(name, label, 0.8) for name in "abc" for label in "pq"]
    twice = [graded(name, "r", 0.1) for name in "aabb"]
    assert odd_prompts([*usual, *twice], RULES) == frozenset()
    unscored = [graded("c", "r", None), Sample("d", "r", 10, False)]
    assert odd_prompts([*usual, *twice, *unscored], RULES) == frozenset()
    assert odd_prompts([*usual, *twice, graded("c", "r", 0.1)], RULES) == {"r"}


def test_two_prompts_are_enough_to_call_one_odd_and_one_is_not():
    round_ = [graded(name, label, quality) for name in "abc" for label, quality in (("p", 0.8), ("q", 0.1))]
    assert odd_prompts(round_, RULES) == {"q"}
    assert odd_prompts([sample for sample in round_ if sample.prompt == "q"], RULES) == frozenset()
    assert odd_prompts([], RULES) == frozenset()


def test_a_miner_that_was_asked_odd_prompts_alone_is_judged_by_them():
    usual = [graded(name, label, 0.8) for name in "abc" for label in "pq"]
    odd = [graded(name, "r", 0.1) for name in "abcd"]
    scores, _ = score_round([*usual, *odd], RULES)
    assert scores["d"].quality == 0.1 and scores["d"].odd_prompts == 1
    assert scores["a"].quality == 0.8 and scores["a"].odd_prompts == 1


def test_an_odd_prompt_costs_nothing_where_there_are_too_few_answers_to_trim():
    usual = [graded(name, label, 0.8) for name in "abc" for label in "pq"]
    odd = [graded(name, "r", 0.1) for name in "abcd"]
    scores, _ = score_round([*usual, *odd, graded("d", "p", 0.8)], RULES)
    assert scores["d"].quality == 0.8


def test_tokens_a_second_are_over_the_longest_answer():
    scores, _ = score_round([FAST, replace(FAST, finished_at=4.0)], RULES)
    assert scores["fast"].tokens_per_second == 5.0


def test_the_mean_is_trimmed_from_three_values_on():
    assert trimmed_mean([0.9, 0.1, 0.7, 0.5]) == pytest.approx(0.6)
    assert trimmed_mean([0.9, 0.1, 0.3]) == 0.3
    assert trimmed_mean([0.9, 0.1]) == 0.5 and trimmed_mean([0.9]) == 0.9 and trimmed_mean([]) == 0.0


def test_the_quantile_is_the_first_value_that_reaches_the_share_of_the_weight():
    assert weighted_quantile([(3.0, 2.0), (1.0, 1.0), (2.0, 1.0)], 0.5) == 2.0
    assert weighted_quantile([(3.0, 2.1), (1.0, 1.0), (2.0, 1.0)], 0.5) == 3.0
    assert weighted_quantile([(0.0, 0.0), (5.0, 1.0)], 0.0) == 5.0
    assert weighted_quantile([], 0.5) is None and weighted_quantile([(1.0, 0.0)], 0.5) is None


def test_the_window_counts_a_miners_answers_together_in_the_order_of_their_tokens():
    later = Sample("a", "p", 1, True, None, 9, 0.0, 3.0, 4.0, ((3.0, 1),))
    first = Sample("a", "q", 1, True, None, 1, 0.0, 1.0, 1.0)
    assert window_of([later, first], 0.2) == 3.0
    assert window_of([later, first], 0.1) == 1.0
    assert window_of([], 0.2) == 0.0 and window_of([LOST], 0.2) == 0.0


def test_a_token_within_the_window_counts_in_full_and_one_after_two_windows_a_sixteenth():
    assert delivered_value([SLOW], 2.0, RULES) == 10.0
    assert delivered_value([SLOW], 4.0, RULES) == 10.0
    assert delivered_value([SLOW], 1.0, RULES) == 10 / 16
    assert delivered_value([FAST, SLOW], 1.0, RULES) == 10 + 10 / 16


def test_an_answer_that_takes_no_time_has_finite_rates():
    at_once = Sample("a", "p", 1, True, 0.5, 10, 5.0, 5.0, 5.0)
    scores, _ = score_round([at_once], RULES)
    assert scores["a"].first_token_seconds == 1e-4 and scores["a"].tokens_per_second == 10_000.0
    assert scores["a"].window_seconds == 1e-6


def test_an_empty_answer_has_no_speed_and_no_time():
    empty = Sample("a", "p", 1, True, 0.5, 0, 0.0, None, 9.0)
    scores, reference = score_round([empty], RULES)
    assert (scores["a"].speed, scores["a"].rate, scores["a"].tokens_per_second) == (0.0, 0.0, 0.0)
    assert (scores["a"].first_token_seconds, scores["a"].normalised, reference) == (None, 0.0, 0.0)
    both, _ = score_round([replace(FAST, hotkey="a"), empty], RULES)
    assert both["a"].tokens_per_second == 10.0


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("step", (0.01, 1.0), (0.0, 1.01)),
        ("prior", (0.0, 1.0), (-0.01, 1.01)),
        ("window_share", (0.01, 0.99), (0.0, 1.0)),
        ("lateness_power", (1.01, 8.0), (1.0, 8.01)),
        ("lone_speed", (0.0, 1.0), (-0.01, 1.01)),
        ("reliability_power", (1.0, 9.0), (0.99,)),
        ("reference_decay", (0.0, 1.0), (-0.01, 1.01)),
        ("odd_prompt_ratio", (0.0, 1.0), (-0.01, 1.01)),
        ("odd_prompt_answers", (2, 9), (1,)),
    ],
)
def test_rules_are_allowed_up_to_their_bounds_and_refused_beyond(name, allowed, refused):
    for value in allowed:
        assert getattr(replace(RULES, **{name: value}), name) == value
    for value in refused:
        with pytest.raises(RewardError, match=name):
            replace(RULES, **{name: value})


@pytest.mark.parametrize(
    "changed",
    [
        {"work": 1},
        {"quality": 0.0},
        {"quality": 1.0},
        {"quality": None},
        {"finished_at": 0.0},
        {"tokens": 0, "arrivals": ()},
        {"arrivals": ((0.1, 0), (0.2, 10))},
        {"answered": False, "tokens": 0, "arrivals": (), "sent_at": 3.0},
    ],
)
def test_samples_at_the_edge_of_what_can_happen_are_taken(changed):
    assert replace(FAST, **changed).hotkey == "fast"


@pytest.mark.parametrize(
    "changed",
    [
        {"work": 0},
        {"quality": -0.01},
        {"quality": 1.01},
        {"finished_at": -0.01},
        {"sent_at": float("-inf")},
        {"answered": True, "tokens": -1, "arrivals": ()},
        {"answered": False},
        {"arrivals": ((0.1, -1),)},
        {"arrivals": ((0.1, 2), (0.2, 11))},
    ],
)
def test_samples_beyond_what_can_happen_are_refused(changed):
    with pytest.raises(RewardError):
        replace(FAST, **changed)
