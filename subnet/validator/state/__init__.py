"""Everything that must last, in one folder: SQLite for the state, files for the bundles."""

from subnet.validator.state.database import DiskFull
from subnet.validator.state.store import LedgerRow, Store

__all__ = ["DiskFull", "LedgerRow", "Store"]
