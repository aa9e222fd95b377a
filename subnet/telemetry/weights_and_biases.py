"""wandb as one more sink: online, offline or off. Whatever it does wrong costs a warning, never a round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from loguru import logger

from subnet.config.tree import Wandb


class WandbSink:
    """A run that is replaced every `rotate_hours`, so that no run grows past wandb's limits. Off: does nothing."""

    def __init__(
        self, settings: Wandb, folder: Path, name: str, config: Mapping[str, Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._settings, self._folder, self._name, self._config = settings, folder, name, dict(config)
        self._clock, self._started = clock, 0.0
        self._run: Any = None
        self.failed = False

    @property
    def active(self) -> bool:
        return self._settings.effective != "off" and not self.failed

    def log(self, values: Mapping[str, Any], tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> None:
        """One step: scalars, and per-miner tables as lists of equal-keyed rows."""
        if not self.active:
            return
        try:
            run, wandb = self._current()
            shown = {
                name: wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
                for name, rows in (tables or {}).items()
                if rows
            }
            run.log({**values, **shown})
        except Exception as error:
            self.failed = True
            logger.warning("wandb is turned off after an error: {}: {}", type(error).__name__, error)

    def close(self) -> None:
        if self._run is not None:
            try:
                self._run.finish(exit_code=0, quiet=True)
            except Exception as error:
                logger.warning("wandb did not close cleanly: {}", error)
            self._run = None

    def _current(self) -> tuple[Any, Any]:
        import wandb

        if self._run is not None and self._clock() - self._started > self._settings.rotate_hours * 3600:
            self.close()
        if self._run is None:
            if self._settings.api_key:
                wandb.login(key=self._settings.api_key, verify=False)
            self._folder.mkdir(parents=True, exist_ok=True)
            mode: Literal["online", "offline"] = "offline" if self._settings.effective == "offline" else "online"
            self._run = wandb.init(
                mode=mode, project=self._settings.project, entity=self._settings.entity or None,
                dir=str(self._folder), name=self._name, config=self._config, reinit="finish_previous",
                settings=wandb.Settings(silent=True, console="off"),
            )  # fmt: skip
            self._started = self._clock()
        return self._run, wandb
