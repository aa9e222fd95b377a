"""A neuron in a world that is wrong in one way: the real process, with what surrounds it changed.

    python tests/neurons/altered.py validator --netuid 1 ...

The environment says what is wrong. It is read here alone, and by the replaying child too, which imports this file.

ALTERED_CLOCK   file with seconds that are added to the wall clock; it is read again at every look at the clock
ALTERED_REPLAY  file; while it exists, every replay fails
ALTERED_SEAL    round of the drand beacon for which weights are sealed, instead of the one that is still to come
ALTERED_CRASH   function:when[:n], e.g. subnet.validator.state.store:Store.settle:after:2; kills the process with
                SIGKILL before or after the n-th call, or inside its transaction, before it is committed; with "lose"
                the call is made, and then the chain seems to have gone away
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import inspect
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def shift_clock(file: Path) -> None:
    real, real_ns = time.time, time.time_ns

    def offset() -> float:
        try:
            return float(file.read_text() or 0)
        except (FileNotFoundError, ValueError):
            return 0.0

    time.time = lambda: real() + offset()
    time.time_ns = lambda: real_ns() + int(offset() * 1e9)


def break_replay(file: Path) -> None:
    from subnet.verify import replaying

    replayed = replaying.replayed

    def failing(*args, **kwargs):
        if file.exists():
            raise RuntimeError("the replay is broken by a test")
        return replayed(*args, **kwargs)

    replaying.replayed = failing


def seal_for(number: int) -> None:
    """Seals weights for a round of the beacon that is out: nobody has the signature of one that is to come."""
    import bittensor_core
    from bittensor.intents import weights

    from subnet.localchain.model import CODEC

    def sealed(*, uids, weights, version_key, hotkey, **_):
        plain = CODEC.encode("(Vec<u8>, Vec<u16>, Vec<u16>, u64)", (hotkey, uids, weights, version_key))
        return bytes(bittensor_core.inner_ciphertext(bittensor_core.encrypt_at_round(plain, number)[0])), number

    weights._core = type("Core", (), {"get_encrypted_commit_v2": staticmethod(sealed)})


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash_at(point: str) -> None:
    from subnet.chain import ChainAway

    module, name, when, *count = point.split(":")
    left = [int(count[0]) if count else 1]
    owner = importlib.import_module(module)
    *holders, attribute = name.split(".")
    for holder in holders:
        owner = getattr(owner, holder)
    original = getattr(owner, attribute)

    def due() -> bool:
        left[0] -= 1
        return left[0] == 0

    @functools.wraps(original)
    def plain(*args, **kwargs):
        now = due()
        if now and when == "before":
            die()
        if now and when == "inside":
            _die_at_commit(args[0])
        result = original(*args, **kwargs)
        if now and when == "after":
            die()
        return result

    @functools.wraps(original)
    async def awaited(*args, **kwargs):
        now = due()
        if now and when == "before":
            die()
        result = await original(*args, **kwargs)
        if now and when == "after":
            die()
        if now and when == "lose":
            raise ChainAway("lost by a test")
        return result

    setattr(owner, attribute, awaited if inspect.iscoroutinefunction(original) else plain)


def _die_at_commit(store) -> None:
    """Everything of the next transaction is written; the process dies before it is committed."""
    transaction = store._db.transaction

    @contextlib.contextmanager
    def dying():
        with transaction() as db:
            yield db
            die()

    store._db.transaction = dying


def install() -> None:
    if "ALTERED_CLOCK" in os.environ:
        shift_clock(Path(os.environ["ALTERED_CLOCK"]))
    if "ALTERED_REPLAY" in os.environ and __name__ == "__mp_main__":
        break_replay(Path(os.environ["ALTERED_REPLAY"]))
    if __name__ != "__main__":
        return
    if "ALTERED_SEAL" in os.environ:
        seal_for(int(os.environ["ALTERED_SEAL"]))
    if "ALTERED_CRASH" in os.environ:
        crash_at(os.environ["ALTERED_CRASH"])


if __name__ in ("__main__", "__mp_main__"):
    install()

if __name__ == "__main__":
    assert not asyncio._get_running_loop()
    role = importlib.import_module(f"subnet.{sys.argv[1]}.__main__")
    sys.exit(role.main(sys.argv[2:]))
