"""The good answers that training starts from, and where each comes from.

- hand-written pairs (`reward/data/answers_*.txt`), each with a fluent answer that is wrong; `answers_short.txt`
  answers the same prompts again in a sentence or two;
- exact pairs made by a grammar (`reward.training.exact`);
- the reference model's own answers to the hand-written and to synthetic prompts
  (`reward/data/generated.jsonl`, made by `scripts/train_reward.py --regenerate`);
- the panel (`reward/data/panel.txt`), which is never trained on.

Which pairs are held out is decided by the SHA-256 of the prompt, so that no spoilt version of a
held-out answer can slip into the training set, and adding pairs moves no old one. A prompt of the panel is in
neither side.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from reward.model import Conversation, Message
from reward.text import whole_sentences
from reward.training.pairs import Pair
from subnet.errors import RewardError

HAND_FILES = ("answers_a.txt", "answers_b.txt", "answers_c.txt")
SHORT_FILE = "answers_short.txt"
PANEL_FILE = "panel.txt"
PANEL_PARTS = ("? ", "s+ ", "l+ ", "s- ", "l- ")


def parse_answers(text: str, order: Sequence[str] = ("? ", "+ ", "- ")) -> list[tuple[str, ...]]:
    """Entries of the data format, one text for each mark: by default (prompt, good, wrong).

    A mark at the start of a line opens a part, '#' a comment before the first. A part runs to the next line that
    can open the part that must follow it. RewardError for an entry that lacks a part.
    """
    entries: list[list[str]] = []
    part = len(order) - 1
    for number, line in enumerate(text.splitlines(), 1):
        following = (part + 1) % len(order)
        if line.startswith(order[following]):
            part = following
            if part == 0:
                entries.append([""] * len(order))
            entries[-1][part] = line[len(order[part]) :]
        elif entries:
            entries[-1][part] += "\n" + line
        elif line and not line.startswith("#"):
            raise RewardError(f"line {number} of an answers file stands before the first '? ': {line[:60]!r}")
    for entry in entries:
        if not all(entry):
            raise RewardError(f"the entry {entry[0][:60]!r} lacks a good or a wrong answer")
    return [tuple(text.strip() for text in entry) for entry in entries]


def _read(name: str, order: Sequence[str] = ("? ", "+ ", "- ")) -> list[tuple[str, ...]]:
    return parse_answers((resources.files("reward") / "data" / name).read_text(encoding="utf-8"), order)


@dataclass(frozen=True, slots=True)
class PanelEntry:
    """A prompt of the hand panel: what sort of request it is, and answers that match in length and style."""

    sort: str
    prompt: Conversation
    good_short: str
    good_long: str
    wrong_short: str
    wrong_long: str


def panel() -> list[PanelEntry]:
    """The hand panel: what a person would expect of the reward, held out from training by prompt."""
    entries = []
    for head, *answers in _read(PANEL_FILE, PANEL_PARTS):
        sort, _, prompt = head.partition(" | ")
        entries.append(PanelEntry(sort, Conversation.of(prompt), *answers))
    return entries


@cache
def _panel_prompts() -> frozenset[Conversation]:
    return frozenset(entry.prompt for entry in panel())


def hand_pairs() -> list[Pair]:
    """The hand-written pairs: first one for each prompt, then the short ones to the same prompts."""
    return _pairs(HAND_FILES, "hand") + _pairs((SHORT_FILE,), "short")


def _pairs(names: Sequence[str], source: str) -> list[Pair]:
    read = [entry for name in names for entry in _read(name)]
    pairs = [Pair(Conversation.of(prompt), good, wrong, source) for prompt, good, wrong in read]
    return [pair for pair in pairs if pair.prompt not in _panel_prompts()]


def with_own_answers(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with the reference model's own answer to the same prompt, where there is one, as `weak` "own"."""
    own = {pair.prompt: pair.good for pair in generated_pairs()}
    return [replace(pair, weak=(("own", own[pair.prompt]),)) if pair.prompt in own else pair for pair in pairs]


def generated_pairs() -> list[Pair]:
    """The reference model's own answers, with worse models' answers to the same prompt, all in whole sentences.

    Empty where they have not been generated.
    """
    path = resources.files("reward") / "data" / "generated.jsonl"
    if not path.is_file():
        return []
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        answer = whole_sentences(row["answer"].strip())
        weak = ((name, whole_sentences(text.strip())) for name, text in sorted(row["weak"].items()))
        if len(answer.split()) >= 8:
            conversation = Conversation(tuple(Message(role, content) for role, content in row["messages"]))
            if conversation in _panel_prompts():
                continue
            pairs.append(Pair(conversation, answer, None, "generated", tuple((n, t) for n, t in weak if t)))
    return pairs
