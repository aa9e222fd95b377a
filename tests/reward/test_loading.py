"""Which models a configured reward reads."""

from __future__ import annotations

from dataclasses import replace

from reward.loading import load_reward


def test_the_replayed_model_is_shared(reference):
    reward = load_reward("handmade", reference.model, reference.tokenizer)
    assert reward.reader.reference.model is reference.model


def test_another_replayed_model_does_not_change_the_signals(reference):
    """A subnet that serves another model, or this one in bf16, scores with the same reference all the same."""
    other = replace(reference.model, model_id=b"\x01" * 32)
    reward = load_reward("handmade", other, reference.tokenizer)
    assert reward.reader.reference.model.model_id == reference.model.model_id
    assert reward.identity == load_reward("handmade", reference.model, reference.tokenizer).identity


def test_identity_names_the_models(reader, reference):
    other = replace(reader, reference=replace(reference, model=replace(reference.model, model_id=b"\x01" * 32)))
    assert other.identity != reader.identity
