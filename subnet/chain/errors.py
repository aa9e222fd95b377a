"""How the chain fails.

ChainError
├── ChainAway      no answer in time, or no connection; the call may be tried again
├── ChainRejected  the chain answered, and said no
└── WalletError    the hotkey cannot be read
"""

from __future__ import annotations

from subnet.errors import ChainError


class ChainAway(ChainError):
    """No connection, or no answer within the deadline. An extrinsic's fate is then unknown: read back."""


class ChainRejected(ChainError):
    """The chain refused. `name` is the runtime's name of the error, or None where it gave none."""

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class WalletError(ChainError):
    """A key file is missing or cannot be used."""
