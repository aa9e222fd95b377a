"""What a cache takes of the machine's memory."""

import subprocess
import sys

import pytest

SCRIPT = """
import torch
from subnet.engine.cache import SlotCache

def private():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_"))

cache = SlotCache(8, 3072)
rows = torch.ones(8, 3, 64)
every, first = torch.arange(8), torch.zeros(8, dtype=torch.int64)
cache.write(0, every, first, rows, rows)
before = private()
for layer in range(1, 11):
    keys, values = cache.write(layer, every, first, rows, rows)
assert keys[3, 1, 0, 5] == 1 and values[7, 2, 0, 63] == 1 and keys[3, 1, 1, 5] == 0
print(private() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_taken_as_positions_are_written():
    """Ten layers of eight slots hold 360 MB when full, and a page a head for one token in each."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20_000
