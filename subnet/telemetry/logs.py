"""Logging: a story at info, a trace at debug. The terminal and, rotated, the state folder."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from loguru import logger

from subnet.config.tree import Logging

_TERMINAL = "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {message}"
_FILE = "{time:YYYY-MM-DDTHH:mm:ss.SSSZ} {level: <7} {name}:{line} {message}"


class _Forward(logging.Handler):
    """Hands records of the standard library's loggers (uvicorn, bittensor, websockets) to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "DEBUG" if record.levelno <= logging.INFO else record.levelname
        logger.opt(exception=record.exc_info, depth=6).log(level, "{}: {}", record.name, record.getMessage())


def start_logging(settings: Logging, folder: Path, role: str) -> None:
    """Replaces every handler: the terminal on stderr, and `folder`/logs/<role>.log of at most 5 x 16 MiB."""
    logger.remove()
    logger.add(
        sys.stderr, level=settings.level, format=_TERMINAL, serialize=settings.json, backtrace=False, diagnose=False
    )
    if settings.file:
        logger.add(
            folder / "logs" / f"{role}.log", level=min_level(settings.level), format=_FILE, rotation="16 MB",
            retention=4, backtrace=False, diagnose=False, catch=True,
        )  # fmt: skip
    logging.basicConfig(handlers=[_Forward()], level=logging.INFO, force=True)


def min_level(terminal: str) -> str:
    """The file keeps debug even when the terminal does not."""
    return "TRACE" if terminal == "TRACE" else "DEBUG"
