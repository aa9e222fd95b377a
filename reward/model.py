"""What every reward model takes and gives.

Prompts and completions go in, scores in [0, 1] come out, each with the named components that
made it, so that a miner who asks why can be answered. A reward model never sees who answered,
how fast, or what the replay found: those enter in `reward.scores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from subnet.errors import RewardError

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation: `role` is system, user or assistant, `content` any text."""

    role: str
    content: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise RewardError(f"message role {self.role!r} is unknown; use one of {', '.join(ROLES)}")


@dataclass(frozen=True, slots=True)
class Conversation:
    """The prompt as the miner was asked it: one or more messages, the last of them the user's."""

    messages: tuple[Message, ...]

    def __post_init__(self) -> None:
        if not self.messages or self.messages[-1].role != "user":
            last = self.messages[-1].role if self.messages else "nothing"
            raise RewardError(f"a conversation must end with the user's message, this one ends with {last}")

    @classmethod
    def of(cls, text: str, system: str | None = None) -> Conversation:
        """A conversation of one user message, with an optional system message before it."""
        user = Message("user", text)
        return cls((user,) if system is None else (Message("system", system), user))

    @property
    def question(self) -> str:
        """The last user message: what the completion has to answer."""
        return self.messages[-1].content

    @property
    def context(self) -> str:
        """Everything that was said before the question, joined by newlines; empty for a single turn."""
        return "\n".join(message.content for message in self.messages[:-1])

    def as_dicts(self) -> list[dict[str, str]]:
        """The shape that chat templates take."""
        return [{"role": message.role, "content": message.content} for message in self.messages]


@dataclass(frozen=True, slots=True)
class Component:
    """One named term of a score.

    `value` is in [0, 1], 1 being best. `reason` is one line for the miner, or empty.
    """

    name: str
    value: float
    reason: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise RewardError(f"component {self.name} is {self.value!r}, outside [0, 1]")


@dataclass(frozen=True, slots=True)
class RewardScore:
    """The score of one completion: `value` in [0, 1] and the components it was made from."""

    value: float
    components: tuple[Component, ...]

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise RewardError(f"reward is {self.value!r}, outside [0, 1]")

    def component(self, name: str) -> float:
        """The value of the named component; RewardError if there is none of that name."""
        for component in self.components:
            if component.name == name:
                return component.value
        raise RewardError(f"no component {name!r}; this score has {[c.name for c in self.components]}")


@runtime_checkable
class RewardModel(Protocol):
    """A reward model.

    `name` is for people; `identity` is a hex digest of everything that decides the score (weights,
    constants, version), so that validators can see whether they score alike.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def score(self, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[RewardScore]:
        """Scores for n prompts and n completions, in order, each in [0, 1].

        The score of a pair depends on that pair alone, never on its neighbours in the batch
        (to 1e-4, the difference that batching makes in float32). Raises RewardError if the two
        lists differ in length. An empty completion scores 0.
        """
        ...


def check_pairs(prompts: Sequence[Conversation], completions: Sequence[str]) -> None:
    """Raise RewardError unless there is one completion for each prompt."""
    if len(prompts) != len(completions):
        raise RewardError(f"{len(prompts)} prompts but {len(completions)} completions; give one for each")
