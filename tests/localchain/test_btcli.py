"""btcli as a user types it: fund, create, start, register, stake, set weights, look."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bittensor as bt
import pytest

from subnet.localchain.process import RunningChain
from tests.localchain.conftest import keypair

BTCLI = Path(sys.executable).with_name("btcli")
ALICE_SEED = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a"
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def btcli(chain: RunningChain, btcli_environment: dict[str, str]) -> Run:
    """Run a command under a timeout (a failing btcli can hang at exit) and return its JSON."""

    def run(*words: str, sign: str | None = None, look: str | None = None, fails: bool = False) -> Any:
        command = [str(BTCLI), *words, "--network", chain.endpoint, "--json"]
        if sign is not None:
            command += ["-w", sign, "-H", "default", "-y"]
        if look is not None:
            command += ["-w", look]
        done = subprocess.run(command, env=btcli_environment, capture_output=True, text=True, timeout=90)
        if fails:
            assert done.returncode != 0, done.stdout
            return done.stdout + done.stderr
        assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def wallets(btcli_environment: dict[str, str]) -> dict[str, str]:
    """Alice's well-known key and a fresh miner in btcli's wallet folder; coldkey addresses by name."""
    folder = str(Path(btcli_environment["HOME"]) / ".bittensor" / "wallets")
    out = {}
    for name in ("alice", "miner"):
        made = bt.Wallet(name=name, hotkey="default", path=folder)
        if name == "alice":
            made.regenerate_coldkey(seed=ALICE_SEED, use_password=False, overwrite=True)
        else:
            made.create_new_coldkey(use_password=False, overwrite=True, suppress=True)
        made.create_new_hotkey(overwrite=True, suppress=True)
        out[name] = made.coldkeypub.ss58_address
    assert out["alice"] == keypair("//Alice").ss58_address
    return out


@pytest.fixture(scope="module")
def netuid(btcli: Run, wallets: dict[str, str]) -> str:
    """The documented loop: fund from Alice, create a subnet, start it, register a hotkey."""
    btcli("wallet", "transfer", "--dest", wallets["miner"], "--amount", "50", sign="alice")
    created = btcli("subnets", "create", sign="alice")
    number = str(created.get("data", created)["netuid"])
    btcli("tx", "start-call", "--netuid", number, sign="alice")
    btcli("subnets", "register", "--netuid", number, sign="miner")
    return number


def test_the_documented_loop_ends_in_the_metagraph(btcli: Run, wallets: dict[str, str], netuid: str) -> None:
    graph = btcli("subnets", "metagraph", netuid)
    assert graph["coldkeys"] == [wallets["alice"], wallets["miner"]]


def test_weights_and_hyperparameters(btcli: Run, netuid: str) -> None:
    btcli("misc", "weights", "set", "--netuid", netuid, "--uids", "1", "--weights", "1.0", sign="alice")
    btcli("hparams", "set", "--netuid", netuid, "--name", "immunity_period", "--value", "77", sign="alice")
    assert "77" in json.dumps(btcli("hparams", "get", "--netuid", netuid))


def test_a_refused_call_says_why(btcli: Run, wallets: dict[str, str], netuid: str) -> None:
    text = btcli("wallet", "transfer", "--dest", wallets["alice"], "--amount", "999999", sign="miner", fails=True)
    assert "balance" in text.lower()


@pytest.mark.slow
def test_the_other_commands(btcli: Run, wallets: dict[str, str], netuid: str) -> None:
    """One process and two seconds a command: the rest of the flow table."""
    assert "50" not in json.dumps(btcli("wallet", "balance", look="alice")["wallet"])
    btcli("misc", "axon", "set", "--netuid", netuid, "--ip", "127.0.0.1", "--port", "8091", sign="miner")
    btcli("stake", "add", "--netuid", netuid, "--amount", "5", sign="alice")
    btcli("stake", "remove", "--netuid", netuid, "--amount", "1", sign="alice")
    assert netuid in json.dumps(btcli("stake", "list", look="alice"))
    assert netuid in json.dumps(btcli("subnets", "list"))
    assert wallets["alice"] in json.dumps(btcli("subnets", "show", netuid))
    assert btcli("subnets", "create-cost")
    assert btcli("subnets", "burn-cost", netuid)
    assert "kappa" in json.dumps(btcli("subnets", "hyperparameters", netuid))
    btcli("hparams", "set", "--netuid", netuid, "--name", "collateral_lock_share", "--value", "0.5", sign="alice")
    added = ("misc", "collateral", "add", "--netuid", netuid, "--amount", "1")
    btcli(*added, sign="miner")
    assert wallets["miner"] in json.dumps(btcli("misc", "collateral", "list", "--netuid", netuid))
    assert btcli("query", "epoch-status", "--netuid", netuid)
    assert btcli("query", "neurons", "--netuid", netuid)
