"""`ledger list | export <folder> | verify`: the slash ledger, for people and for other machines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from rich.console import Console
from rich.table import Table

from subnet.chain import Chain, ChainAway, ChainRejected
from subnet.errors import AssayError, ConfigError
from subnet.evidence.bundle import SignedBundle
from subnet.evidence.check import inspect
from subnet.evidence.ledger import NOBODY, EntryKind, log_of
from subnet.evidence.slashing import Reason
from subnet.protocol import ss58_address
from subnet.validator.accuse import bundle_path
from subnet.validator.peers import Root
from subnet.validator.state import LedgerRow, Store


def list_ledger(store: Store, console: Console, *, rounds: bool = False) -> int:
    """Prints the ledger; rounds are left out unless asked for."""
    table = Table(box=None, pad_edge=False)
    for column in ("index", "block", "kind", "miner", "reason", "bundle"):
        table.add_column(column)
    kept = {bundle.digest for bundle in store.bundles()}
    for row in store.ledger():
        if rounds or row.entry.kind is not EntryKind.ROUND:
            entry = row.entry
            miner = "" if entry.subject == NOBODY else ss58_address(entry.subject)
            bundle = entry.digest.hex() if entry.digest in kept else ""
            kind, reason = entry.kind.name.lower(), reason_text(entry.reason)
            table.add_row(str(row.index), str(entry.block), kind, miner, reason, bundle)
    console.print(table)
    log = log_of(store.leaves())
    console.print(f"{log.size} entries, root {log.root.hex()}", highlight=False)
    return 0


def export_ledger(store: Store, folder: Path, console: Console) -> int:
    """Writes ledger.jsonl and every bundle into a folder, from which anybody can verify them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ledger.jsonl").open("w", encoding="utf-8") as file:
        for row in store.ledger():
            file.write(json.dumps(_as_json(row)) + "\n")
    copied = 0
    for bundle in store.bundles():
        source = bundle_path(store.folder / "bundles", bundle.digest)
        if source.is_file():
            shutil.copy2(source, folder / source.name)
            copied += 1
    console.print(f"wrote {len(store.leaves())} entries and {copied} bundles to {folder}", highlight=False)
    console.print("verify one: python -m subnet.evidence verify <bundle>", highlight=False)
    return 0


async def verify_ledger(store: Store, chain: Chain | None, netuid: int, hotkey: str, console: Console) -> int:
    """Checks the log's hashes, every bundle's file, and the root on chain. 1 where something does not hold."""
    broken = 0

    def say(holds: bool, text: str) -> None:
        nonlocal broken
        broken += not holds
        console.print(f"{'[green]holds[/green]' if holds else '[red]fails[/red]'}  {text}", highlight=False)

    leaves = [row.leaf for row in store.ledger()]
    log = log_of(leaves)
    rebuilt = log_of([])
    for row in store.ledger():
        rebuilt = rebuilt.append(row.entry.to_bytes())
    say(rebuilt == log, f"{log.size} entries have the root {log.root.hex()}")
    for bundle in store.bundles():
        path = bundle_path(store.folder / "bundles", bundle.digest)
        try:
            signed = SignedBundle.from_bytes(path.read_bytes())
            sound = signed.bundle.digest == bundle.digest and not inspect(signed).broken
            say(sound, f"bundle {path.name} is what its name says, signed and complete (not replayed here)")
        except (OSError, AssayError) as error:
            say(False, f"bundle {path.name}: {error}")
    if chain is not None:
        try:
            published = (await chain.published(netuid)).get(hotkey)
        except (ChainAway, ChainRejected) as error:
            console.print(f"unknown  the root on chain: {error}", highlight=False)
        else:
            root = Root.parse(published.text) if published else None
            if root is None:
                console.print("unknown  no root is committed on chain yet", highlight=False)
            else:
                held = root.size <= len(leaves) and log_of(leaves[: root.size]).root == root.root
                say(held, f"the root on chain is of the first {root.size} entries")
    return 1 if broken else 0


def require_action(words: list[str]) -> tuple[str, list[str]]:
    """The action and its arguments. Raises ConfigError where it is none."""
    if not words or words[0] not in ("list", "export", "verify"):
        raise ConfigError("ledger takes one of: list, export <folder>, verify")
    if words[0] == "export" and len(words) != 2:
        raise ConfigError("ledger export takes the folder to write to")
    return words[0], words[1:]


def reason_text(code: int) -> str:
    try:
        return Reason(code).name.lower() if code else ""
    except ValueError:
        return str(code)


def _as_json(row: LedgerRow) -> dict[str, object]:
    entry = row.entry
    return {
        "index": row.index, "block": entry.block, "kind": entry.kind.name.lower(), "subject": entry.subject.hex(),
        "author": entry.author.hex(), "digest": entry.digest.hex(), "reason": reason_text(entry.reason),
        "entry": entry.to_bytes().hex(), "leaf": row.leaf.hex(),
    }  # fmt: skip
