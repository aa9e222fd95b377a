import multiprocessing
import os
from pathlib import Path

import pytest

from subnet.models.files import build_folder, cache_folder, write_atomically


def test_the_cache_follows_its_override(tmp_path: Path) -> None:
    assert cache_folder(tmp_path / "home") == tmp_path / "home" / "models"
    assert (tmp_path / "home" / "models").is_dir()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["record"]


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_folder(tmp_path / "model", build)
    assert list(tmp_path.iterdir()) == []


def _build(target: Path, barrier) -> None:
    def fill(folder: Path) -> None:
        barrier.wait(30)
        (folder / "a").write_text("1")
        (folder / "b").write_text("2")

    build_folder(target, fill)


def test_concurrent_builds_give_one_whole_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    workers = [context.Process(target=_build, args=(tmp_path / "model", barrier)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["a", "b"]
