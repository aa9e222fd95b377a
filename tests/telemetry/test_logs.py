"""The log file on a disk that is full: the process lives, is told once, and the file goes on when there is room."""

import subprocess
import sys

SCRIPT = """
import resource, sys
from pathlib import Path
from loguru import logger
from subnet.config.tree import Logging
from subnet.telemetry.logs import start_logging

folder = Path(sys.argv[1])
start_logging(Logging(), folder, "miner")
logger.info("before")
size = (folder / "logs/miner.log").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
for number in range(50):
    logger.info("lost {}", number)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
logger.info("after")
"""


def test_a_full_disk_loses_lines_of_the_log_and_nothing_else(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be written") == 1 and "Traceback" not in done.stderr
    assert "lost 49" in done.stderr, "the terminal has every line"
    kept = (tmp_path / "logs" / "miner.log").read_text()
    assert "before" in kept and "after" in kept
