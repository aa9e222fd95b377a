"""Checks of this machine: software, keys, disk, model, state."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from subnet.chain import WalletError, load_hotkey
from subnet.config.tree import NeuronConfig, ValidatorConfig
from subnet.doctor.findings import Finding, Level
from subnet.errors import AssayError
from subnet.models import DEFAULT_MODEL, find_model
from subnet.validator.profiles import profile_of

LEAST_FREE_GB = 2.0
PACKAGES = ("bittensor", "torch", "substrate-interface", "tokenizers", "wandb")


def versions() -> Iterator[Finding]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("software", Level.BROKEN, f"{name} is not installed", "./scripts/setup.sh")
    yield Finding("software", Level.OK, f"Python {platform.python_version()}, {', '.join(found)}")


def wallet(config: NeuronConfig) -> Iterator[Finding]:
    try:
        hotkey = load_hotkey(config.wallet)
    except WalletError as error:
        yield Finding("hotkey", Level.BROKEN, str(error).split("; make one: ")[0], str(error).rpartition(": ")[2])
        return
    yield Finding("hotkey", Level.OK, f"{hotkey.ss58_address} ({config.wallet.name}/{config.wallet.hotkey})")
    coldkey = config.wallet.folder / "coldkey"
    if coldkey.exists():
        yield Finding(
            "coldkey", Level.WARNING, f"the private coldkey lies on this machine: {coldkey}",
            "a neuron never needs it: keep it elsewhere and leave only coldkeypub.txt here",
        )  # fmt: skip


def disk(folder: Path) -> Iterator[Finding]:
    probe = folder
    while not probe.exists():
        probe = probe.parent
    free = shutil.disk_usage(probe).free / 1e9
    level = Level.OK if free >= LEAST_FREE_GB else Level.BROKEN
    remedy = "" if level is Level.OK else f"free at least {LEAST_FREE_GB:g} GB, or choose another --state.dir"
    yield Finding("disk", level, f"{free:.1f} GB free for {folder}", remedy)
    if not os.access(probe, os.W_OK):
        yield Finding("state", Level.BROKEN, f"{probe} cannot be written", "chown it, or choose another --state.dir")


def database(folder: Path, name: str) -> Iterator[Finding]:
    file = folder / name
    if not file.exists():
        yield Finding("state", Level.OK, f"nothing stored yet in {folder}")
        return
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
            result = db.execute("PRAGMA quick_check").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        yield Finding("state", Level.BROKEN, f"{file}: {error}", f"move {file} away; bundles stay where they are")
        return
    if result == "ok":
        yield Finding("state", Level.OK, f"{file}, version {version}, {file.stat().st_size / 1e6:.1f} MB")
    else:
        yield Finding("state", Level.BROKEN, f"{file}: {result}", f"move {file} away; bundles stay where they are")


def model(config: NeuronConfig) -> Iterator[Finding]:
    """The manifest, and every hash of the model's files as the loader checks them."""
    from subnet.models.provenance import locate

    name = config.model.path or DEFAULT_MODEL
    try:
        named = find_model(name)
        located = locate(named.manifest, named.base)
    except AssayError as error:
        yield Finding("model", Level.BROKEN, str(error), f"python -m subnet.models fetch {name}")
        return
    manifest = located.manifest
    yield Finding("model", Level.OK, f"{manifest.name}, id {manifest.digest.hex()[:16]}…, files match their hashes")


def profile(config: ValidatorConfig) -> Iterator[Finding]:
    try:
        manifest = find_model(config.model.path or DEFAULT_MODEL).manifest
        found = profile_of(manifest, config.validator.threshold)
    except AssayError as error:
        yield Finding("tolerance profile", Level.BROKEN, str(error), "calibrate one: see docs/tuning.md")
        return
    yield Finding(
        "tolerance profile", Level.OK, f"{found.name}, at most one false accusation in {found.threshold:g} tokens"
    )
