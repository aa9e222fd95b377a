"""The model cache on disk: where it is, and how files appear in it whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder(override: Path | None = None) -> Path:
    """The folder for models: in `override`, else in `assay` under the user's cache folder (XDG). Created."""
    folder = (override if override is not None else user_cache_path("assay")) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: a reader sees the old bytes or the new ones."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def build_folder(target: Path, build: Callable[[Path], None]) -> Path:
    """Fill `target` through a temporary folder and one rename, so that concurrent processes never see half of it.

    Whoever comes second finds `target` there and drops its own work. An interrupted build leaves nothing in `target`.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        build(work)
        try:
            work.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
