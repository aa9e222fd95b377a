"""Starting and stopping the node as a user does."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from subnet.errors import ChainError
from subnet.localchain.process import running_chain, start_chain


def test_it_starts_on_a_free_port_and_ends_at_once_on_sigterm(tmp_path: Path) -> None:
    with running_chain(log=tmp_path / "log.txt") as chain:
        assert chain.endpoint.startswith("ws://127.0.0.1:")
        started = time.monotonic()
        chain.process.terminate()
        assert chain.process.wait(5) == 0
        assert time.monotonic() - started < 3
    assert "local chain at" in (tmp_path / "log.txt").read_text()


def test_a_taken_port_is_an_error_that_says_so(tmp_path: Path) -> None:
    with running_chain() as chain:
        port = int(chain.endpoint.rpartition(":")[2])
        with pytest.raises(ChainError, match="did not start"):
            start_chain(port=port, log=tmp_path / "log.txt")
    assert "address already in use" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("option", [("--block-time", "0"), ("--keep-states", "1")])
def test_settings_out_of_range_are_refused(option: tuple[str, str]) -> None:
    command = [sys.executable, "-m", "subnet.localchain", "--port", "0", *option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "must be" in done.stderr
