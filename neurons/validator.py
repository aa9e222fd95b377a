"""Runs a validator: `python neurons/validator.py --netuid 1 --wallet.name my --wallet.hotkey validator`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from subnet.validator.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
