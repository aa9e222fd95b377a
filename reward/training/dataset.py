"""Good and bad completions as arrays, with the signals of each read once and cached.

The cache is keyed by the text, so that a change of the corpus reads only what is new.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loguru import logger

from reward.model import Conversation
from reward.signals import SignalReader, Signals
from reward.text import text_signals
from reward.training.pairs import Pair
from reward.training.spoil import TRAINED, UNSEEN, Spoiler, Stream

GOOD = "good"
BATCH = 48


@dataclass(frozen=True)
class Example:
    """One completion: `kind` is "good" or the name of the way it was spoilt; `pair` numbers the prompt."""

    pair: int
    kind: str
    prompt: Conversation
    completion: str


def examples(
    pairs: Sequence[Pair], kinds: Mapping[str, Spoiler], held_out: bool, share: float = 1.0, seed: int = 11,
    source: str | None = None,
) -> list[Example]:  # fmt: skip
    """The good and the spoilt completions of all pairs on one side of the split.

    Donors of foreign answers come from the same side. `share` is the share of the kinds that each pair gets;
    `source` keeps the pairs of one source only, with the same numbers and donors.
    A prompt may have several pairs, short and long ones: each of its good answers is preferred to each bad one.
    """
    side = [pair for pair in pairs if pair.held_out == held_out]
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(pair.prompt for pair in side))}
    made: list[Example] = []
    for pair in side:
        if source is not None and pair.source != source:
            continue
        number = numbers[pair.prompt]
        made.append(Example(number, GOOD, pair.prompt, pair.good))
        for kind, spoil in kinds.items():
            text = spoilt(kind, spoil, pair, side, held_out, share, seed)
            if text is not None:
                made.append(Example(number, kind, pair.prompt, text))
    return made


def spoilt(
    kind: str, spoil: Spoiler, pair: Pair, donors: Sequence[Pair], held_out: bool, share: float = 1.0, seed: int = 11
) -> str | None:
    """The pair's good answer made bad in one way, always the same for the same pair; None where that does not apply."""
    mark = json.dumps([seed, kind, pair.prompt.question, pair.good])
    stream = Stream(random.Random(hashlib.sha256(mark.encode()).digest()), held_out)
    if stream.random.random() >= share:
        return None
    text = spoil(pair, donors, stream)
    return text if text and text.strip() and text != pair.good else None


ALL_KINDS: dict[str, Spoiler] = {**TRAINED, **UNSEEN}


class SignalCache:
    """Signals by (prompt, completion), kept in a file between runs.

    The file is written and read by this class alone, in a folder of the developer's; it is not a
    format to exchange.
    """

    def __init__(self, path: Path, reader: Callable[[], SignalReader]) -> None:
        self._path = path
        self._make = reader
        self._reader: SignalReader | None = None
        self._known: dict[str, Signals | None] = {}
        if path.exists():
            self._known = pickle.loads(path.read_bytes())

    def read(self, items: Sequence[Example]) -> list[Signals | None]:
        """Signals of all examples, in order."""
        keys = [_key(item) for item in items]
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in self._known}
        # Completions of one prompt together: the prompt is then computed once.
        todo = sorted(missing.items(), key=lambda entry: (entry[1].prompt.question, len(entry[1].completion)))
        if todo:
            self._reader = self._reader or self._make()
            for start in range(0, len(todo), BATCH):
                chunk = todo[start : start + BATCH]
                read = self._reader.read([item.prompt for _, item in chunk], [item.completion for _, item in chunk])
                self._known.update({key: signals for (key, _), signals in zip(chunk, read, strict=True)})
                logger.info("read the signals of {} of {} completions", start + len(chunk), len(todo))
                self._save()
        # What is cheap is computed anew, so that a change there needs no new reading.
        return [
            signals and _fresh(signals, item)
            for item, signals in zip(items, (self._known[key] for key in keys), strict=True)
        ]

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_bytes(pickle.dumps(self._known))
        partial.replace(self._path)


def _fresh(signals: Signals, item: Example) -> Signals:
    text = text_signals(item.prompt.question, item.completion)
    return replace(signals, text=text, reference=signals.view.signals)


def _key(item: Example) -> str:
    messages = [[message.role, message.content] for message in item.prompt.messages]
    return hashlib.sha256(json.dumps([messages, item.completion]).encode()).hexdigest()
