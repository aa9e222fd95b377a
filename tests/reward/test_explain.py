"""Scores in words, and the command that prints them."""

from __future__ import annotations

import json

import pytest

from reward.__main__ import main
from reward.explain import explain_round, explain_score, explain_standing
from reward.model import Component, RewardScore
from reward.scores import Sample, ScoreBook, ScoringRules, Standing, score_round, update
from reward.weights import WeightRules

RULES, WEIGHTS = ScoringRules(), WeightRules()


def answer(hotkey: str, quality: float = 0.8) -> Sample:
    return Sample(hotkey, "p", 150, True, quality, 100, 0.0, 0.2, 2.0)


def test_score_lists_every_component_with_its_reason():
    text = explain_score(RewardScore(0.25, (Component("novelty", 0.1, "copied"), Component("length", 1.0))))
    assert text.splitlines()[0] == "reward 0.2500"
    assert "novelty" in text
    assert "copied" in text
    assert "length" in text


def test_standing_names_every_term_of_the_formula():
    book = update(ScoreBook(), [answer("x"), answer("x"), answer("x", 0.1), answer("y")], RULES)
    text = explain_standing("x", book, RULES, WEIGHTS, {"x": 3, "y": 4})
    for term in ("quality", "speed", "reliability", "raw", "normalised", "tokens/s", "first token", "weight", "uid 3"):
        assert term in text, term
    assert f"{book.standings['x'].last.raw:.4f}" in text


def test_shares_in_the_text_are_those_of_the_weights():
    book = ScoreBook({"x": Standing(0.5, 1, 1), "y": Standing(0.5, 1, 1)})
    assert "weight: 50.0000%" in explain_standing("x", book, RULES, WEIGHTS, {"x": 0, "y": 1})


@pytest.mark.parametrize(
    ("book", "uids", "expected"),
    [
        (ScoreBook(), {"x": 0}, "never queried"),
        (ScoreBook({"x": Standing(0.0, 2, 2, slashed=True)}), {"x": 0}, "slashed"),
        (ScoreBook({"x": Standing(0.2, 1, 0)}), {"x": 0}, "nothing answered yet"),
        (ScoreBook({"x": Standing(0.2, 1, 1)}), {}, "not registered"),
        (ScoreBook({"x": Standing(0.0, 1, 1)}), {"x": 0}, "no weights are set"),
    ],
)
def test_why_an_incentive_is_zero_is_said(book, uids, expected):
    assert expected in explain_standing("x", book, RULES, WEIGHTS, uids)


def test_a_slashed_round_says_so():
    scores, _ = score_round([answer("x"), answer("y")], RULES, slashed=frozenset({"x"}))
    assert "zero while slashed" in explain_round(scores["x"], RULES)
    assert "slashed" not in explain_round(scores["y"], RULES)


def test_command_prints_a_score_with_its_reasons(capsys, tmp_path):
    question = tmp_path / "question.txt"
    question.write_text("Why is the sky blue?")
    assert main(["--prompt", f"@{question}", "--completion", "Why is the sky blue?", "--reward", "handmade"]) == 0
    text = capsys.readouterr().out
    assert "copied from the prompt" in text
    assert "reward model handmade" in text


def test_command_prints_json(capsys):
    assert main(["--prompt", "Why?", "--completion", "Because of the air.", "--reward", "handmade", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert 0.0 <= shown["reward"] <= 1.0
    assert set(shown["components"]) >= {"relevance", "completeness", "fluency"}


def test_command_says_what_is_wrong(capsys):
    assert main(["--prompt", "a", "--completion", "b", "--reward", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
    assert main(["--prompt", "@/does/not/exist", "--completion", "b", "--reward", "handmade"]) == 2


def test_a_batch_is_scored_line_by_line(tmp_path, capsys):
    file = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": "Why is the sky blue?", "completion": text} for text in ("Because air scatters blue.", "sky sky")
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["--batch", str(file), "--reward", "text"]) == 0
    good, bad = (json.loads(line)["reward"] for line in capsys.readouterr().out.splitlines())
    assert good > bad


def test_batches_that_cannot_be_read_are_refused(tmp_path, capsys):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "only"}\n')
    assert main(["--batch", str(file)]) == 2
    assert "completion" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--prompt", "no completion"])
