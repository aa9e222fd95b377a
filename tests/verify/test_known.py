"""Known answers: what tells a validator that its own replay is broken."""

from dataclasses import replace

import pytest

from subnet.errors import EngineError
from subnet.models import load_model, load_tokenizer
from subnet.models.registry import find_model
from subnet.validator.profiles import profile_of
from subnet.verify.known import FOLDER, KnownAnswers, known_answers, test_replay

MODEL = "smollm2-135m-instruct"
test_replay.__test__ = False


def test_known_answers_survive_being_stored():
    stored = known_answers(find_model(MODEL).manifest)
    assert stored is not None and sum(len(done.tokens) for done in stored.completions) >= 200
    assert KnownAnswers.loads(stored.dumps()) == stored


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"tensor_root": "x", "answers": [{"prompt": 3}]}'])
def test_anything_else_is_refused(text):
    with pytest.raises(EngineError):
        KnownAnswers.loads(text)


def test_both_classes_of_one_checkpoint_share_the_answers():
    assert known_answers(find_model(f"{MODEL}-bf16").manifest) == known_answers(find_model(MODEL).manifest)


def test_the_right_model_gives_them_back_and_one_that_is_wrong_does_not(tmp_path):
    manifest, tokenizer = find_model(MODEL).manifest, load_tokenizer(MODEL)
    profile = profile_of(manifest)
    right = test_replay(load_model(MODEL, "float32", threads=1), tokenizer, manifest, profile)
    assert right.passed and right.tokens >= 200 and right.misses == 0
    stored = known_answers(manifest)
    shifted = replace(stored, jobs=stored.jobs[1:] + stored.jobs[:1])
    (tmp_path / "wrong.json").write_text(shifted.dumps())
    wrong = test_replay(load_model(MODEL, "float32", threads=1), tokenizer, manifest, profile, tmp_path)
    assert not wrong.passed and wrong.reason
    assert known_answers(manifest, FOLDER) == stored
