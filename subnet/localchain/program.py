"""The list of pallets and runtime APIs that make this chain, and the order of their hooks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from subnet.errors import ChainError
from subnet.localchain.apis import APIS
from subnet.localchain.defaults import Settings
from subnet.localchain.pallets import admin_utils, balances, commitments, drand, mev_shield, small, swap, system
from subnet.localchain.pallets.subtensor import epoch, serving, weights
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.runtime import Program, Runtime, assemble

_DECLARES_CALLS = (serving, weights)


def error_table() -> dict[tuple[int, int], Any]:
    """The SDK's table of module errors, {(pallet, error): (pallet, name, docs)}.

    Read from the installed SDK so that the two cannot drift; loaded by file, because importing the
    whole SDK would double the node's start-up time.
    """
    spec = importlib.util.find_spec("bittensor")
    if spec is None or not spec.submodule_search_locations:
        raise ChainError("the bittensor SDK is not installed; the local chain takes its error table from it")
    path = Path(spec.submodule_search_locations[0]) / "_generated" / "errors.py"
    module = _load("_assay_localchain_errors", path)
    return dict(module.ERRORS)


def _load(name: str, path: Path) -> ModuleType:
    found = sys.modules.get(name)
    if found is not None:
        return found
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ChainError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def build(settings: Settings, keys: mev_shield.ShieldKeys) -> Program:
    """Put the chain's program together."""

    def rotate(rt: Runtime) -> None:
        mev_shield.rotate_key(rt, keys)

    pallets = (
        system.PALLET,
        small.TIMESTAMP,
        small.aura(round(settings.block_time * 1000)),
        balances.PALLET,
        small.PAYMENT,
        st.PALLET,
        small.UTILITY,
        small.SUDO,
        commitments.PALLET,
        admin_utils.PALLET,
        drand.PALLET,
        swap.PALLET,
        mev_shield.shielded(keys),
    )
    hooks = (system.on_initialize, rotate, epoch.on_initialize, commitments.on_initialize)
    return assemble(pallets, APIS, error_table(), hooks, ())
