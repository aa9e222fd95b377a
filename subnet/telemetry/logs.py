"""Logging: a story at info, a trace at debug. The terminal and, rotated, the state folder."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import sys
from pathlib import Path

from loguru import logger

from subnet.config.tree import Logging

_TERMINAL = "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {message}"
_FILE = "{time:YYYY-MM-DDTHH:mm:ss.SSSZ} {level: <7} {name}:{line} {message}"

FILE_BYTES, FILES = 16 << 20, 5


class _Forward(logging.Handler):
    """Hands records of the standard library's loggers (uvicorn, bittensor, websockets) to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "DEBUG" if record.levelno <= logging.INFO else record.levelname
        logger.opt(exception=record.exc_info, depth=6).log(level, "{}: {}", record.name, record.getMessage())


class _LogFile(logging.handlers.RotatingFileHandler):
    """The log in the state folder. A full disk loses lines of it, is told once on stderr, and stops nothing."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8", delay=True)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        before = self._lost
        super().emit(record)
        if self._lost == before:
            self._lost = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self._lost += 1
        if self._lost == 1:
            sys.stderr.write(f"{self.baseFilename} cannot be written ({sys.exc_info()[1]}): lines of it are lost\n")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


def start_logging(settings: Logging, folder: Path, role: str) -> None:
    """Replaces every handler: the terminal on stderr, and `folder`/logs/<role>.log of at most 5 x 16 MiB."""
    logger.remove()
    logger.add(
        sys.stderr, level=settings.level, format=_TERMINAL, serialize=settings.json, backtrace=False, diagnose=False
    )
    if settings.file:
        logger.add(
            _LogFile(folder / "logs" / f"{role}.log"), level=min_level(settings.level), format=_FILE, backtrace=False,
            diagnose=False,
        )  # fmt: skip
    logging.basicConfig(handlers=[_Forward()], level=logging.INFO, force=True)


def min_level(terminal: str) -> str:
    """The file keeps debug even when the terminal does not."""
    return "TRACE" if terminal == "TRACE" else "DEBUG"
