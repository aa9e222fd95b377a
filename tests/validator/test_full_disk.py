"""A state folder that cannot be written, in a process of its own whose files may not grow."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from pathlib import Path
from subnet.transport.nonces import SharedNonceStore
from subnet.errors import TransportError
from subnet.validator.state import DiskFull, Store

folder = Path(sys.argv[1])
store = Store(folder)
store.update_miners((), meta={"round": "1"})
limit = (folder / "validator.sqlite-wal").stat().st_size + 512
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for number in range(3):
    try:
        store.update_miners((), meta={"round": "2", "ballast": "x" * 100_000})
    except DiskFull as error:
        sys.stdout.write(f"{error}\\n")
    else:
        sys.exit("it was written")
assert store.meta("round") == "1" and store.meta("ballast") is None
try:
    SharedNonceStore(folder / "nonces.bin")
except TransportError as error:
    sys.stdout.write(f"{error}\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.update_miners((), meta={"round": "2"})
store.close()
with SharedNonceStore(folder / "nonces.bin") as nonces:
    assert nonces.check_and_store("hotkey", 1)
state = (folder / "nonces.bin").stat()
assert 512 * state.st_blocks >= state.st_size, "the file has holes"
again = Store(folder)
assert again.meta("round") == "2"
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_transaction_without_room_changes_nothing_says_so_and_works_again_with_room(said):
    told = [line for line in said if "validator.sqlite cannot be written" in line and "free some room" in line]
    assert len(told) == 3


def test_the_nonce_store_takes_its_room_at_once_or_says_that_there_is_none(said):
    """A hole in its file would be filled through the mapping, and a full disk would kill the miner there."""
    assert any("nonces.bin needs 6 MiB of disk" in line for line in said)
