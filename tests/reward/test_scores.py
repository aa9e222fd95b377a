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
    delivered_value,
    newcomer,
    odd_prompts,
    retain,
    score_round,
    trimmed_mean,
    update,
    window_of,
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


def machine(parts: int, loads: list[tuple[int, int]], rate: float, prefill: float, order: str, window: float = 0.0):
    """Answers of one machine behind `parts` hotkeys. loads: (tokens, hotkey) of each request, all asked at time 0.

    It makes `rate` tokens a second in all, whatever it does with them: "fair" gives every open request its share,
    "queue" serves one request after another, "first" serves the requests of one hotkey before the next one's.
    """
    queue = sorted(loads, key=lambda load: load[1] % parts) if order == "first" else list(loads)
    now, made, arrivals = prefill, [0] * len(queue), [[] for _ in queue]
    while any(count < load[0] for count, load in zip(made, queue, strict=True)):
        unfinished = [i for i, load in enumerate(queue) if made[i] < load[0]]
        for i in unfinished if order == "fair" else unfinished[:1]:
            now += 1 / rate
            made[i] += 1
            arrivals[i].append((now, made[i]))
    return [
        answer(
            f"x{hotkey % parts}", tokens=tokens, first_token_at=came[0][0], finished_at=came[-1][0],
            arrivals=tuple(came), prompt=f"{i}",
        )
        for i, ((tokens, hotkey), came) in enumerate(zip(queue, arrivals, strict=True))
    ]  # fmt: skip


def share_of(round_: list[Sample], prefix: str) -> float:
    """The share of the weights of all hotkeys that begin with `prefix`, after rounds like this one."""
    book = ScoreBook()
    for _ in range(2):
        book = update(book, round_, RULES)
    uids = {hotkey: uid for uid, hotkey in enumerate(sorted(book.standings))}
    vector = weights(book, uids, WeightRules())
    shares = dict(zip(vector.uids, vector.shares, strict=True))
    return sum(shares[uid] for hotkey, uid in uids.items() if hotkey.startswith(prefix))


@settings(max_examples=60)
@given(
    st.integers(2, 6),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60)), min_size=1, max_size=10),
    st.floats(5, 400),
    st.floats(0, 1),
    st.sampled_from(["fair", "queue", "first"]),
)
def test_sybil_hotkeys_of_one_machine_earn_no_more_than_one_hotkey_with_their_load(parts, loads, rate, prefill, order):
    """However the machine arranges its work: a token's value depends on when it came, not on whose it is."""
    others = [answer(name, rate=60, prompt=label) for name in "abc" for label in "pq"]
    split = machine(parts, loads, rate, prefill, order)
    merged = [replace(sample, hotkey="x") for sample in split]
    window = window_of([*merged, *others], RULES.window_share)
    apart = [delivered_value([s for s in split if s.hotkey == f"x{i}"], window, RULES) for i in range(parts)]
    assert sum(apart) == pytest.approx(delivered_value(merged, window, RULES))
    many, one = share_of([*split, *others], "x"), share_of([*merged, *others], "x")
    assert many <= 1.05 * one


@pytest.mark.parametrize("parts", [2, 4, 8])
@pytest.mark.parametrize("order", ["fair", "queue", "first"])
@pytest.mark.parametrize("rate", [20.0, 60.0, 240.0])
def test_sybil_splitting_a_machine_gains_nothing_even_where_each_hotkey_is_asked_in_full(parts, order, rate):
    """A slow machine, an equal one and a fast one: k hotkeys are asked k times as much, and cannot deliver it."""
    others = [replace(s, hotkey=name) for name in "abcde" for s in machine(1, [(24, 0)] * 16, 60.0, 0.2, "fair")]
    split = machine(parts, [(24, i) for i in range(16 * parts)], rate, 0.2, order)
    alone = machine(1, [(24, 0)] * 16, rate, 0.2, order)
    assert share_of([*split, *others], "x") <= 1.001 * share_of([*alone, *others], "x")


def test_sybil_splitting_pays_where_a_machine_is_not_asked_enough_to_fill_it():
    """The attack that remains: one request a hotkey shows nothing of a machine that does four in the same time."""
    others = [replace(s, hotkey=name) for name in "abcde" for s in machine(1, [(24, 0)], 60.0, 0.2, "fair")]
    split = machine(4, [(24, i) for i in range(4)], 240.0, 0.2, "fair")
    alone = machine(1, [(24, 0)], 60.0, 0.2, "fair")
    assert 2.5 * share_of([*alone, *others], "x") < share_of([*split, *others], "x")


def test_sybil_many_slow_hotkeys_do_not_stretch_the_window():
    """Were the window that of the median hotkey, a majority of slow ones would make everybody else look idle."""
    fast = [answer(name, rate=100, wait=0.1) for name in "ab"]
    slow = [answer(f"x{i}", rate=10, wait=1.0) for i in range(5)]
    scores, _ = score_round(fast + slow, RULES)
    assert scores["a"].window_seconds == pytest.approx(1.0)
    assert scores["x0"].speed < 0.1


def test_sybil_a_short_answer_does_not_shorten_the_window():
    """Nor does a small load: who was asked one word in a round of long answers says nothing about speed."""
    usual = [answer(name, rate=50) for name in "abcd"]
    quick = Sample("x", "p", 150, True, 0.8, 1, 0.0, 0.01, 0.01)
    scores, _ = score_round([*usual, quick], RULES)
    assert scores["a"].window_seconds == pytest.approx(2.0)
    assert scores["x"].speed < 0.05


def test_sybil_new_hotkeys_are_not_paid_for_being_new():
    """The attack: forty hotkeys on one slow machine, each with the score that a new hotkey starts from."""
    others = [answer(name, rate=60) for name in "abcd"]
    sybils = machine(40, [(20, i) for i in range(40)], 60.0, 0.2, "fair")
    book = ScoreBook()
    for _ in range(3):
        book = update(book, [*others, *sybils], RULES)
    paid = sum(s.payable for hotkey, s in book.standings.items() if hotkey.startswith("x"))
    shown = sum(s.score for hotkey, s in book.standings.items() if hotkey.startswith("x"))
    assert shown > 5 * book.standings["a"].payable  # without the defence
    assert paid < 2 * book.standings["a"].payable


def test_tokens_count_when_they_came_not_when_the_answer_was_complete():
    steady = [answer("x", arrivals=tuple((0.02 * n, n) for n in range(1, 101)), finished_at=2.0)]
    at_once = [answer("y", finished_at=2.0)]
    pace = [answer(name, rate=100) for name in "abc"]
    scores, _ = score_round([*steady, *at_once, *pace], RULES)
    assert scores["x"].rate > 1.5 * scores["y"].rate and scores["x"].tokens_per_second == pytest.approx(50.0)


def test_a_round_of_one_miner_says_nothing_about_speed():
    """An organic request is asked alone: it is answered at the load of one and must not cost the miner its speed."""
    book = update(ScoreBook(), [answer("x", rate=60), answer("y", rate=30)], RULES)
    before = book.standings["y"].last.speed
    book = update(book, [answer("y", rate=1)], RULES)
    assert book.standings["y"].last.speed == before
    assert update(ScoreBook(), [answer("z")], RULES).standings["z"].last.speed == RULES.lone_speed


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 2000)), min_size=1, max_size=12), st.integers(0, 2**12))
def test_aborts_a_miner_that_dislikes_its_answers_and_hangs_up_never_gains(answers, dropped):
    """Whichever answers it drops after it has seen them, however cheap they were."""
    others = [answer(name, 0.7, prompt=f"o{i}") for i, name in enumerate("abc")]
    kept = [answer("x", q, work=work, prompt=str(i)) for i, (q, work) in enumerate(answers)]
    some = [missing("x", s.work, s.prompt) if dropped >> i & 1 else s for i, s in enumerate(kept)]
    honest, picky = score_round([*kept, *others], RULES)[0]["x"], score_round([*some, *others], RULES)[0]["x"]
    assert picky.quality <= honest.quality + 1e-12
    assert picky.quality * picky.reliability <= honest.quality * honest.reliability + 1e-12
    assert picky.tokens_per_second <= honest.tokens_per_second + 1e-9


def test_aborts_paid_while_missing_answers_were_left_out_of_the_mean():
    """The attack: three cheap answers that it dislikes are dropped. By the answered ones alone it would look better."""
    kept = [answer("x", 0.1, work=10, prompt=str(i)) for i in range(3)]
    kept += [answer("x", 0.9, work=1000, prompt="long")]
    some = [missing("x", 10, str(i)) for i in range(3)] + kept[3:]
    honest, picky = score_round(kept, RULES)[0]["x"], score_round(some, RULES)[0]["x"]
    answered_only = 0.9 * picky.reliability
    assert answered_only > 3 * honest.quality * honest.reliability
    assert picky.quality * picky.reliability < honest.quality * honest.reliability


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
    assert book.standing("new", RULES) == newcomer(RULES)
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


@pytest.mark.parametrize("broken", [{"step": 0.0}, {"prior": 2.0}, {"lateness_power": 1.0}, {"reliability_power": 0.5}])
def test_impossible_rules_are_refused(broken):
    with pytest.raises(RewardError):
        replace(RULES, **broken)


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
