"""Tokenizer and chat template: messages to token ids, token ids to text. No torch and no `transformers`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from subnet.models import layout
from subnet.models.errors import AlteredModel, UnsupportedModel
from subnet.models.manifest import Manifest
from subnet.models.provenance import LocatedModel, locate
from subnet.models.registry import DEFAULT_MODEL, find_model

Message = Mapping[str, str]
"""A chat message: {"role": "system" | "user" | "assistant", "content": text}."""


@dataclass(frozen=True)
class ChatTokenizer:
    """A tokenizer with the chat template that belongs to it. `special` are the tokens a template may name, as texts."""

    tokenizer: Tokenizer
    template: str
    special: Mapping[str, str]

    def chat(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Token ids of a conversation, ending where the assistant's next message begins.

        Raises UnsupportedModel for a model without a chat template, or a conversation that its template refuses.
        """
        return self.encode(self.render(messages))

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation as text, through the template. The template is foreign code and runs in a sandbox."""
        if not self.template:
            raise UnsupportedModel("this model has no chat template; send plain text through encode()")
        try:
            text = _compile(self.template).render(
                messages=[dict(message) for message in messages], add_generation_prompt=True, **self.special
            )
        except jinja2.TemplateError as error:
            raise UnsupportedModel(f"the model's chat template refuses this conversation: {error}") from error
        return text

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text; special tokens written out in it become their ids. Nothing is added around it."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids, without special tokens. Encoding it again may give other ids: exchange ids, not text."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True)

    def token_text(self, token: int) -> str:
        """The vocabulary's own spelling of one token id, for people."""
        return self.tokenizer.id_to_token(token) or f"<{token}>"


def load_tokenizer(name: str | Path | Manifest = DEFAULT_MODEL, *, cache: Path | None = None) -> ChatTokenizer:
    """The tokenizer and chat template of a model, by built-in name, manifest path or manifest.

    Every hash of the model is checked, as for its weights. Raises ModelError. cache: replaces the user's cache folder.
    """
    named = find_model(name)
    return open_tokenizer(locate(named.manifest, named.base, cache))


def open_tokenizer(located: LocatedModel) -> ChatTokenizer:
    """The tokenizer of a located model."""
    folder = located.folder
    return read_tokenizer(folder / "tokenizer.json", layout.chat_template(folder), layout.special_tokens(folder))


def read_tokenizer(tokenizer_json: Path, template: str, special: Mapping[str, str]) -> ChatTokenizer:
    """Read a tokenizer.json. Raises AlteredModel where it is not one."""
    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_json))
    except Exception as error:  # the binding raises nothing narrower
        raise AlteredModel(f"{tokenizer_json} is not a readable tokenizer: {error}") from error
    return ChatTokenizer(tokenizer, template, dict(special))


def _compile(template: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now(datetime.UTC).strftime(form)
    return environment.from_string(template)


def _raise_exception(message: Any) -> None:
    raise jinja2.TemplateError(str(message))
