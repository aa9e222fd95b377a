"""Runs every check that fits a role and shows what it found."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from subnet.chain import Chain, WalletError, load_hotkey
from subnet.config.tree import MinerConfig, NeuronConfig, ValidatorConfig
from subnet.doctor import machine, network
from subnet.doctor.findings import Finding, Level, show, worst

MINER_DB, VALIDATOR_DB = "miner.sqlite", "validator.sqlite"


async def doctor(config: NeuronConfig, folder: Path, console: Console) -> int:
    """0 where nothing is broken, 1 otherwise. Nothing is changed anywhere."""
    findings = await examine(config, folder)
    show(findings, console)
    broken = sum(finding.level is Level.BROKEN for finding in findings)
    console.print("everything is in order" if worst(findings) is Level.OK else f"{broken} broken")
    return 1 if worst(findings) is Level.BROKEN else 0


async def examine(config: NeuronConfig, folder: Path) -> list[Finding]:
    is_miner = isinstance(config, MinerConfig)
    findings = [*machine.versions(), *machine.wallet(config), *machine.disk(folder)]
    findings += machine.database(folder, MINER_DB if is_miner else VALIDATOR_DB)
    findings += machine.model(config)
    if isinstance(config, ValidatorConfig):
        findings += machine.profile(config)
    client = Chain(config.subtensor.target, timeout_s=config.subtensor.timeout_s)
    try:
        findings += [finding async for finding in network.chain(config, client)]
        try:
            hotkey = load_hotkey(config.wallet)
        except WalletError:
            return findings
        _, me, said = await network.membership(config, client, hotkey)
        findings += said
        if me is not None:
            findings += [finding async for finding in network.endpoint(me, hotkey, miner=is_miner)]
            if isinstance(config, ValidatorConfig):
                findings += [finding async for finding in network.weights(config, client, me, hotkey)]
    finally:
        await client.close()
    return findings
