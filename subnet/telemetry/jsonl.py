"""Metrics as JSON lines in the state folder. First among the sinks: it needs nobody and nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loguru import logger

KEPT = 4


class JsonLines:
    """Appends one JSON object a line; the file rotates by size. A full disk loses metrics, never the process."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self._path, self._max_bytes = path, max_bytes
        self.lost = 0

    def write(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(_finite(record), separators=(",", ":"), default=str) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size + len(line) > self._max_bytes:
                self._rotate()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            self.lost += 1
            if self.lost == 1 or self.lost % 1000 == 0:
                logger.warning("Metrics line lost ({} so far): {}: {}", self.lost, self._path, error.strerror)

    def _rotate(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            older = self._path.with_suffix(f".{number}.jsonl")
            if older.exists():
                older.replace(self._path.with_suffix(f".{number + 1}.jsonl"))
        self._path.replace(self._path.with_suffix(".1.jsonl"))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value
