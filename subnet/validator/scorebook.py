"""The reward's score book, to and from what the store keeps of each miner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from reward import RoundScore, ScoreBook, Standing
from subnet.errors import StateError
from subnet.validator.values import Miner

META_KEY = "scores"


def standing_to_json(standing: Standing) -> str:
    return json.dumps(asdict(standing))


def standing_from_json(text: str) -> Standing:
    """Raises StateError where the text is no standing. The terms of a round of an older version are left out."""
    try:
        raw: dict[str, Any] = json.loads(text)
        last = raw.pop("last")
        same = last is not None and last.keys() == {field.name for field in fields(RoundScore)}
        return Standing(**raw, last=RoundScore(**last) if same else None)
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"a stored score cannot be read: {error}; it was written by another version") from error


def load_book(miners: Mapping[str, Miner], meta: str | None) -> ScoreBook:
    """The book as the last settled round left it."""
    scores = {hotkey: standing_from_json(miner.score) for hotkey, miner in miners.items() if miner.score}
    kept = json.loads(meta) if meta else {"reference": 0.0, "rounds": 0}
    return ScoreBook(scores, float(kept["reference"]), int(kept["rounds"]))


def meta_of(book: ScoreBook) -> dict[str, str]:
    return {META_KEY: json.dumps({"reference": book.reference, "rounds": book.rounds})}
