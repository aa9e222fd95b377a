import asyncio
import os
from pathlib import Path

import psutil
import pytest

from subnet.errors import AssayError
from subnet.localnet.fleet import Fleet

ENVIRONMENT = dict(os.environ)

WITH_A_STUBBORN_GRANDCHILD = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
child = subprocess.Popen([sys.executable, "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"])
print("child", child.pid, flush=True)
signal.pause()
"""


async def read_until(log: Path, word: str) -> str:
    async with asyncio.timeout(20):
        while word not in (text := log.read_text()):
            await asyncio.sleep(0.02)
    return text


async def test_leaving_the_fleet_leaves_no_process_behind_not_even_a_grandchild_that_ignores_sigterm(
    tmp_path: Path,
) -> None:
    async with Fleet(tmp_path, ENVIRONMENT) as fleet:
        member = await fleet.start("one", ["-c", WITH_A_STUBBORN_GRANDCHILD], tmp_path)
        text = await read_until(member.log, "up")
        grandchild = int(text.split("child ")[1].split()[0])
        assert psutil.pid_exists(grandchild)
    assert member.process.returncode == 0, "a process that drains on SIGTERM is not killed"
    async with asyncio.timeout(10):
        while psutil.pid_exists(grandchild) and psutil.Process(grandchild).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.02)


async def test_a_process_that_died_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    async with Fleet(tmp_path, ENVIRONMENT) as fleet:
        member = await fleet.start("broken", ["-c", "raise SystemExit('no such model')"], tmp_path)
        await member.process.wait()
        with pytest.raises(AssayError, match=r"broken ended with exit code 1(.|\n)*no such model"):
            fleet.check()


async def test_a_running_fleet_is_healthy(tmp_path: Path) -> None:
    async with Fleet(tmp_path, ENVIRONMENT) as fleet:
        await fleet.start("steady", ["-c", "import signal; signal.pause()"], tmp_path)
        fleet.check()
