import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import TransportError
from subnet.transport.btauth import NONCE_RETENTION_SECONDS
from subnet.transport.errors import StoreFull
from subnet.transport.nonces import SharedNonceStore

SECOND = 10**9


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


def test_replayer_a_pair_is_new_once_until_the_retention_has_passed(tmp_path: Path) -> None:
    clock = Clock()
    with SharedNonceStore(tmp_path / "n", slots=128, clock_ns=clock) as store:
        assert store.check_and_store("a", 1) and store.check_and_store("a", 2) and store.check_and_store("b", 1)
        clock.now += int((NONCE_RETENTION_SECONDS - 0.1) * SECOND)
        assert not any((store.check_and_store("a", 1), store.check_and_store("a", 2), store.check_and_store("b", 1)))
        clock.now += SECOND
        assert store.check_and_store("a", 1)


def test_a_restart_does_not_forget(tmp_path: Path) -> None:
    with SharedNonceStore(tmp_path / "n", slots=128) as store:
        assert store.check_and_store("a", 1)
    with SharedNonceStore(tmp_path / "n") as store:
        assert not store.check_and_store("a", 1)


def _claim(path: Path, nonces: list[int], wins: "multiprocessing.Queue[int]") -> None:
    with SharedNonceStore(path) as store:
        wins.put(sum(store.check_and_store("hotkey", nonce) for nonce in nonces))


def test_processes_that_race_for_the_same_nonces_win_each_once(tmp_path: Path) -> None:
    nonces = list(range(300))
    context = multiprocessing.get_context("fork")
    wins: multiprocessing.Queue[int] = context.Queue()
    racers = [context.Process(target=_claim, args=(tmp_path / "n", nonces, wins)) for _ in range(3)]
    for racer in racers:
        racer.start()
    total = sum(wins.get(timeout=30) for _ in racers)
    for racer in racers:
        racer.join(30)
    assert total == len(nonces)


def test_flooder_a_full_store_refuses_instead_of_forgetting(tmp_path: Path) -> None:
    with SharedNonceStore(tmp_path / "n", slots=64) as store:
        for nonce in range(64):
            assert store.check_and_store("a", nonce)
        with pytest.raises(StoreFull):
            store.check_and_store("a", 64)
        assert not store.check_and_store("a", 5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=60))
def test_the_store_agrees_with_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]]
) -> None:
    clock = Clock()
    model: dict[int, int] = {}
    path = tmp_path_factory.mktemp("nonces") / "n"
    with SharedNonceStore(path, slots=256, clock_ns=clock) as store:
        for wait, nonce in steps:
            clock.now += wait * SECOND
            fresh = model.get(nonce, 0) <= clock.now
            if fresh:
                model[nonce] = clock.now + int(NONCE_RETENTION_SECONDS * SECOND)
            assert store.check_and_store("a", nonce) is fresh


def test_a_file_that_is_no_store_and_a_short_retention_are_errors(tmp_path: Path) -> None:
    (tmp_path / "n").write_bytes(b"something else")
    with pytest.raises(TransportError, match="not a nonce store"):
        SharedNonceStore(tmp_path / "n")
    with pytest.raises(TransportError, match="forgotten"):
        SharedNonceStore(tmp_path / "m", retention=5)
