"""The hotkey that a neuron signs with. The coldkey is never opened."""

from __future__ import annotations

from typing import Protocol

import bittensor as bt

from subnet.chain.errors import WalletError
from subnet.config.tree import Wallet


class Hotkey(Protocol):
    """What signs: a Bittensor keypair has this shape. `crypto_type` is 1 for sr25519, 0 for ed25519."""

    @property
    def ss58_address(self) -> str: ...

    @property
    def public_key(self) -> bytes: ...

    @property
    def crypto_type(self) -> int: ...

    def sign(self, payload: bytes, /) -> bytes: ...


def load_hotkey(wallet: Wallet) -> Hotkey:
    """The hotkey of a wallet folder as btcli writes it. Raises WalletError with the command that mends it."""
    file = wallet.folder / "hotkeys" / wallet.hotkey
    if not file.is_file():
        raise WalletError(
            f"there is no hotkey at {file}; make one: "
            f"btcli wallet new-hotkey --wallet {wallet.name} --hotkey {wallet.hotkey} --wallet-path {wallet.path}"
        )
    try:
        return bt.Wallet(wallet.name, wallet.hotkey, str(wallet.folder.parent)).hotkey
    except (ValueError, TypeError, KeyError, OSError, bt.BittensorError) as error:
        raise WalletError(f"the hotkey at {file} cannot be used: {error}; hotkeys must not be encrypted") from error


def public_key_of(hotkey: str) -> bytes:
    """The 32-byte public key of an ss58 address. Raises WalletError where it is none."""
    try:
        return bytes(bt.sp_core.ss58_decode(hotkey))
    except (ValueError, TypeError) as error:
        raise WalletError(f"{hotkey!r} is not an ss58 address: {error}") from error


def address_of(public_key: bytes) -> str:
    """The ss58 address (format 42) of a 32-byte public key."""
    return bt.sp_core.ss58_encode(public_key, 42)
