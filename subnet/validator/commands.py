"""The validator's commands beside `run`: explain, doctor, ledger. None of them disturbs a running validator."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from subnet.chain import Chain, load_hotkey
from subnet.config.tree import ValidatorConfig
from subnet.doctor.findings import plain_console
from subnet.errors import ConfigError
from subnet.models import DEFAULT_MODEL, find_model
from subnet.validator.explain import explain
from subnet.validator.ledger_command import export_ledger, list_ledger, require_action, verify_ledger
from subnet.validator.profiles import profile_of
from subnet.validator.state import Store


async def run_command(command: str, words: list[str], config: ValidatorConfig, folder: Path) -> int:
    """The exit status of one command: 0 in order, 1 something is broken."""
    console = plain_console()
    if command == "doctor":
        from subnet.doctor.run import doctor

        return await doctor(config, folder, console)
    store = Store(folder, read_only=True)
    try:
        if command == "explain":
            if len(words) != 1:
                raise ConfigError("explain takes a uid or the beginning of a hotkey")
            manifest = find_model(config.model.path or DEFAULT_MODEL).manifest
            return explain(store, words[0], profile_of(manifest, config.validator.threshold), console)
        return await _ledger(words, config, store, console)
    finally:
        store.close()


async def _ledger(words: list[str], config: ValidatorConfig, store: Store, console: Console) -> int:
    action, rest = require_action(words)
    if action == "list":
        return list_ledger(store, console)
    if action == "export":
        return export_ledger(store, Path(rest[0]).expanduser(), console)
    chain = Chain(config.subtensor.target, timeout_s=config.subtensor.timeout_s)
    try:
        return await verify_ledger(store, chain, config.netuid, load_hotkey(config.wallet).ss58_address, console)
    finally:
        await chain.close()
