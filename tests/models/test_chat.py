import pytest

from subnet.models import builtin_manifest, load_tokenizer
from subnet.models.chat import ChatTokenizer
from subnet.models.errors import AlteredModel, UnsupportedModel


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return load_tokenizer()


def test_a_conversation_becomes_the_ids_of_its_template(tokenizer: ChatTokenizer) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.render(messages) == text
    ids = tokenizer.chat(messages)
    assert ids == tokenizer.encode(text)
    assert ids.count(1) == 3
    assert ids.count(2) == 2


def test_without_a_system_message_the_template_adds_its_own(tokenizer: ChatTokenizer) -> None:
    assert "SmolLM" in tokenizer.render([{"role": "user", "content": "Hi"}])


def test_digits_stand_alone_as_the_model_was_trained(tokenizer: ChatTokenizer) -> None:
    ids = tokenizer.encode("12345")
    assert [tokenizer.token_text(i) for i in ids] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("text", ["", " leading", "äöü — 日本語 🙂", "a\n\n\tb", "x" * 5000, "2026-11-24 12:50"])
def test_text_survives_encoding(tokenizer: ChatTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_id_has_a_text_and_decodes(tokenizer: ChatTokenizer) -> None:
    size = builtin_manifest().vocab_size
    assert tokenizer.tokenizer.get_vocab_size() == size
    assert all(tokenizer.token_text(token) for token in range(size))
    assert tokenizer.token_text(size + 7) == f"<{size + 7}>"


def test_special_tokens_are_not_part_of_the_text(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.decode((*tokenizer.encode("done"), 2)) == "done"


def test_a_template_runs_in_a_sandbox(tokenizer: ChatTokenizer) -> None:
    """poisoned_weights: a chat template is foreign code as well."""
    escape = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(UnsupportedModel, match="refuses"):
        ChatTokenizer(tokenizer.tokenizer, escape, {}).render([])


def test_a_template_may_refuse_and_a_missing_one_is_named(tokenizer: ChatTokenizer) -> None:
    strict = "{{ raise_exception('no system message here') }}"
    with pytest.raises(UnsupportedModel, match="no system message"):
        ChatTokenizer(tokenizer.tokenizer, strict, {}).render([])
    with pytest.raises(UnsupportedModel, match="no chat template"):
        ChatTokenizer(tokenizer.tokenizer, "", {}).chat([])


def test_a_broken_tokenizer_is_refused(tmp_path) -> None:
    from subnet.models.chat import read_tokenizer

    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(AlteredModel, match="not a readable tokenizer"):
        read_tokenizer(tmp_path / "tokenizer.json", "", {})
